"""Uploads chunks that the broker lacks, and announcements after them.

What the broker holds is read back, never assumed. A root is uploaded after everything
below it is acknowledged, so a broker that holds the root holds the whole blob.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.content.chunks import name
from protocol.errors import BrokerRefused, UnknownVersion
from protocol.messages.manifest import CHUNK_BYTES, Manifest, Tree
from protocol.messages.plan import Plan
from protocol.topics import BUNDLE_MAX_BYTES
from protocol.trust.bundle import manifest_path, plan_path, unpack
from publisher.adapters.broker_client import RetainedMessage
from publisher.adapters.registry import Staged
from publisher.operations.context import PublisherContext
from publisher.operations.progress import OnProgress

SAMPLE: Final = 8  # chunks that are read back
ATTEMPTS: Final = 3  # `publisher serve` may put an older bundle in between


@dataclass(frozen=True, slots=True)
class Uploaded:
    chunks: int = 0
    size_bytes: int = 0

    def __add__(self, other: Uploaded) -> Uploaded:
        return Uploaded(self.chunks + other.chunks, self.size_bytes + other.size_bytes)


@dataclass(frozen=True, slots=True)
class MissingChunks:
    """Chunks that the broker lacks: those below a root, then the roots."""

    below: tuple[str, ...]
    roots: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.below) + len(self.roots)


def announce(context: PublisherContext, staged: Staged) -> Uploaded:
    """Upload the chunks of a bundle, then the bundle; check that it is retained."""
    uploaded = upload_missing(context, trees_of_bundle(staged.bundle))
    announcements, topic = context.registry.announcements, context.topics.desired(staged.model)
    for _ in range(ATTEMPTS):
        context.broker.put_all([RetainedMessage(topic, staged.bundle)])
        retained = context.broker.read([topic]).get(topic)
        if retained == staged.bundle or announcements.bundle(staged.model) != staged.bundle:
            announcements.mark_announced(staged)  # no-op when a newer bundle is stored
            return uploaded
    raise _not_retained(context, topic)


def trees_of_bundle(bundle: bytes) -> list[Tree]:
    parts = unpack(bundle)
    plan = Plan.from_line(parts.targets[plan_path(parts.model)].encode(), max_bytes=BUNDLE_MAX_BYTES)
    lines = [parts.targets[manifest_path(parts.model, version)] for version in plan.versions()]
    manifests = [Manifest.from_line(line.encode(), max_bytes=BUNDLE_MAX_BYTES) for line in lines]
    return [tree for manifest in manifests for tree in manifest.trees()]


def upload_missing(context: PublisherContext, trees: Sequence[Tree]) -> Uploaded:
    """Upload what is missing; read a sample back. Raises BrokerRefused."""
    missing = _missing_chunks(context, trees)
    if not len(missing):
        return Uploaded()
    uploaded = _upload(context, missing)
    if lost := _not_on_broker(context, _sample(missing)):
        context.progress.report(
            f"the broker has lost {len(lost)} of a sample of chunks already; uploading them all again"
        )
        uploaded += _upload(context, missing)
        if lost := _not_on_broker(context, _sample(missing)):
            raise _not_retained(context, context.topics.chunk(lost[0]))
    return uploaded


def missing_trees(context: PublisherContext, trees: Iterable[Tree]) -> list[Tree]:
    """The trees whose root the broker does not hold, or holds with other bytes."""
    by_root = {tree.root: tree for tree in trees}
    return [by_root[root] for root in _not_on_broker(context, list(by_root))]


def chunk_messages(context: PublisherContext, sha256s: Iterable[str]) -> Iterator[RetainedMessage]:
    """Read chunks one by one, as messages. Raises UnknownVersion, BlobDamaged."""
    for sha256 in sha256s:
        payload = context.registry.chunks.read(sha256)
        if payload is None:
            raise UnknownVersion(
                f"the registry does not hold chunk {sha256[:12]}",
                hint="bring the registry back from your backup, or release the version again under another number",
            )
        yield RetainedMessage(context.topics.chunk(sha256), payload)


def _missing_chunks(context: PublisherContext, trees: Sequence[Tree]) -> MissingChunks:
    chunks = context.registry.chunks
    lost = missing_trees(context, trees)
    lost_roots = {tree.root for tree in lost}
    present = {sha256 for tree in trees if tree.root not in lost_roots for sha256 in chunks.of_tree(tree)}
    below_lost = dict.fromkeys(sha256 for tree in lost for sha256 in chunks.of_tree(tree))
    needed = [sha256 for sha256 in below_lost if sha256 not in present]
    # a killed upload may have sent some of them; reading costs less than sending
    recorded = context.registry.uploads.of_broker(context.broker_id)
    sent_before = [sha256 for sha256 in needed if sha256 in recorded]
    still_there = set(sent_before) - set(_not_on_broker(context, sent_before))
    missing = [sha256 for sha256 in needed if sha256 not in still_there]
    return MissingChunks(
        tuple(sha256 for sha256 in missing if sha256 not in lost_roots),
        tuple(sha256 for sha256 in missing if sha256 in lost_roots),
    )


def _not_on_broker(context: PublisherContext, sha256s: Sequence[str]) -> list[str]:
    held = {
        sha256
        for topic, payload in context.broker.read_each(context.topics.chunk(sha256) for sha256 in sha256s)
        if name(payload) == (sha256 := topic.rpartition("/")[2])
    }
    return [sha256 for sha256 in sha256s if sha256 not in held]


def _upload(context: PublisherContext, missing: MissingChunks) -> Uploaded:
    # recorded before sending: `prune` clears recorded chunks only
    context.registry.uploads.add((*missing.below, *missing.roots), context.broker_id)
    with context.progress.bar("uploading", is_bytes=True) as on_progress:
        counter = _UploadCounter(on_progress, len(missing) * CHUNK_BYTES)
        for sha256s in (missing.below, missing.roots):
            context.broker.put_all(chunk_messages(context, sha256s), counter)
        counter.finish()
    return counter.uploaded


class _UploadCounter:
    def __init__(self, on_progress: OnProgress, bytes_max: int) -> None:
        self._on_progress = on_progress
        self._bytes_max = bytes_max
        self.uploaded = Uploaded()

    def __call__(self, message: RetainedMessage) -> None:
        self.uploaded += Uploaded(1, len(message.payload))
        self._on_progress(self.uploaded.size_bytes, self._bytes_max, "uploading")

    def finish(self) -> None:
        """The last chunk of a blob is shorter than the others."""
        self._on_progress(self.uploaded.size_bytes, self.uploaded.size_bytes, "uploaded")


def _sample(missing: MissingChunks) -> list[str]:
    """Up to SAMPLE roots, and as many of the other chunks, the last one included."""
    step = max(1, len(missing.below) // SAMPLE)
    return list(dict.fromkeys((*missing.roots[:SAMPLE], *missing.below[::-step][:SAMPLE])))


def _not_retained(context: PublisherContext, topic: str) -> BrokerRefused:
    return BrokerRefused(
        f"{context.broker.address} acknowledged {topic}, but does not keep it or does not show it to us",
        hint="give the publisher's user the right to write and to read there, in the broker's ACL",
    )

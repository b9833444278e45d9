"""Has the broker hold every chunk of some trees, and announcements after them. What is there is asked, never assumed.

A root goes up only when all below it are acknowledged: a root that the broker holds stands for a blob that is there.
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
ATTEMPTS: Final = 3  # a `publisher serve` may put an older bundle in between; it comes to the newer one by itself


@dataclass(frozen=True, slots=True)
class Sent:
    """What went up."""

    chunks: int = 0
    size_bytes: int = 0

    def __add__(self, other: Sent) -> Sent:
        return Sent(self.chunks + other.chunks, self.size_bytes + other.size_bytes)


@dataclass(frozen=True, slots=True)
class Load:
    """The chunks of trees that the broker lacks: first what is below, then the roots."""

    below: tuple[str, ...]
    roots: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.below) + len(self.roots)


def announce(office: PublisherContext, staged: Staged) -> Sent:
    """Upload what the bundle's versions need, then the bundle, then prove that it is there; mark it announced."""
    sent = supply(office, trees_in(staged.bundle))
    topic = office.topics.desired(staged.model)
    for _ in range(ATTEMPTS):
        office.broker.put_all([RetainedMessage(topic, staged.bundle)])
        kept = office.broker.read([topic]).get(topic)
        if kept == staged.bundle or office.registry.bundle(staged.model) != staged.bundle:
            office.registry.mark_announced(staged)  # which does nothing when a newer one is stored
            return sent
    raise _not_kept(office, topic)


def trees_in(bundle: bytes) -> list[Tree]:
    """Every blob that the broker must hold for this bundle of ours."""
    parts = unpack(bundle)
    plan = Plan.from_line(parts.targets[plan_path(parts.model)].encode(), max_bytes=BUNDLE_MAX_BYTES)
    lines = [parts.targets[manifest_path(parts.model, version)] for version in plan.versions()]
    manifests = [Manifest.from_line(line.encode(), max_bytes=BUNDLE_MAX_BYTES) for line in lines]
    return [tree for manifest in manifests for tree in manifest.trees()]


def supply(office: PublisherContext, trees: Sequence[Tree]) -> Sent:
    """Upload the chunks that the broker lacks, and read a sample back; once more everything when that fails."""
    load = _lacking(office, trees)
    if not len(load):
        return Sent()
    sent = _upload(office, load)
    if missing := _missing(office, _sample(load)):
        office.voice.say(f"the broker has lost {len(missing)} of a sample of chunks already; uploading them all again")
        sent += _upload(office, load)
        if missing := _missing(office, _sample(load)):
            raise _not_kept(office, office.topics.chunk(missing[0]))
    return sent


def absent(office: PublisherContext, trees: Iterable[Tree]) -> list[Tree]:
    """The trees whose root the broker does not hold, or holds with other bytes."""
    by_root = {tree.root: tree for tree in trees}
    missing = set(_missing(office, list(by_root)))
    return [tree for root, tree in by_root.items() if root in missing]


def messages(office: PublisherContext, sha256s: Iterable[str]) -> Iterator[RetainedMessage]:
    """Chunks to be put, read one by one. Raises UnknownVersion or BlobDamaged when the registry has lost one."""
    for sha256 in sha256s:
        payload = office.registry.chunk(sha256)
        if payload is None:
            raise UnknownVersion(
                f"the registry does not hold chunk {sha256[:12]}",
                hint="bring the registry back from your backup, or release the version again under another number",
            )
        yield RetainedMessage(office.topics.chunk(sha256), payload)


def _lacking(office: PublisherContext, trees: Sequence[Tree]) -> Load:
    lost = absent(office, trees)
    lost_roots = {tree.root for tree in lost}
    there = {sha256 for tree in trees if tree.root not in lost_roots for sha256 in office.registry.chunks_of(tree)}
    below = dict.fromkeys(sha256 for tree in lost for sha256 in office.registry.chunks_of(tree))
    wanted = [sha256 for sha256 in below if sha256 not in there]
    # a killed upload has left some of them: asking costs less than sending
    known = office.registry.uploaded(office.broker_id)
    sent_before = [sha256 for sha256 in wanted if sha256 in known]
    gone = set(_missing(office, sent_before))
    left = set(sent_before) - gone
    due = [sha256 for sha256 in wanted if sha256 not in left]
    return Load(
        tuple(sha256 for sha256 in due if sha256 not in lost_roots),
        tuple(sha256 for sha256 in due if sha256 in lost_roots),
    )


def _missing(office: PublisherContext, sha256s: Sequence[str]) -> list[str]:
    """Which of these chunks the broker does not hold, byte for byte."""
    there = {
        sha256
        for topic, payload in office.broker.read_each(office.topics.chunk(sha256) for sha256 in sha256s)
        if name(payload) == (sha256 := topic.rpartition("/")[2])
    }
    return [sha256 for sha256 in sha256s if sha256 not in there]


def _upload(office: PublisherContext, load: Load) -> Sent:
    # noted before it is sent: a chunk that nobody knows of could never be pruned
    office.registry.mark_uploaded((*load.below, *load.roots), office.broker_id)
    with office.voice.bar("uploading", is_bytes=True) as on_progress:
        count = _Count(on_progress, len(load) * CHUNK_BYTES)
        for part in (load.below, load.roots):
            office.broker.put_all(messages(office, part), count)
        count.done()
    return count.sent


class _Count:
    """Adds up what was acknowledged."""

    def __init__(self, on_progress: OnProgress, most_bytes: int) -> None:
        self._on_progress = on_progress
        self._most_bytes = most_bytes
        self.sent = Sent()

    def __call__(self, message: RetainedMessage) -> None:
        self.sent += Sent(1, len(message.payload))
        self._on_progress(self.sent.size_bytes, self._most_bytes, "uploading")

    def done(self) -> None:
        """Nothing follows: the last chunks were shorter than they may be."""
        self._on_progress(self.sent.size_bytes, self.sent.size_bytes, "uploaded")


def _sample(load: Load) -> list[str]:
    """Every root, for it stands for all below it, and some of the others, the last among them."""
    step = max(1, len(load.below) // SAMPLE)
    return list(dict.fromkeys((*load.roots[:SAMPLE], *load.below[::-step][:SAMPLE])))


def _not_kept(office: PublisherContext, topic: str) -> BrokerRefused:
    return BrokerRefused(
        f"{office.broker.address} acknowledged {topic}, but does not keep it or does not show it to us",
        hint="give the publisher's user the right to write and to read there, in the broker's ACL",
    )

"""Clears what no standing plan needs: chunks from the broker, and files from the registry. Nothing a device may ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from publisher.adapters.broker_client import RetainedMessage
from publisher.operations.announce.upload import trees_in
from publisher.operations.context import PublisherContext


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was cleared, or would be."""

    chunks: int
    blobs: int
    blob_bytes: int
    dry_run: bool


def prune(office: PublisherContext, *, dry_run: bool) -> Pruned:
    """Clear the broker of chunks that were uploaded for versions that no plan names, and drop orphaned files.

    An older version can still be rolled back to: its chunks go up again then.
    """
    with office.lock():
        useless = sorted(office.registry.uploaded(office.broker_id) - needed(office))
        orphans = office.registry.orphans()
        size_bytes = sum(office.registry.blob_path(sha256).stat().st_size for sha256 in orphans)
        if not dry_run:
            _clear(office, useless)
            for sha256 in orphans:
                office.registry.discard_blob(sha256)
    return Pruned(len(useless), len(orphans), size_bytes, dry_run)


def needed(office: PublisherContext) -> set[str]:
    """Every chunk that a standing plan needs."""
    trees = (tree for bundle in office.registry.bundles().values() for tree in trees_in(bundle))
    return {sha256 for tree in trees for sha256 in office.registry.chunks_of(tree)}


def _clear(office: PublisherContext, sha256s: Iterable[str]) -> None:
    topics = {office.topics.chunk(sha256): sha256 for sha256 in sha256s}
    cleared: list[str] = []
    with office.voice.bar("clearing chunks") as on_progress:

        def on_acknowledged(message: RetainedMessage) -> None:
            cleared.append(topics[message.topic])
            on_progress(len(cleared), len(topics), "clearing chunks")

        try:
            office.broker.put_all((RetainedMessage(topic, b"") for topic in topics), on_acknowledged)
        finally:
            office.registry.forget_uploaded(office.broker_id, cleared)

"""`prune`: clears chunks from the broker and files from the registry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from publisher.adapters.broker_client import RetainedMessage
from publisher.operations.announce.crash_recovery import locked
from publisher.operations.announce.upload import trees_of_bundle
from publisher.operations.context import PublisherContext


@dataclass(frozen=True, slots=True)
class Pruned:
    chunks: int
    blobs: int
    blob_bytes: int
    dry_run: bool


def prune(context: PublisherContext, *, dry_run: bool) -> Pruned:
    """Clear chunks that no plan names, and orphans; a rollback uploads them again."""
    registry = context.registry
    with locked(context):
        unneeded = sorted(registry.uploads.of_broker(context.broker_id) - _needed_chunks(context))
        orphans = registry.orphans()
        size_bytes = sum(registry.blobs.path(sha256).stat().st_size for sha256 in orphans)
        if not dry_run:
            _clear_chunks(context, unneeded)
            for sha256 in orphans:
                registry.discard_blob(sha256)
    return Pruned(len(unneeded), len(orphans), size_bytes, dry_run)


def _needed_chunks(context: PublisherContext) -> set[str]:
    registry = context.registry
    trees = (tree for bundle in registry.announcements.bundles().values() for tree in trees_of_bundle(bundle))
    return {sha256 for tree in trees for sha256 in registry.chunks.of_tree(tree)}


def _clear_chunks(context: PublisherContext, sha256s: Iterable[str]) -> None:
    by_topic = {context.topics.chunk(sha256): sha256 for sha256 in sha256s}
    cleared: list[str] = []
    with context.progress.bar("clearing chunks") as on_progress:

        def on_acknowledged(message: RetainedMessage) -> None:
            cleared.append(by_topic[message.topic])
            on_progress(len(cleared), len(by_topic), "clearing chunks")

        try:
            context.broker.put_all((RetainedMessage(topic, b"") for topic in by_topic), on_acknowledged)
        finally:
            context.registry.uploads.remove(cleared, context.broker_id)

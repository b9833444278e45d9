"""`locked`: the registry's lock; its holder undoes or completes what a kill left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from protocol.errors import Damaged, UnknownVersion
from publisher.adapters.registry import Registry
from publisher.operations.announce.upload import announce
from publisher.operations.context import PublisherContext

RELEASING: Final = "releasing"  # setting: `<model> <version>` while its files are stored and no plan names it


@contextmanager
def locked(context: PublisherContext) -> Iterator[None]:
    """Exclude other commands for the length of a block, after recovery. Raises Busy."""
    wait_s = context.settings.wait_s

    def on_wait(holder: str) -> None:
        context.progress.report(f"waiting for {holder}, up to {wait_s:g} s …")

    with context.registry.lock(wait_s, on_wait):
        _recover(context)
        yield


@contextmanager
def releasing(registry: Registry, model: str, version: str) -> Iterator[None]:
    """Mark a release until its plan is stored; undo it if the block raises."""
    registry.settings.set(RELEASING, f"{model} {version}")
    try:
        yield
    except BaseException:
        _undo_release(registry)
        raise
    registry.settings.set(RELEASING, "")


def _recover(context: PublisherContext) -> None:
    registry, progress = context.registry, context.progress
    registry.blobs.remove_unfinished()
    if undone := _undo_release(registry):
        progress.report(f"removed what a release of {undone} left when it was stopped")
    if context.connection is None:
        return
    for staged in registry.announcements.pending():
        progress.report(f"announcing plan {staged.sequence} of {staged.model}, which a stopped command left")
        try:
            announce(context, staged)
        except Damaged as lost:  # it stays pending; a rollback to another version must still be possible
            progress.report(f"plan {staged.sequence} of {staged.model} cannot be announced: {lost}")


def _undo_release(registry: Registry) -> str:
    """Remove a marked version that its plan does not name; return which."""
    marked = registry.settings.get(RELEASING) or ""
    if not marked:
        return ""
    model, _, version = marked.partition(" ")
    plan = registry.announcements.plan(model)
    undone = plan is None or version not in plan.versions()
    if undone:
        with suppress(UnknownVersion):  # it was killed before the version was stored
            registry.versions.remove(model, version)
        for sha256 in registry.orphans():
            registry.discard_blob(sha256)
    registry.settings.set(RELEASING, "")
    return marked if undone else ""

"""What a command does first under the lock: bring to an end what a killed one left half done.

A release that was not announced to anybody yet is undone; a plan that was signed and stored is announced.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from protocol.errors import Damaged, UnknownVersion
from publisher.adapters.registry import Registry
from publisher.operations.announce.upload import announce
from publisher.operations.context import PublisherContext

RELEASING: Final = "releasing"  # setting: `<model> <version>` while its files are stored and no plan names it


def recover(office: PublisherContext) -> None:
    """Undo what is not announced; announce what is staged, where there is a broker. Call it under the lock."""
    registry = office.registry
    registry.remove_unfinished()
    if undone := undo_release(registry):
        office.voice.say(f"removed what a release of {undone} left when it was stopped")
    if office.connected is None:
        return
    for staged in registry.unannounced():
        office.voice.say(f"announcing plan {staged.sequence} of {staged.model}, which a stopped command left")
        try:
            announce(office, staged)
        except Damaged as lost:  # it stays to be announced; going back to another version must still be possible
            office.voice.say(f"plan {staged.sequence} of {staged.model} cannot be announced: {lost}")


@contextmanager
def releasing(registry: Registry, model: str, version: str) -> Iterator[None]:
    """Mark a release as unfinished for the length of a block, which ends with a plan that names it, or undo it."""
    registry.set_setting(RELEASING, f"{model} {version}")
    try:
        yield
    except BaseException:
        undo_release(registry)
        raise
    registry.set_setting(RELEASING, "")


def undo_release(registry: Registry) -> str:
    """Remove a version that was stored but that its plan does not name, with its files; say which."""
    marked = registry.setting(RELEASING) or ""
    if not marked:
        return ""
    model, _, version = marked.partition(" ")
    plan = registry.plan(model)
    undone = plan is None or version not in plan.versions()
    if undone:
        with suppress(UnknownVersion):  # it was stopped before that: only files are left
            registry.forget_version(model, version)
        for sha256 in registry.orphans():
            registry.discard_blob(sha256)
    registry.set_setting(RELEASING, "")
    return marked if undone else ""

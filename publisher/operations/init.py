"""Makes a registry: its folder, its keys, its root of trust."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from protocol.topics import check_name
from protocol.trust.authority import Authority
from protocol.trust.metadata_editor import TOP_ROLES
from publisher.adapters.registry import Registry
from publisher.operations.context import ROOT_SETTING


@dataclass(frozen=True, slots=True)
class NewRegistry:
    folder: Path
    keys: tuple[Path, ...]
    topic_root: str
    root_expires: datetime


def init(folder: Path, *, topic_root: str, now: datetime) -> NewRegistry:
    """Make a registry, or finish a killed `init`. Raises BadInput if there is one."""
    check_name(topic_root, "topic root")
    with Registry.create(folder) as registry, registry.lock():
        for role in TOP_ROLES:
            registry.keys.ensure(role)
        authority = Authority.create(registry.keys.signers, now)
        registry.settings.set(ROOT_SETTING, topic_root)
        registry.announcements.save_metadata(authority.metadata)  # last: it makes the registry complete
        files = tuple(path for role in TOP_ROLES for path in registry.keys.files(role))
        return NewRegistry(folder, files, topic_root, authority.expiries()["root"])

"""Makes a registry: the folder, the keys, the root of trust. Never over one that is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from protocol.topics import check_name
from protocol.trust.authority import Authority
from protocol.trust.metadata_editor import TOP_ROLES
from publisher.adapters.key_store import KeyStore
from publisher.adapters.registry import Registry
from publisher.operations.context import ROOT_SETTING


@dataclass(frozen=True, slots=True)
class Founded:
    """A new registry."""

    folder: Path
    keys: tuple[Path, ...]
    topic_root: str
    root_expires: datetime


def init(folder: Path, *, topic_root: str, now: datetime) -> Founded:
    """Found a registry, or finish one whose founding was killed. Raises BadInput when there is one."""
    check_name(topic_root, "topic root")
    with Registry.create(folder) as registry, registry.lock():
        keys = KeyStore.create(folder / "keys", TOP_ROLES)
        authority = Authority.create(keys.signers, now)
        registry.set_setting(ROOT_SETTING, topic_root)
        registry.save_metadata(authority.metadata)  # the last step: from here on it is a registry
        files = tuple(path for role in TOP_ROLES for path in keys.files(role))
        return Founded(folder, files, topic_root, authority.expiries()["root"])

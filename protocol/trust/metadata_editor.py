"""Edits metadata files by role, each signed as its delegation asks. Reads no clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from securesystemslib.signer import Signer
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from protocol.errors import BadInput, MissingPart
from protocol.trust.bundle import role_of, signed_part

TOP_ROLES: Final = ("root", "targets", "snapshot", "timestamp")
RENEW_FRACTION: Final = 1 / 2  # of a lifetime left: then a role is renewed; the reconciler uses the same
_COMPACT: Final = JSONSerializer(compact=True)

Signers = Callable[[str], Sequence[Signer]]
"""Returns the available private keys of a role. Raises MissingPart if there is none."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long signatures are valid; updates must outlast a holiday without `serve`."""

    root_days: int = 5 * 365
    targets_days: int = 2 * 365  # also the models' roles
    snapshot_days: int = 365
    timestamp_days: int = 30

    def of(self, role: str) -> timedelta:
        days = {"root": self.root_days, "snapshot": self.snapshot_days, "timestamp": self.timestamp_days}
        return timedelta(days=days.get(role, self.targets_days))


class MetadataEditor:
    """`files`, the result, has `<n>.root.json` and `<role>.json` files."""

    def __init__(self, files: Mapping[str, bytes], signers: Signers, lifetimes: Lifetimes, now: datetime) -> None:
        self.files = dict(files)
        self._signers = signers
        self._lifetimes = lifetimes
        self._now = now.astimezone(UTC)

    def create_root(self, root_threshold: int) -> None:
        root = Root(consistent_snapshot=True)
        for role in TOP_ROLES:
            for signer in self._signers(role):
                root.add_key(signer.public_key, role)
        _set_threshold(root.roles["root"], root_threshold, "root")
        self._put("root", root, root.roles["root"])
        self.sign_targets("targets", Targets())

    def delegate(self, model: str) -> None:
        """Delegate to the model's role, if the model is new."""
        targets, role = self._targets("targets"), role_of(model)
        delegations = targets.delegations or Delegations(keys={}, roles={})
        if delegations.roles is not None and role not in delegations.roles:
            delegations.roles[role] = DelegatedRole(role, [], 1, terminating=True, paths=[f"{model}/*"])
            targets.delegations = delegations
            for signer in self._signers(role):
                targets.add_key(signer.public_key, role)
            self.sign_targets("targets", targets)

    def sign_targets(self, role: str, signed: Targets) -> None:
        signed.version = self._next_version(role)
        self._put(role, signed)

    def sign_snapshot(self) -> None:
        """Sign a snapshot of all files, and a timestamp for it."""
        meta = {name: _meta_file(data) for name, data in self.files.items() if _is_targets(name)}
        self._put("snapshot", Snapshot(version=self._next_version("snapshot"), meta=meta))
        self.sign_timestamp()

    def sign_timestamp(self) -> None:
        meta = _meta_file(self.files["snapshot.json"])
        self._put("timestamp", Timestamp(version=self._next_version("timestamp"), snapshot_meta=meta))

    def renew_expiring(self) -> bool:
        """Renew targets roles that expire soon; return whether a snapshot is due."""
        expiring = [name.removesuffix(".json") for name in self.files if _is_targets(name) and self._expires_soon(name)]
        for role in expiring:
            self.sign_targets(role, self._targets(role))
        return bool(expiring) or self._expires_soon("snapshot.json")

    def replace_keys(self, role: str, fresh: Sequence[Signer], threshold: int | None) -> None:
        """Replace the keys of a role; its old keys are needed only for the root."""
        if role in TOP_ROLES:
            self._replace_top_keys(role, fresh, threshold)
        else:
            targets = self._targets("targets")
            _swap_keys(targets, targets.get_delegated_role(role), role, fresh, threshold)
            self.sign_targets("targets", targets)
        if role not in ("root", "snapshot", "timestamp"):
            self.sign_targets(role, self._targets(role))

    def _replace_top_keys(self, role: str, fresh: Sequence[Signer], threshold: int | None) -> None:
        root, before = newest_root(self.files), newest_root(self.files).roles["root"]
        _swap_keys(root, root.roles[role], role, fresh, threshold)
        root.version += 1
        self._put("root", root, before, root.roles["root"])

    def _put(self, role: str, signed: Signed, *delegated: Role) -> None:
        """Sign with the keys that each delegation requires, and store the file."""
        delegated = delegated or (delegation_of(self.files, role),)
        signed.expires = self._now + self._lifetimes.of(role)
        metadata: Metadata[Any] = Metadata(signed)
        available = {signer.public_key.keyid: signer for signer in self._signers(role)}
        for needed in delegated:
            _check_enough(role, needed, available)
        for keyid in dict.fromkeys(keyid for needed in delegated for keyid in needed.keyids if keyid in available):
            metadata.sign(available[keyid], append=True)
        name = f"{signed.version}.root.json" if role == "root" else f"{role}.json"
        self.files[name] = metadata.to_bytes(_COMPACT)

    def _targets(self, role: str) -> Targets:
        return Metadata[Targets].from_bytes(self.files[f"{role}.json"]).signed

    def _next_version(self, role: str) -> int:
        return version_of(self.files, role) + 1 if f"{role}.json" in self.files else 1

    def _expires_soon(self, name: str) -> bool:
        role = name.removesuffix(".json")
        left = signed_part(self.files[name]).expires - self._now
        return left < self._lifetimes.of(role) * RENEW_FRACTION


def newest_root(files: Mapping[str, bytes]) -> Root:
    return Metadata[Root].from_bytes(files[f"{root_version(files)}.root.json"]).signed


def root_version(files: Mapping[str, bytes]) -> int:
    return max(int(name.partition(".")[0]) for name in files if name.endswith(".root.json"))


def version_of(files: Mapping[str, bytes], role: str) -> int:
    """For a role other than the root."""
    return signed_part(files[f"{role}.json"]).version


def delegation_of(files: Mapping[str, bytes], role: str) -> Role:
    if role in TOP_ROLES:
        return newest_root(files).roles[role]
    return Metadata[Targets].from_bytes(files["targets.json"]).signed.get_delegated_role(role)


def _is_targets(name: str) -> bool:
    return name == "targets.json" or name.startswith(role_of(""))


def _meta_file(data: bytes) -> MetaFile:
    # length and hash prevent a mix of signed parts, also by a stolen key of one role
    return MetaFile.from_data(signed_part(data).version, data, ["sha256"])


def _swap_keys(
    delegator: Root | Targets, delegated: Role, role: str, fresh: Sequence[Signer], threshold: int | None
) -> None:
    for keyid in list(delegated.keyids):
        delegator.revoke_key(keyid, role)
    for signer in fresh:
        delegator.add_key(signer.public_key, role)
    _set_threshold(delegated, threshold or delegated.threshold, role)


def _set_threshold(delegated: Role, threshold: int, role: str) -> None:
    if not 1 <= threshold <= len(delegated.keyids):
        raise BadInput(f"{threshold} signatures are asked for the {role} role, which has {len(delegated.keyids)} keys")
    delegated.threshold = threshold


def _check_enough(role: str, needed: Role, available: Collection[str]) -> None:
    found = sum(keyid in available for keyid in needed.keyids)
    if found < needed.threshold:
        raise MissingPart(
            f"the {role} role needs {needed.threshold} of its keys to sign, and {found} are here",
            hint="put the key file back into the registry's keys folder, or rotate the role",
        )

"""The publisher's side of trust: all metadata of one registry as a value, and the few ways in which it changes.

No I/O, no clock, no key: metadata is a mapping of bytes, `now` an argument, and signers are asked for by role when
they are needed, so that the root key may lie in a safe. How a role is signed is `signing.py`'s; verifying is the
device's: `trust.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from securesystemslib.signer import Signer
from tuf.api.metadata import TargetFile, Targets

from protocol.errors import MissingPart
from protocol.messages.manifest import Manifest
from protocol.messages.plan import Plan
from protocol.trust.bundle import pack, role_of, signed_part, target_files, unpack
from protocol.trust.metadata_editor import (
    Lifetimes,
    MetadataEditor,
    Signers,
    delegation_of,
    newest_root,
    root_version,
    version_of,
)


@dataclass(frozen=True, slots=True)
class Authority:
    """All metadata of one registry: every root as `<n>.root.json`, of other roles the current one as `<role>.json`."""

    metadata: Mapping[str, bytes]
    signers: Signers = field(repr=False)
    lifetimes: Lifetimes = field(default_factory=Lifetimes)

    @classmethod
    def create(
        cls, signers: Signers, now: datetime, *, lifetimes: Lifetimes | None = None, root_threshold: int = 1
    ) -> Authority:
        """Found a new authority. Raises BadInput when there are fewer root keys than `root_threshold`."""
        desk = MetadataEditor({}, signers, lifetimes or Lifetimes(), now)
        desk.found(root_threshold)
        desk.seal()
        return cls(desk.files, signers, lifetimes or Lifetimes())

    @property
    def root(self) -> bytes:
        """The newest root: what a device is enrolled with."""
        return self.metadata[f"{root_version(self.metadata)}.root.json"]

    def publish(self, plan: Plan, manifests: Sequence[Manifest], now: datetime) -> tuple[Authority, bytes]:
        """Sign a plan with the manifests that it names; return what the authority becomes, and the bundle to announce.

        Raises BadInput when a manifest is missing or the bundle would be too long; MissingPart when a key is.
        """
        files = target_files(plan, manifests)
        signed = Targets(targets={path: TargetFile.from_data(path, data, ["sha256"]) for path, data in files.items()})
        desk = self._desk(now)
        desk.sign_targets(role_of(plan.model), signed, desk.delegation(plan.model))
        desk.seal()
        after = replace(self, metadata=desk.files)
        return after, after._bundle(plan.model, files)

    def renew(self, bundles: Mapping[str, bytes], now: datetime) -> tuple[Authority, dict[str, bytes]]:
        """Sign a new timestamp, and whatever else runs out soon; return the same announcements with it.

        `bundles`: by model, as they are announced now. The root is not renewed here: that takes `rotate("root", …)`.
        """
        desk = self._desk(now)
        if desk.renew_what_runs_out():
            desk.seal()
        else:
            desk.stamp()
        after = replace(self, metadata=desk.files)
        return after, {model: after._bundle(model, _targets_in(bundle)) for model, bundle in bundles.items()}

    def rotate(self, role: str, fresh: Sequence[Signer], now: datetime, *, threshold: int | None = None) -> Authority:
        """Replace the keys of a role by `fresh`, signed by whoever answers for it; old devices follow.

        `role`: root, targets, snapshot, timestamp or `model-<name>`. For the root, enough old keys must sign too.
        Announce what `renew` makes of the bundles then. Raises MissingPart when a key that must sign is not there.
        """
        signers = _joined(self.signers, role, fresh)
        desk = MetadataEditor(self.metadata, signers, self.lifetimes, now)
        desk.replace_keys(role, fresh, threshold)
        desk.seal()
        return replace(self, metadata=desk.files, signers=signers)

    def expiries(self) -> dict[str, datetime]:
        """When each role's signature runs out."""
        roles = sorted(name.removesuffix(".json") for name in self.metadata if not name.endswith(".root.json"))
        signed = {role: signed_part(self.metadata[f"{role}.json"]) for role in roles}
        return {"root": newest_root(self.metadata).expires} | {role: part.expires for role, part in signed.items()}

    def key_ids(self, role: str) -> frozenset[str]:
        """The ids of the keys that may sign for a role now; after a rotation, others can be thrown away."""
        return frozenset(delegation_of(self.metadata, role).keyids)

    def _desk(self, now: datetime) -> MetadataEditor:
        return MetadataEditor(self.metadata, self.signers, self.lifetimes, now)

    def _bundle(self, model: str, targets: Mapping[str, bytes]) -> bytes:
        chain = [f"{number}.root.json" for number in range(2, root_version(self.metadata) + 1)]
        files = {name: self.metadata[name] for name in (*chain, "timestamp.json")}
        for role in ("snapshot", "targets", role_of(model)):
            files[f"{version_of(self.metadata, role)}.{role}.json"] = self.metadata[f"{role}.json"]
        return pack(model, files, targets)


def _targets_in(bundle: bytes) -> dict[str, bytes]:
    return {path: content.encode() for path, content in unpack(bundle).targets.items()}


def _joined(signers: Signers, role: str, fresh: Sequence[Signer]) -> Signers:
    """Signers that know `fresh` as well; a role whose old keys are lost can still be given new ones."""

    def ask(asked: str) -> Sequence[Signer]:
        if asked != role:
            return signers(asked)
        try:
            return [*fresh, *signers(role)]
        except MissingPart:
            return fresh

    return ask

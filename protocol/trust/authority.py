"""The publisher's side of trust: all metadata of one registry as an immutable value.

No I/O and no clock. Signers are requested by role when needed, so that the root key may
be kept offline. How a role is signed: `metadata_editor`.
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
    """All metadata: each root as `<n>.root.json`, else the current `<role>.json`."""

    metadata: Mapping[str, bytes]
    signers: Signers = field(repr=False)
    lifetimes: Lifetimes = field(default_factory=Lifetimes)

    @classmethod
    def create(
        cls, signers: Signers, now: datetime, *, lifetimes: Lifetimes | None = None, root_threshold: int = 1
    ) -> Authority:
        """Create an authority. Raises BadInput if the root has too few keys."""
        editor = MetadataEditor({}, signers, lifetimes or Lifetimes(), now)
        editor.create_root(root_threshold)
        editor.sign_snapshot()
        return cls(editor.files, signers, lifetimes or Lifetimes())

    @property
    def root(self) -> bytes:
        return self.metadata[f"{root_version(self.metadata)}.root.json"]

    def publish(self, plan: Plan, manifests: Sequence[Manifest], now: datetime) -> tuple[Authority, bytes]:
        """Return the new authority, and the signed bundle of a plan and its manifests.

        Raises BadInput for a lacking manifest or a long bundle, MissingPart for a key.
        """
        files = target_files(plan, manifests)
        signed = Targets(targets={path: TargetFile.from_data(path, data, ["sha256"]) for path, data in files.items()})
        editor = self._editor(now)
        editor.delegate(plan.model)
        editor.sign_targets(role_of(plan.model), signed)
        editor.sign_snapshot()
        after = replace(self, metadata=editor.files)
        return after, after._bundle(plan.model, files)

    def renew(self, bundles: Mapping[str, bytes], now: datetime) -> tuple[Authority, dict[str, bytes]]:
        """Sign a new timestamp, and roles that expire soon; return the renewed bundles.

        `bundles`: the current ones by model. The root is renewed by `rotate`.
        """
        editor = self._editor(now)
        if editor.renew_expiring():
            editor.sign_snapshot()
        else:
            editor.sign_timestamp()
        after = replace(self, metadata=editor.files)
        return after, {model: after._bundle(model, _targets_in(bundle)) for model, bundle in bundles.items()}

    def rotate(self, role: str, fresh: Sequence[Signer], now: datetime, *, threshold: int | None = None) -> Authority:
        """Replace the keys of a role, signed by its delegator; existing devices follow.

        `role`: root, targets, snapshot, timestamp or `model-<name>`. For the root,
        enough old keys must sign too. Then announce the bundles that `renew` returns.
        Raises MissingPart when a key that must sign is missing.
        """
        signers = _joined(self.signers, role, fresh)
        editor = MetadataEditor(self.metadata, signers, self.lifetimes, now)
        editor.replace_keys(role, fresh, threshold)
        editor.sign_snapshot()
        return replace(self, metadata=editor.files, signers=signers)

    def expiries(self) -> dict[str, datetime]:
        roles = sorted(name.removesuffix(".json") for name in self.metadata if not name.endswith(".root.json"))
        signed = {role: signed_part(self.metadata[f"{role}.json"]) for role in roles}
        return {"root": newest_root(self.metadata).expires} | {role: part.expires for role, part in signed.items()}

    def key_ids(self, role: str) -> frozenset[str]:
        return frozenset(delegation_of(self.metadata, role).keyids)

    def _editor(self, now: datetime) -> MetadataEditor:
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
    """Signers with `fresh` for a role, also if its old keys are lost."""

    def signers_of(requested: str) -> Sequence[Signer]:
        if requested != role:
            return signers(requested)
        try:
            return [*fresh, *signers(role)]
        except MissingPart:
            return fresh

    return signers_of

"""The bundle: a model's signed announcement in one retained message; a device verifies it without asking again.

Metadata and targets travel as JSON strings, because signatures are over exact bytes. This module packs and unpacks;
what unpacks here is not trusted yet: `trust.py` decides that. Nor does it sign: `authority.py` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints
from tuf.api.metadata import Metadata, Signed

from protocol.errors import BadInput, BundleMalformed
from protocol.messages.base import Line, Name
from protocol.messages.manifest import Manifest
from protocol.messages.plan import Plan
from protocol.topics import BUNDLE_MAX_BYTES

METADATA_MAX_FILES: Final = 260  # python-tuf follows 256 root rotations at once; four more roles
TARGETS_MAX_FILES: Final = 201  # a plan, and one manifest for each rule that it may hold

MetadataName = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,8}\.)?[a-z0-9_-]{1,80}\.json$")]
TargetPath = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}/[0-9A-Za-z.+_-]{1,90}$")]


class Bundle(Line):
    """What stands on `models/<model>/desired`: The Update Framework's metadata, and the files that it signs."""

    model: Name
    metadata: dict[MetadataName, str] = Field(
        max_length=METADATA_MAX_FILES,
        description="exact text by file name: every root but the first, timestamp, snapshot, targets, model role",
    )
    targets: dict[TargetPath, str] = Field(
        max_length=TARGETS_MAX_FILES, description="exact text by target path: the plan, and the manifests it names"
    )


def pack(model: str, metadata: Mapping[str, bytes], targets: Mapping[str, bytes]) -> bytes:
    """Return the one line that is announced.

    Raises BadInput when it would be longer than a device reads.
    """
    line = Bundle(model=model, metadata=_texts(metadata), targets=_texts(targets)).to_line()
    if len(line) > BUNDLE_MAX_BYTES:
        raise BadInput(
            f"the announcement of {model!r} has {len(line):,} bytes with its {len(targets) - 1} manifests;"
            f" a device reads {BUNDLE_MAX_BYTES:,}",
            hint="let the plan name fewer versions and devices: unpin some, or end an older rollout",
        )
    return line


def unpack(line: bytes) -> Bundle:
    """Take a message apart; its length is checked before a byte is parsed. Raises BundleMalformed."""
    try:
        return Bundle.from_line(line, max_bytes=BUNDLE_MAX_BYTES)
    except BadInput as refused:
        raise BundleMalformed(refused.message, hint="nothing was changed; look at who may write to the topic") from None


def role_of(model: str) -> str:
    """The delegated role of a model; prefixed, so that a model may be called `root` or `snapshot`."""
    return f"model-{model}"


def plan_path(model: str) -> str:
    """Where the plan of a model stands among the targets."""
    return f"{model}/plan.json"


def manifest_path(model: str, version: str) -> str:
    """Where a manifest stands; prefixed, so that a version may be called `plan`."""
    return f"{model}/manifest-{version}.json"


def target_files(plan: Plan, manifests: Iterable[Manifest]) -> dict[str, bytes]:
    """The files to be signed, by target path: the plan, and each manifest that it names.

    Raises BadInput when the plan names a version without a manifest here, or a manifest is of another model.
    """
    by_version = {manifest.version: manifest for manifest in manifests if manifest.model == plan.model}
    missing = [version for version in plan.versions() if version not in by_version]
    if missing:
        raise BadInput(f"the plan of {plan.model!r} names version {missing[0]}, which has no manifest")
    files = {plan_path(plan.model): plan.to_line()}
    files |= {manifest_path(plan.model, version): by_version[version].to_line() for version in plan.versions()}
    return files


def signed_part(data: bytes) -> Signed:
    """What a metadata file signs: version, expiry and so on. Reading verifies nothing. Raises tuf's RepositoryError."""
    part: Signed = Metadata[Any].from_bytes(data).signed
    return part


def _texts(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: content.decode() for name, content in files.items()}

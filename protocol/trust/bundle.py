"""Packs and unpacks the bundle: a model's signed announcement in one retained message.

Its parts are JSON strings, as signatures are over exact bytes; unpacking trusts none.
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

METADATA_MAX_FILES: Final = 260  # python-tuf follows 256 root rotations; four more roles
TARGETS_MAX_FILES: Final = 201  # a plan, and one manifest for each of its rules

MetadataName = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,8}\.)?[a-z0-9_-]{1,80}\.json$")]
TargetPath = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}/[0-9A-Za-z.+_-]{1,90}$")]


class Bundle(Line):
    """The payload of `models/<model>/desired`: TUF metadata, and the files it signs."""

    model: Name
    metadata: dict[MetadataName, str] = Field(
        max_length=METADATA_MAX_FILES,
        description="exact text by file name: every root but the first, timestamp, snapshot, targets, model role",
    )
    targets: dict[TargetPath, str] = Field(
        max_length=TARGETS_MAX_FILES, description="exact text by target path: the plan, and the manifests it names"
    )


def pack(model: str, metadata: Mapping[str, bytes], targets: Mapping[str, bytes]) -> bytes:
    """The line to announce. Raises BadInput when it is longer than a device reads."""
    line = Bundle(model=model, metadata=_texts(metadata), targets=_texts(targets)).to_line()
    if len(line) > BUNDLE_MAX_BYTES:
        raise BadInput(
            f"the announcement of {model!r} has {len(line):,} bytes with its {len(targets) - 1} manifests;"
            f" a device reads {BUNDLE_MAX_BYTES:,}",
            hint="let the plan name fewer versions and devices: unpin some, or end an older rollout",
        )
    return line


def unpack(line: bytes) -> Bundle:
    """Parse a message after checking its length. Raises BundleMalformed."""
    try:
        return Bundle.from_line(line, max_bytes=BUNDLE_MAX_BYTES)
    except BadInput as refused:
        raise BundleMalformed(refused.message, hint="nothing was changed; look at who may write to the topic") from None


def role_of(model: str) -> str:
    """The delegated role of a model; prefixed, as a model may be called `root`."""
    return f"model-{model}"


def plan_path(model: str) -> str:
    return f"{model}/plan.json"


def manifest_path(model: str, version: str) -> str:
    """The target path of a manifest; prefixed, as a version may be called `plan`."""
    return f"{model}/manifest-{version}.json"


def target_files(plan: Plan, manifests: Iterable[Manifest]) -> dict[str, bytes]:
    """The files to sign, by target path. Raises BadInput for a lacking manifest."""
    by_version = {manifest.version: manifest for manifest in manifests if manifest.model == plan.model}
    missing = [version for version in plan.versions() if version not in by_version]
    if missing:
        raise BadInput(f"the plan of {plan.model!r} names version {missing[0]}, which has no manifest")
    files = {plan_path(plan.model): plan.to_line()}
    files |= {manifest_path(plan.model, version): by_version[version].to_line() for version in plan.versions()}
    return files


def signed_part(data: bytes) -> Signed:
    """The signed part of a metadata file, unverified. Raises tuf's RepositoryError."""
    part: Signed = Metadata[Any].from_bytes(data).signed
    return part


def _texts(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: content.decode() for name, content in files.items()}

"""Puts the files of a version into the registry, cut into chunks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pydantic import TypeAdapter, ValidationError

from protocol.content.chunks import cut
from protocol.content.encodings import RAW, ZSTD, encode_zstd
from protocol.content.label_file import labels_of, pack_labels
from protocol.errors import BadInput, BadName
from protocol.messages.manifest import (
    BLOB_MAX_BYTES,
    FILES_MAX,
    LABELS_FILE,
    MODEL_FILE,
    Encoding,
    FileName,
    Manifest,
    VersionFile,
)
from publisher.adapters.registry import Registry

INLINE_LABELS_MAX_BYTES: Final = 2_048  # of all names: more would crowd other versions out of the bundle
INLINE_LABELS_MAX: Final = 1_000  # blank ones are short, too
_FILE_NAME: Final = TypeAdapter(FileName)


@dataclass(frozen=True, slots=True)
class FilesRequest:
    """Which files a version has beside its model.

    `given` ones, and those of the version before, or of `carried_from` if that is
    given; but none of `dropped`.
    """

    given: Mapping[str, Path] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    carried_from: str | None = None


def check_files(registry: Registry, model: str, request: FilesRequest) -> None:
    """Refuse files that cannot be released. Raises BadInput, UnknownVersion."""
    for name, path in request.given.items():
        _check_name(name)
        _check_readable(name, path)
    before = {file.name for file in _carried(registry, model, request)}
    for name in request.dropped:
        if name in request.given:
            raise BadInput(f"--file and --drop-file both name {name}", hint="leave one of them out")
        if name not in before:
            raise BadInput(
                f"--drop-file {name}: the version before has no such file",
                hint=f"it has {', '.join(sorted(before)) or 'none'}",
            )
    names = {*request.given, *before} - set(request.dropped)
    alike = {name.lower(): name for name in names}
    if len(alike) < len(names):
        raise BadName(f"two files have names that differ in case only: {', '.join(sorted(names))}")
    if len(names) >= FILES_MAX:  # one is left for labels
        raise BadInput(f"{len(names)} files; a version holds {FILES_MAX - 1}", hint="pack some of them into one")


def version_before(registry: Registry, model: str, request: FilesRequest) -> Manifest | None:
    """What hands on its files; None for a first version. Raises UnknownVersion."""
    version = request.carried_from or next(reversed(registry.versions.of_model(model)), None)
    return None if version is None else registry.versions.manifest(model, version)


def carried_files(registry: Registry, model: str, request: FilesRequest) -> tuple[VersionFile, ...]:
    """The files that an earlier version hands on. Raises UnknownVersion."""
    others = {*request.given, *request.dropped}
    return tuple(file for file in _carried(registry, model, request) if file.name not in others)


def store_files(registry: Registry, files: Mapping[str, Path]) -> tuple[VersionFile, ...]:
    return tuple(_store_file(registry, name, registry.blobs.add_file(path)) for name, path in files.items())


def store_labels(registry: Registry, labels: Sequence[str]) -> VersionFile | None:
    """Long lists become a file; None for those that a manifest holds itself."""
    packed = pack_labels(labels)
    if len(packed) <= INLINE_LABELS_MAX_BYTES and len(labels) <= INLINE_LABELS_MAX:
        return None
    return _store_file(registry, LABELS_FILE, registry.blobs.add_bytes(packed))


def read_labels_of(registry: Registry, manifest: Manifest) -> tuple[str, ...]:
    """Labels, wherever they are. Raises BlobDamaged."""
    return labels_of(manifest, registry.blobs.path)


def encode(registry: Registry, sha256: str) -> tuple[Encoding, ...]:
    """Raw, which every device reads, and zstd if that saves enough."""
    plain = registry.blobs.path(sha256)
    with TemporaryDirectory(prefix="edgeferry-") as folder:
        packed = Path(folder) / sha256
        kinds = {RAW: sha256}
        if encode_zstd(plain, packed):
            kinds[ZSTD] = registry.blobs.add_file(packed)
    return tuple(_store_chunks(registry, kind, blob) for kind, blob in kinds.items())


def _store_file(registry: Registry, name: str, sha256: str) -> VersionFile:
    size_bytes = registry.blobs.path(sha256).stat().st_size
    return VersionFile(name=name, sha256=sha256, size_bytes=size_bytes, encodings=encode(registry, sha256))


def _store_chunks(registry: Registry, kind: str, blob: str) -> Encoding:
    chunked = cut(registry.blobs.path(blob))
    registry.chunks.add(blob, chunked)
    return Encoding(kind=kind, tree=chunked.tree)


def _carried(registry: Registry, model: str, request: FilesRequest) -> Iterable[VersionFile]:
    """All files of the version before, but for its labels, which are made anew."""
    before = version_before(registry, model, request)
    return [file for file in before.files if file.name != before.labels_file] if before else ()


def _check_name(name: str) -> None:
    if name.lower() in {MODEL_FILE, LABELS_FILE}:
        way_out = "give the names of classes with --labels" if name.lower() == LABELS_FILE else "choose another name"
        raise BadName(f"--file {name}: {name.lower()} is a name that devices use themselves", hint=way_out)
    try:
        _FILE_NAME.validate_python(name)
    except ValidationError:
        raise BadName(
            f"--file {name[:100]!r}: this is no name for a file of a version",
            hint="1 to 80 of a-z, A-Z, 0-9, _ . + and -, the first a letter, a digit or _; a device has no folders",
        ) from None


def _check_readable(name: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
        size_bytes = path.stat().st_size
    except OSError as refused:
        raise BadInput(f"--file {name}={path} cannot be read: {refused.strerror}") from None
    if empty or size_bytes > BLOB_MAX_BYTES:
        raise BadInput(f"--file {name}={path} has {size_bytes:,} bytes; a file has 1 to {BLOB_MAX_BYTES:,}")

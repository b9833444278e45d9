"""The file in which many labels travel: UTF-8, a name a line, an empty one for none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from protocol.errors import BlobDamaged
from protocol.messages.manifest import Manifest

LABELS_MAX: Final = 100_000
LABEL_FILE_MAX_BYTES: Final = 8_000_000


def labels_of(manifest: Manifest, path: Callable[[str], Path]) -> tuple[str, ...]:
    """The labels of a version, wherever they are. `path`: of a whole file, by its hash.

    Raises BlobDamaged when their file is gone or is none.
    """
    file = manifest.file(manifest.labels_file) if manifest.labels_file else None
    if file is None:
        return manifest.labels
    if file.size_bytes > LABEL_FILE_MAX_BYTES:
        raise BlobDamaged(f"a label file of {file.size_bytes:,} bytes is over the limit of {LABEL_FILE_MAX_BYTES:,}")
    try:
        return unpack_labels(path(file.sha256).read_bytes())
    except OSError as lost:
        raise BlobDamaged(
            f"the labels of {manifest.model} {manifest.version} cannot be read: {lost.strerror}",
            hint="a device fetches them again; a registry has them in its backup",
        ) from None


def pack_labels(labels: Sequence[str]) -> bytes:
    """The file's bytes; line ends within a name become blanks."""
    return "".join(f"{' '.join(label.splitlines())}\n" for label in labels).encode()


def unpack_labels(content: bytes) -> tuple[str, ...]:
    """The names in a file that `pack_labels` made. Raises BlobDamaged."""
    if len(content) > LABEL_FILE_MAX_BYTES:
        raise BlobDamaged(f"a label file of {len(content):,} bytes is over the limit of {LABEL_FILE_MAX_BYTES:,}")
    try:
        names = content.decode().split("\n")[:-1]
    except UnicodeDecodeError as damaged:
        raise BlobDamaged(f"the label file is no text in UTF-8: {damaged.reason}") from None
    if len(names) > LABELS_MAX:
        raise BlobDamaged(f"the label file has {len(names):,} names, more than {LABELS_MAX:,}")
    return tuple(names)

"""The file in which many labels travel: UTF-8, a name a line, an empty one for none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocol.errors import BlobDamaged

LABELS_MAX: Final = 100_000
LABEL_FILE_MAX_BYTES: Final = 8_000_000


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

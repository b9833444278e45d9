"""Rows of any type and size as one array, and between processes as files.

Rows of unlike shapes are an array of arrays; strings are bytes of one width.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from publisher.learning.data.dataset import Array


def is_ragged(rows: Array) -> bool:
    """Whether the rows have unlike shapes, or none of them is an array."""
    return rows.dtype == object


def stack_rows(rows: Sequence[Array]) -> Array:
    """(samples, …) of the rows, or an array of arrays."""
    plain = [np.asarray(row, np.bytes_) if row.dtype.kind in "OU" else row for row in map(np.asarray, rows)]
    if len({row.shape for row in plain}) == 1:
        return np.stack(plain)
    ragged = np.empty(len(plain), object)
    ragged[:] = plain
    return ragged


def save_rows(path: Path, rows: Array) -> None:
    if not is_ragged(rows):
        np.save(path, rows, allow_pickle=False)
        return
    with zipfile.ZipFile(path, "w") as archive:
        for index, row in enumerate(rows):
            archive.writestr(str(index), npy_bytes(row))


def load_rows(path: Path) -> Array:
    """What `save_rows` wrote; rows of one shape are mapped, not read."""
    if not zipfile.is_zipfile(path):
        plain: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return plain
    with zipfile.ZipFile(path) as archive:
        rows = [np.load(io.BytesIO(archive.read(str(index)))) for index in range(len(archive.namelist()))]
    ragged = np.empty(len(rows), object)
    ragged[:] = rows
    return ragged


def npy_bytes(values: Array) -> bytes:
    entry = io.BytesIO()
    np.save(entry, np.asarray(values, order="C"), allow_pickle=False)
    return entry.getvalue()

"""What a probe is: something that can be asked for readings by name. It may raise, lie, vanish or hang.

Whoever asks bears with all of that: `patient.py` with the time, `belief.py` with the values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeVar

from device_client.core.conditions.readings import Unknown

T = TypeVar("T")
Findings = Mapping[str, object]
"""Values by the names of Readings. Who gives a name speaks for it, also with Unknown; others are not asked then."""

REASON_MAX_CHARACTERS: Final = 200


class Unread(Exception):
    """A reading that could not be taken; the text is for the operator."""


class Probe(Protocol):
    """One source of readings."""

    @property
    def names(self) -> tuple[str, ...]:
        """The readings that it speaks for when it fails as a whole."""

    def read(self) -> Findings:
        """Look once. May raise anything: it is then Unknown with the text."""


def attempt(read: Callable[[], T]) -> T | Unknown:
    """What `read` gives, or why it gives nothing."""
    try:
        return read()
    except Exception as failure:  # noqa: BLE001 - sensors fail in all sorts of ways; the device goes on
        return unknown(failure)


def unknown(failure: Exception) -> Unknown:
    """A failure as a reading."""
    if isinstance(failure, OSError) and failure.strerror:
        told = f"{failure.filename}: {failure.strerror}" if failure.filename else failure.strerror
    else:
        told = str(failure) if isinstance(failure, Unread) else f"{type(failure).__name__}: {failure}"
    return Unknown(told[:REASON_MAX_CHARACTERS])


def text_of(path: Path) -> str:
    """The text of a small file of the kernel. Raises Unread when it is not there."""
    try:
        with path.open(errors="replace") as file:
            return file.read(4096).strip()
    except FileNotFoundError:
        raise Unread(f"there is no {path}") from None


def bytes_of(path: Path, max_bytes: int) -> bytes:
    """The beginning of a file of the owner's. Nobody waits: a pipe without a writer is empty. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        return file.read(max_bytes) or b""


def number_of(path: Path) -> float:
    """The number in a small file of the kernel. Raises Unread."""
    text = text_of(path)
    try:
        return float(text)
    except ValueError:
        raise Unread(f"{path} says {text[:40]!r}, which is no number") from None

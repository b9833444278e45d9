"""The interface of a probe, and bounded reads of small files for all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeVar

from device_client.core.conditions.readings import Unknown

T = TypeVar("T")
Findings = Mapping[str, object]
"""Values by the names of Readings. The first probe that gives a name decides it."""

REASON_MAX_CHARACTERS: Final = 200


class Unread(Exception):
    """A reading could not be taken; the text tells the operator why."""


class Probe(Protocol):
    """One source of readings, which may block, raise or return nonsense."""

    @property
    def names(self) -> tuple[str, ...]:
        """The readings that become Unknown when `read` fails."""

    def read(self) -> Findings:
        """Take readings once. May raise anything, whose text becomes the reason."""


def attempt(read: Callable[[], T]) -> T | Unknown:
    """The value of `read`, or Unknown with the text of what it raised."""
    try:
        return read()
    except Exception as failure:  # noqa: BLE001 - sensors fail in any way; the device goes on
        return unknown(failure)


def unknown(failure: Exception) -> Unknown:
    if isinstance(failure, OSError) and failure.strerror:
        text = f"{failure.filename}: {failure.strerror}" if failure.filename else failure.strerror
    else:
        text = str(failure) if isinstance(failure, Unread) else f"{type(failure).__name__}: {failure}"
    return Unknown(text[:REASON_MAX_CHARACTERS])


def text_of(path: Path) -> str:
    """The text of a small file of the kernel. Raises Unread when there is none."""
    try:
        with path.open(errors="replace") as file:
            return file.read(4096).strip()
    except FileNotFoundError:
        raise Unread(f"there is no {path}") from None


def bytes_of(path: Path, max_bytes: int) -> bytes:
    """The beginning of a file, or of a pipe without waiting. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        return file.read(max_bytes) or b""


def number_of(path: Path) -> float:
    """The number in a small file of the kernel. Raises Unread."""
    text = text_of(path)
    try:
        return float(text)
    except ValueError:
        raise Unread(f"{path} says {text[:40]!r}, which is no number") from None

"""Reads and checks values of command-line options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protocol.errors import BadInput

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
SPREAD_MAX_S: Final = 7 * 86_400


def duration_s(text: str, flag: str) -> int:
    """Read `90`, `90s`, `10m`, `2h` or `1d`, at most a week. Raises BadInput."""
    found = re.fullmatch(r"(\d{1,7})([smhd]?)", text.strip())
    seconds = int(found[1]) * _UNITS_S[found[2] or "s"] if found else -1
    if not 0 <= seconds <= SPREAD_MAX_S:
        raise BadInput(f"{flag} {text!r} is no time up to a week", hint="such as 30s, 10m, 2h or 1d")
    return seconds


def share(value: float | None, flag: str) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise BadInput(f"{flag} {value:g} is no share", hint="such as 0.9; it is from 0 to 1")
    return value


def named_paths(given: Sequence[str], flag: str) -> dict[str, Path]:
    """Read texts of the form NAME=PATH. Raises BadInput."""
    named: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise BadInput(f"{flag} {text!r} is not NAME=PATH", hint=f"such as {flag} anchors.npy=out/anchors.npy")
        if name in named:
            raise BadInput(f"{flag} names {name} twice", hint="leave one of them out")
        named[name] = Path(path)
    return named


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"

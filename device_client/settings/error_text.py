"""The message for an invalid settings file: line, key, and what is allowed there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from protocol.errors import BadSettings

ENVIRONMENT: Final = "EDGEFERRY_"
Location = tuple[int | str, ...]
_HEADER: Final = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.-]+)\s*\]\]?")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*[.=]")
_PLAIN: Final = {
    "tuple_type": 'a list is wanted, such as ["one", "two"]',
    "float_type": "a number is wanted",
    "float_parsing": "a number is wanted",
    "int_type": "a whole number is wanted",
    "int_parsing": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "bool_type": "true or false is wanted",
    "bool_parsing": "true or false is wanted",
    "string_type": "a text in quotes is wanted",
    "path_type": "a path in quotes is wanted",
    "model_type": "a section is wanted",
    "dataclass_type": "a section is wanted",
    "too_short": "at least one is wanted",
}


def settings_error(
    path: Path,
    text: str,
    refused: ValidationError,
    known: Mapping[str, Collection[str]],
    environment: Mapping[str, str],
) -> BadSettings:
    """The first problem. `known`: keys by section, those of the top level under ""."""
    problem = refused.errors(include_url=False)[0]
    location = problem["loc"]
    key = ".".join(str(part) for part in location if isinstance(part, str))
    place = place_of(path, text, location, environment)
    if problem["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        return BadSettings(f"{place}: there is no setting {key!r}", hint=_hint(location, known))
    if problem["type"] in {"missing", "missing_argument"}:
        return BadSettings(f"{place}: the setting {key!r} is missing")
    return BadSettings(f"{place}: {key}: {_message(problem['type'], problem['msg'])}")


def first_non_finite(content: Mapping[str, Any], location: Location = ()) -> Location | None:
    """The location of a number that TOML allows but no setting: NaN or infinity."""
    for key, value in content.items():
        here = (*location, key)
        items = enumerate(value) if isinstance(value, list) else [(-1, value)]
        for index, item in items:
            at = here if index < 0 else (*here, index)
            if isinstance(item, dict) and (found := first_non_finite(item, at)):
                return found
            if isinstance(item, float) and not isfinite(item):
                return at
    return None


def line_of(text: str, location: Location) -> int | None:
    """The line of a key, from 1; that of its section when the key is missing."""
    names = [part for part in location if isinstance(part, str)]
    wanted_entry = next((part for part in location if isinstance(part, int)), 0)
    section, entry, header = "", -1, None
    for number, row in enumerate(text.splitlines(), 1):
        if found := _HEADER.match(row):
            entry = entry + 1 if found[1] == section else 0
            section = found[1]
            if names[0] == section and entry == wanted_entry:
                header = number
        elif found := _KEY.match(row):
            inside = len(names) > 1 and section == names[0] and entry == wanted_entry
            if (inside and found[1] == names[1]) or (not section and found[1] == names[0]):
                return number
    return header


def place_of(path: Path, text: str, location: Location, environment: Mapping[str, str]) -> str:
    """What to fix: the environment variable, as it overrides the file, or the line."""
    variable = ENVIRONMENT + "__".join(str(part) for part in location if isinstance(part, str)).upper()
    if variable in environment:
        return f"{variable} in the environment"
    line = line_of(text, location)
    return f"{path}, line {line}" if line else str(path)


def _hint(location: Location, known: Mapping[str, Collection[str]]) -> str:
    """A similar key of the same section, else the section that has this key."""
    names = [part for part in location if isinstance(part, str)]
    section, key = ("" if len(names) == 1 else names[0]), names[-1]
    if close := difflib.get_close_matches(key, list(known.get(section, ())), n=1):
        return f"did you mean {close[0]!r}?"
    for other, keys in known.items():
        if key in keys:
            return f"it belongs into [{other}]" if other else "it belongs above the first section"
    return ""


def _message(kind: str, message: str) -> str:
    if kind == "string_pattern_mismatch" and "[a-z0-9_-]" in message:
        return "1 to 64 of a-z, 0-9, '-' and '_' are wanted"
    return _PLAIN.get(kind, message.removeprefix("Value error, ").replace("Input should be", "it should be"))

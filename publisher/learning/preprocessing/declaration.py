"""Reads a preprocessing from a file or a recipe."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from protocol.errors import BadInput
from protocol.messages.base import first_error
from protocol.messages.preprocessing import STEP_NAMES, Preprocessing

FILE_MAX_BYTES: Final = 100_000
HINT: Final = "docs/PREPROCESSING.md has every step with its values"


def read_preprocessing(path: Path) -> Preprocessing:
    """The preprocessing in a .toml or .json file. Raises BadInput."""
    try:
        content = path.read_bytes()
    except OSError as refused:
        raise BadInput(
            f"{path} cannot be read: {refused.strerror}", hint="give a .toml or .json file, or the word metadata"
        ) from None
    if len(content) > FILE_MAX_BYTES:
        raise BadInput(f"{path.name} has {len(content)} bytes, over the {FILE_MAX_BYTES} of a preprocessing", hint=HINT)
    try:
        text = content.decode()
        given = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as malformed:  # JSON, TOML and UTF-8
        raise BadInput(f"{path.name} cannot be parsed: {malformed}"[:300], hint=HINT) from None
    return preprocessing_from(given, path.name)


def preprocessing_from(given: Any, where: str) -> Preprocessing:
    """From plain values: `inputs`, or `raw` and `steps` of one. Raises BadInput."""
    if isinstance(given, Preprocessing):
        return given
    if not isinstance(given, dict):
        raise BadInput(f"{where}: a preprocessing is a {type(given).__name__}", hint=HINT)
    for step in _steps(given):
        if step not in STEP_NAMES:
            raise BadInput(f"{where}: there is no step {step!r}", hint=f"the steps are {', '.join(STEP_NAMES)}")
    try:
        return Preprocessing.model_validate(given if "inputs" in given else {"inputs": [given]})
    except ValidationError as refused:
        raise BadInput(f"{where}: {first_error(refused)}", hint=HINT) from None


def _steps(given: dict[str, Any]) -> list[Any]:
    inputs = _dicts(given.get("inputs", [given]))
    return [step.get("step") for each in inputs for step in _dicts(each.get("steps"))]


def _dicts(given: Any) -> list[dict[str, Any]]:
    return [each for each in given if isinstance(each, dict)] if isinstance(given, list | tuple) else []

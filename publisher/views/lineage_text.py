"""The lineage of a version as lines of text; the JSON has all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

NAMES: Final = {
    "source": "made from",
    "recipe": "recipe",
    "recipe_sha256": "recipe hash",
    "file": "file",
    "file_sha256": "file hash",
    "data": "data",
    "data_sha256": "data hash",
    "parent": "goes on from",
    "continued": "variants",
    "settings": "settings",
    "accuracy": "accuracy",
    "history": "training",
    "calibration_of": "calibration",
    "calibration_anew": "drawn anew",
    "calibration_sha256": "calibration id",
    "weights_sha256": "weights hash",
    "versions": "versions",
    "networks_sha256": "weights hashes",
}
INDENT: Final = 16  # with the 64 letters of a hash, 80
NONE_MEANS: Final = {  # what None means for these keys
    "parent": "nothing: trained from scratch",
    "calibration_of": "drawn for this version",
}


def lines(lineage: Mapping[str, Any]) -> str:
    """A line for each entry; entries with an unknown key come last, unchanged."""
    return "\n".join(f"{name + ':':<{INDENT - 1}} {value}" for name, value in _entries(lineage))


def _entries(lineage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not lineage:
        yield "made from", "not recorded"
    ordered = [*(key for key in NAMES if key in lineage), *(key for key in lineage if key not in NAMES)]
    for key in ordered:
        value = NONE_MEANS.get(key) if lineage[key] is None else lineage[key]
        if value is not None and value != []:
            yield NAMES.get(key, key.replace("_", " ")), _shown(key, value)


def _shown(key: str, value: Any) -> str:
    if key == "history" and value:
        last = value[-1]
        figure = "" if last.get("accuracy") is None else f", accuracy {last['accuracy']:.4f}"
        return f"{len(value)} epochs, the last at loss {last['loss']:.4f}{figure}"
    if key == "calibration_of" and value != NONE_MEANS[key]:
        return f"the set that was drawn for {value}"
    if key == "continued":
        return _below(f"{name} goes on from {origin}" for name, origin in value.items())
    if key == "networks_sha256":
        return _below(line for name, sha256 in value.items() for line in (name, sha256))
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {part}" for name, part in value.items())
    if isinstance(value, float):
        return f"{value:.4f}"
    return _below(map(str, value)) if isinstance(value, list) else str(value)


def _below(parts: Iterable[str]) -> str:
    """One part on each line, aligned with the first."""
    return f"\n{'':<{INDENT}}".join(parts)

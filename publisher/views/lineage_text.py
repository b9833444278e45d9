"""Where a version came from, in lines for a person; everything is in the JSON."""

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
NOTHING: Final = {  # what it means that these are known to be none
    "parent": "nothing: trained from scratch",
    "calibration_of": "drawn for this version",
}


def lines(lineage: Mapping[str, Any]) -> str:
    """One line for each thing that is known; what this page does not know by name stands last, as it is."""
    return "\n".join(f"{name + ':':<{INDENT - 1}} {value}" for name, value in _told(lineage))


def _told(lineage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not lineage:
        yield "made from", "nobody wrote it down"
    ordered = [*(key for key in NAMES if key in lineage), *(key for key in lineage if key not in NAMES)]
    for key in ordered:
        value = NOTHING.get(key) if lineage[key] is None else lineage[key]
        if value is not None and value != []:
            yield NAMES.get(key, key.replace("_", " ")), _shown(key, value)


def _shown(key: str, value: Any) -> str:
    if key == "history" and value:
        last = value[-1]
        return f"{len(value)} epochs, the last at loss {last['loss']:.4f}, accuracy {last['accuracy']:.4f}"
    if key == "calibration_of" and value != NOTHING[key]:
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
    """One a line, each under the first."""
    return f"\n{'':<{INDENT}}".join(parts)

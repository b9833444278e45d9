"""Compares a training with an earlier one of equal inputs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

# equal values of these should give the same model
DECIDES: Final = ("recipe_sha256", "data_sha256", "settings", "parent", "calibration_sha256")


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """A training. `lineage` is plain JSON; `files` are hashes by variant."""

    number: int
    model: str
    at: datetime
    lineage: Mapping[str, Any]
    files: Mapping[str, str]

    @property
    def accuracy(self) -> float | None:
        accuracy = self.lineage.get("accuracy")
        return None if accuracy is None else float(accuracy)


@dataclass(frozen=True, slots=True)
class Repetition:
    number: int
    at: datetime
    accuracy_before: float | None
    accuracy_now: float | None
    other_files: tuple[str, ...]
    other_versions: tuple[str, ...]

    @property
    def same_bytes(self) -> bool:
        return not self.other_files

    def facts(self) -> dict[str, Any]:
        return {
            "training": self.number,
            "same_accuracy": self.accuracy_before == self.accuracy_now,
            "same_bytes": self.same_bytes,
            "other_files": list(self.other_files),
            "other_versions": list(self.other_versions),
        }

    def sentence(self) -> str:
        when = f"training {self.number} of {self.at:%Y-%m-%d %H:%M} UTC"
        if self.accuracy_before == self.accuracy_now:
            accuracy = f"the same accuracy as {when}"
        else:
            accuracy = f"accuracy {_shown(self.accuracy_now)}, but {when} had {_shown(self.accuracy_before)}"
        if self.same_bytes:
            return f"{accuracy}, and the same bytes"
        why = f" ({'; '.join(self.other_versions)})" if self.other_versions else ""
        return f"{accuracy}, but other bytes in {', '.join(self.other_files)}{why}"


def repeated(earlier: Sequence[TrainingRecord], now: TrainingRecord) -> Repetition | None:
    """Compare with the last training of equal inputs; None if there is none."""
    same = [before for before in earlier if before.number != now.number and _inputs(before) == _inputs(now)]
    if not same:
        return None
    before = max(same, key=lambda record: record.number)
    both = [name for name in now.files if name in before.files]
    return Repetition(
        number=before.number,
        at=before.at,
        accuracy_before=before.accuracy,
        accuracy_now=now.accuracy,
        other_files=tuple(name for name in both if now.files[name] != before.files[name]),
        other_versions=_other_versions(before.lineage.get("versions", {}), now.lineage.get("versions", {})),
    )


def _inputs(record: TrainingRecord) -> list[Any]:
    return [record.model, *(record.lineage.get(key) for key in DECIDES)]


def _other_versions(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        f"{name} {before.get(name, 'missing')} then, {now.get(name, 'missing')} now"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    )


def _shown(accuracy: float | None) -> str:
    return "unknown" if accuracy is None else f"{accuracy:.4f}"

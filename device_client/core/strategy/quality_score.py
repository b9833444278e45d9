"""How well the live model does, as one figure: what makes a smart device look sooner or later. docs/CONDITIONS.md has
the formula. It measures nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from device_client.core.conditions.model_quality import Quality
from device_client.core.policy import Smart

WEIGHTS: Final = {"drift": 0.5, "agreement": 0.3, "confidence": 0.2}
NO_EVIDENCE: Final = 0.5  # neither hurry nor rest
# up to here a detector is calm by its own measure (`feedback.drift_detector`): chance gets so far
DRIFT_CALM: Final = 0.5


@dataclass(frozen=True, slots=True)
class Score:
    """0: as bad as it gets, 1: good. `told`: the figures behind it."""

    value: float
    told: str


def score(smart: Smart, quality: Quality | None, expected_accuracy: float | None = None) -> Score:
    """The score of the live model. `expected_accuracy`: what its publisher measured; 1 where nobody did."""
    if quality is None or quality.inferences < smart.inferences_min:
        count = quality.inferences if quality else 0
        return Score(NO_EVIDENCE, f"score {NO_EVIDENCE:.2f}, for {count} inferences tell nothing yet")
    if quality.accuracy is not None:
        share = min(1.0, quality.accuracy / (expected_accuracy or 1.0))
        against = f" where {expected_accuracy:.2f} is expected" if expected_accuracy else ""
        return _scored(smart, share, f"accuracy {quality.accuracy:.2f}{against}")
    good = {
        "drift": None if quality.drift is None else 1.0 - moved(quality.drift),
        "agreement": quality.agreement,
        "confidence": quality.confidence,
    }
    known = {name: value for name, value in good.items() if value is not None}
    if not known:
        return Score(NO_EVIDENCE, f"score {NO_EVIDENCE:.2f}, for nothing was measured")
    blend = sum(WEIGHTS[name] * value for name, value in known.items()) / sum(WEIGHTS[name] for name in known)
    told = ", ".join(f"{name} {getattr(quality, name):.2f}" for name in known)
    scored = _scored(smart, blend, told)
    if known.keys() == {"confidence"} and scored.value < NO_EVIDENCE:
        # how sure a model is depends on its task: that tells of trouble only once it is known what is usual here
        return Score(NO_EVIDENCE, f"score {NO_EVIDENCE:.2f}, for {told} alone tells no trouble")
    return scored


def moved(drift: float) -> float:
    """How far beyond its calm a detector is, 0-1. A steady stream strays under it; that is no reason to hurry."""
    return max(0.0, (drift - DRIFT_CALM) / (1.0 - DRIFT_CALM))


def interval_s(smart: Smart, value: float) -> float:
    """Between two looks: the floor at a score of 0, the ceiling at 1, and in between by ratio."""
    return smart.interval_min_s * math.pow(smart.interval_max_s / smart.interval_min_s, value)


def presses(smart: Smart, value: float) -> bool:
    """Whether the live model does so badly that comfort must not keep a better one out."""
    return value < smart.comfort_score


def _scored(smart: Smart, quality: float, told: str) -> Score:
    value = min(1.0, max(0.0, (quality - smart.quality_bad) / (smart.quality_good - smart.quality_bad)))
    return Score(value, f"score {value:.2f} ({told})")

"""How well the live model does, as one score; the formula is in docs/CONDITIONS.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from device_client.core.conditions.model_quality import Quality
from device_client.core.policy import Smart

WEIGHTS: Final = {"drift": 0.5, "agreement": 0.3, "confidence": 0.2}
NO_EVIDENCE: Final = 0.5  # in the middle of the interval
DRIFT_CALM: Final = 0.5  # what chance alone reaches (`feedback.drift_detector`)


@dataclass(frozen=True, slots=True)
class Score:
    """0 is bad, 1 is good. `figures`: the figures, for reasons."""

    value: float
    figures: str


def score(smart: Smart, quality: Quality | None, expected_accuracy: float | None = None) -> Score:
    """Return the score. `expected_accuracy`: the publisher's; 1 where unknown."""
    if quality is None or quality.inferences < smart.inferences_min:
        count = quality.inferences if quality else 0
        return Score(NO_EVIDENCE, f"score {NO_EVIDENCE:.2f}, for {count} inferences tell nothing yet")
    if quality.accuracy is not None:
        share = min(1.0, quality.accuracy / (expected_accuracy or 1.0))
        against = f" where {expected_accuracy:.2f} is expected" if expected_accuracy else ""
        return _scored(smart, share, f"accuracy {quality.accuracy:.2f}{against}")
    # of drift, only what is beyond chance counts
    calm = None if quality.drift is None else 1.0 - max(0.0, (quality.drift - DRIFT_CALM) / (1.0 - DRIFT_CALM))
    good = {"drift": calm, "agreement": quality.agreement, "confidence": quality.confidence}
    known = {name: value for name, value in good.items() if value is not None}
    if not known:
        return Score(NO_EVIDENCE, f"score {NO_EVIDENCE:.2f}, for nothing was measured")
    blend = sum(WEIGHTS[name] * value for name, value in known.items()) / sum(WEIGHTS[name] for name in known)
    figures = ", ".join(f"{name} {getattr(quality, name):.2f}" for name in known)
    scored = _scored(smart, blend, figures)
    if known.keys() == {"confidence"} and scored.value < NO_EVIDENCE:
        # how sure a model is depends on its task, so confidence alone shows no trouble
        return Score(NO_EVIDENCE, f"score {NO_EVIDENCE:.2f}, for {figures} alone tells no trouble")
    return scored


def interval_s(smart: Smart, value: float) -> float:
    """Seconds between two checks: the minimum at score 0, the maximum at 1."""
    return smart.interval_min_s * math.pow(smart.interval_max_s / smart.interval_min_s, value)


def _scored(smart: Smart, quality: float, figures: str) -> Score:
    value = min(1.0, max(0.0, (quality - smart.quality_bad) / (smart.quality_good - smart.quality_bad)))
    return Score(value, f"score {value:.2f} ({figures})")

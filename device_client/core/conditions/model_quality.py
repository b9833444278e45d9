"""How well the live model has done of late, as figures that the feedback fills in. It measures nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quality:
    """The live model on its latest inputs; what nobody could measure is None.

    Every figure is 0..1. `accuracy`: share of labelled inputs answered rightly. `drift`: how far the inputs have moved
    from the training set, 0 not at all, 1 beyond recognition. `agreement`: share of inputs on which a second model
    said the same. `confidence`: mean of the highest score. `inferences`: how many inputs stand behind it.
    """

    accuracy: float | None = None
    drift: float | None = None
    agreement: float | None = None
    confidence: float | None = None
    inferences: int = 0

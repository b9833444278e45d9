"""How well the live model did recently, as figures that the feedback provides."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quality:
    """The live model on its latest inputs; None where a figure was not measured.

    All figures are 0-1. `accuracy`: share of labelled inputs with the right answer.
    `drift`: distance of the inputs from the training set. `agreement`: share of inputs
    on which a second model gave the same answer. `confidence`: mean of the highest
    score.
    """

    accuracy: float | None = None
    drift: float | None = None
    agreement: float | None = None
    confidence: float | None = None
    inferences: int = 0

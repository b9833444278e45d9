"""How well the live model did recently, as figures that the feedback provides."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of its latest inputs, 0-1; None where one was not measured."""

    accuracy: float | None = None  # share of labelled inputs with the right answer
    drift: float | None = None  # distance of the inputs from the training set
    agreement: float | None = None  # share of inputs on which a second model gave the same answer
    confidence: float | None = None  # mean of the highest score
    inferences: int = 0

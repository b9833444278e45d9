"""The application's side of a model, for those who call it without an `EdgeModel`."""

from __future__ import annotations

from typing import Any, Protocol

from device_client.serving.prediction import Prediction
from protocol.messages.manifest import Contract


class Predictor(Protocol):
    """Answers one input at a time."""

    @property
    def contract(self) -> Contract | None:
        """What the live model takes and gives; None before the first."""

    def predict(self, x: Any) -> Prediction:
        """Run the live model on one input. Raises FerryError."""

    def label(self, prediction: Prediction | int, true_class: int | str) -> bool:
        """Give an earlier prediction its true class. Raises BadInput."""

"""The application's side of a model, for those who call it without an `EdgeModel`."""

from __future__ import annotations

from typing import Any, Protocol

from device_client.serving.prediction import Prediction
from protocol.messages.contract import Contract
from protocol.messages.preprocessing import Preprocessing


class Predictor(Protocol):
    @property
    def contract(self) -> Contract | None:
        """None before the first model."""

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What `predict` does with an input first; None for nothing."""

    def predict(self, x: Any) -> Prediction:
        """Run the live model on one input. Raises FerryError."""

    def label(self, prediction: Prediction | int, truth: Any) -> bool:
        """Give an earlier prediction its truth. Raises BadInput."""

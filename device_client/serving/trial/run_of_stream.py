"""The models of a shadow on one run of a stream, each with its own state."""

from __future__ import annotations

from collections.abc import Sequence

from device_client.adapters.runtime.tflite import Array
from device_client.serving.interpreter_pool import InterpreterPool
from device_client.serving.prediction import finite
from device_client.serving.trial.stream_sampler import Place
from protocol.errors import FerryError


class RunOfStream:
    """In a run within a stream the live model answers anew, from its initial state."""

    def __init__(self, candidate: InterpreterPool, live: InterpreterPool, place: Place) -> None:
        """Raises BadModel."""
        self._candidate = candidate.at_initial_state()
        self._live = live.at_initial_state() if place is Place.LATER else None
        self._prepare, self._form = live.prepare, live.form

    def candidate(self, prepared: Sequence[Array]) -> list[Array]:
        return self._candidate.step(prepared)

    def live(self, inputs: Sequence[Array], answer: tuple[Array, ...]) -> tuple[Array, ...] | None:
        """The live answer in this run; None if the model fails."""
        if self._live is None:
            return answer
        try:
            row = self._form.row(self._live.step(self._prepare(list(inputs))), 0, 1)
        except FerryError:
            return None
        return row if finite(row) else None

"""Answers the questions about one model, one after the other: asks the model, and remembers what a label may come for.

Passive, with no queue, no topic and no thread: `desk.py` has those. Whatever is asked, there is an answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from device_client.mqtt_inference import request as asked
from device_client.serving.prediction import Prediction
from protocol.errors import BadInput, BadModel, FerryError, MissingPart
from protocol.messages.inference import InferenceRequest, InferenceResponse, Mark, Trouble
from protocol.messages.manifest import Contract

REMEMBERED_MAX: Final = 8_192  # answers that a label may still come for: as many as the serving knows

log = logging.getLogger(__name__)


class Answering(Protocol):
    """The application's side of a model."""

    @property
    def contract(self) -> Contract | None:
        """What the live model takes and gives; None before the first."""

    def predict(self, x: Any) -> Prediction:
        """Answer one input. Raises FerryError."""

    def label(self, prediction: Prediction | int, true_class: int | str) -> bool:
        """Tell the truth about an earlier answer. Raises BadInput."""


class RequestHandler:
    """Of one model on one device. Not thread-safe."""

    def __init__(
        self, device: str, model: str, serving: Answering, *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._device, self._model, self._serving, self._clock_s = device, model, serving, clock_s
        self._answered: dict[Mark, int] = {}  # the question's id to the serving's

    def answer(self, payload: bytes, since_s: float) -> InferenceResponse:
        """What to say to a message that came at `since_s`."""
        try:
            question = asked.read(payload)
        except BadInput as refused:
            return self.trouble("bad_question", refused, payload)
        try:
            return self._label_earlier(question) if question.x is None else self._predict(question, since_s)
        except MissingPart as missing:
            return self._trouble("no_model", missing, question.id)
        except BadModel as failed:
            return self._trouble("failed", failed, question.id)
        except BadInput as refused:
            return self._trouble("bad_question", refused, question.id)
        except Exception:
            # no question, whatever is in it, may be the last that is answered
            log.exception("%s: a question could not be answered", self._model)
            return self._trouble("failed", "the device could not answer; its log says why", question.id)

    def trouble(self, kind: Trouble, told: FerryError | str, payload: bytes) -> InferenceResponse:
        """Why there is no answer to a message."""
        return self._trouble(kind, told, asked.mark_of(payload))

    def _predict(self, question: InferenceRequest, since_s: float) -> InferenceResponse:
        contract = self._serving.contract
        if contract is None:
            raise MissingPart(
                f"no version of {self._model} is installed on {self._device} yet", hint="its status tells when one is"
            )
        x = asked.arrange(question.x, contract)
        begun_s = self._clock_s()
        prediction = self._serving.predict(x)
        took_s = self._clock_s() - begun_s
        said = asked.said_of(prediction)
        said |= {"latency_ms": took_s * 1000, "waited_ms": (begun_s - since_s) * 1000}
        if question.id is not None:
            self._remember(question.id, prediction.id)
        if question.label is not None:
            said |= self._labelled(question, prediction)
        return InferenceResponse(id=question.id, device=self._device, model=self._model, **said)

    def _labelled(self, question: InferenceRequest, prediction: Prediction) -> dict[str, Any]:
        """What became of a label that came with its input: a wrong one takes nothing from the answer."""
        assert question.label is not None
        try:
            counted = self._serving.label(prediction, question.label)
        except BadInput as refused:
            return {"label_counted": False, "error": str(refused), "error_kind": "bad_question"}
        self._forget(question.id)
        return {"label_counted": counted}

    def _label_earlier(self, question: InferenceRequest) -> InferenceResponse:
        assert question.id is not None  # `read` has seen to both
        assert question.label is not None
        earlier = self._answered.get(question.id)
        if earlier is None:
            raise BadInput(
                f"no answer to the question {question.id!r} waits for a label",
                hint=f"it has one, was not asked here, or is older than the last {REMEMBERED_MAX:,}",
            )
        counted = self._serving.label(earlier, question.label)
        self._forget(question.id)
        return InferenceResponse(id=question.id, label_counted=counted, device=self._device, model=self._model)

    def _remember(self, mark: Mark, prediction_id: int) -> None:
        self._forget(mark)  # the latest of an id is the newest in the order too
        self._answered[mark] = prediction_id
        if len(self._answered) > REMEMBERED_MAX:
            del self._answered[next(iter(self._answered))]

    def _forget(self, mark: Mark | None) -> None:
        if mark is not None:
            self._answered.pop(mark, None)

    def _trouble(self, kind: Trouble, told: FerryError | str, mark: Mark | None) -> InferenceResponse:
        return InferenceResponse(id=mark, error=str(told), error_kind=kind, device=self._device, model=self._model)

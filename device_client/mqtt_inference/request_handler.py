"""Answers the requests of one model, and counts labels that come later."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from device_client.mqtt_inference.request import arrange, read_id, read_request, response_fields
from device_client.serving.prediction import Prediction
from device_client.serving.predictor import Predictor
from protocol.errors import BadInput, BadModel, FerryError, MissingPart
from protocol.messages.inference import ErrorKind, InferenceRequest, InferenceResponse, ShortValue

REMEMBERED_MAX: Final = 8_192  # predictions that may still be labelled: as many as the serving knows

log = logging.getLogger(__name__)


class RequestHandler:
    """Not thread-safe."""

    def __init__(
        self, device: str, model: str, predictor: Predictor, *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._device, self._model, self._predictor, self._clock_s = device, model, predictor, clock_s
        self._predictions: dict[ShortValue, int] = {}  # the request's id to the prediction's, oldest first

    def handle(self, payload: bytes, since_s: float) -> InferenceResponse:
        """Answer a request that arrived at `since_s`. Never raises."""
        try:
            request = read_request(payload)
        except BadInput as refused:
            return self.error_response("bad_question", refused, read_id(payload))
        try:
            if request.x is None and request.id is not None and request.label is not None:
                return self._label_earlier(request.id, request.label)
            return self._predict(request, since_s)
        except MissingPart as missing:
            return self.error_response("no_model", missing, request.id)
        except BadModel as failed:
            return self.error_response("failed", failed, request.id)
        except BadInput as refused:
            return self.error_response("bad_question", refused, request.id)
        except Exception:
            # a request that triggers a bug must not end the worker
            log.exception("%s: a request could not be answered", self._model)
            return self.error_response("failed", "the device could not answer; its log says why", request.id)

    def _predict(self, request: InferenceRequest, since_s: float) -> InferenceResponse:
        contract = self._predictor.contract
        if contract is None:
            raise MissingPart(  # not by a variable: docs/MESSAGES.md is made from what is raised
                f"no version of {self._model} is installed on {self._device} yet", hint="its status tells when one is"
            )
        x = request.x if self._predictor.preprocessing else arrange(request.x, contract)
        begun_s = self._clock_s()
        prediction = self._predictor.predict(x)
        took_s = self._clock_s() - begun_s
        fields = response_fields(prediction)
        fields |= {"latency_ms": took_s * 1000, "waited_ms": (begun_s - since_s) * 1000}
        if request.id is not None:
            self._remember(request.id, prediction.id)
        if request.label is not None:
            fields |= self._label(prediction, request.label, request.id)
        return InferenceResponse(id=request.id, device=self._device, model=self._model, **fields)

    def _label(self, prediction: Prediction, label: Any, request_id: ShortValue | None) -> dict[str, Any]:
        """Count a label that came with its input; if invalid, keep the prediction."""
        try:
            counted = self._predictor.label(prediction, label)
        except BadInput as refused:
            return {"label_counted": False, "error": str(refused), "error_kind": "bad_question"}
        if request_id is not None:
            self._predictions.pop(request_id, None)
        return {"label_counted": counted}

    def _label_earlier(self, request_id: ShortValue, label: Any) -> InferenceResponse:
        prediction_id = self._predictions.get(request_id)
        if prediction_id is None:
            raise BadInput(
                f"no answer to the question {request_id!r} waits for a label",
                hint=f"it has one, was not asked here, or is older than the last {REMEMBERED_MAX:,}",
            )
        counted = self._predictor.label(prediction_id, label)
        del self._predictions[request_id]
        return InferenceResponse(id=request_id, label_counted=counted, device=self._device, model=self._model)

    def _remember(self, request_id: ShortValue, prediction_id: int) -> None:
        self._predictions.pop(request_id, None)  # a repeated id moves to the end
        self._predictions[request_id] = prediction_id
        if len(self._predictions) > REMEMBERED_MAX:
            del self._predictions[next(iter(self._predictions))]

    def error_response(self, kind: ErrorKind, error: FerryError | str, id_: ShortValue | None) -> InferenceResponse:
        """A response with the id of the request, if that is known."""
        return InferenceResponse(id=id_, error=str(error), error_kind=kind, device=self._device, model=self._model)

"""A bounded request queue and its worker thread, one per model.

When the queue is full, the oldest request is rejected with an error response.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from device_client.mqtt_inference.request import read_id, response_topic
from device_client.mqtt_inference.request_handler import RequestHandler
from protocol.errors import BadInput
from protocol.mqtt.link import ReplyTo
from protocol.topics import Kind, Topics

WAITING_MAX: Final = 32  # requests of up to 64 KB; as many rejected ones may be held
LOG_EVERY_S: Final = 60.0
_JOIN_S: Final = 2.0  # how long `close` waits for the current request

Publish = Callable[[str, bytes, bytes], None]
"""Publish at QoS 0, not retained: topic, payload, correlation data."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _WaitingRequest:
    payload: bytes
    reply_to: ReplyTo | None
    since_s: float

    @property
    def correlation(self) -> bytes:
        return self.reply_to.correlation if self.reply_to else b""


class RequestWorker:
    """`submit` may be called by any thread, and never blocks."""

    def __init__(
        self,
        device: str,
        model: str,
        topics: Topics,
        handler: RequestHandler,
        publish: Publish,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.input = topics.of_device(Kind.INPUT, device, model)
        self._output = topics.of_device(Kind.OUTPUT, device, model)
        self._root, self._handler, self._publish, self._clock_s = topics.root, handler, publish, clock_s
        self._changed = threading.Condition()
        self._waiting: deque[_WaitingRequest] = deque()
        self._rejected: deque[_WaitingRequest] = deque(maxlen=WAITING_MAX)  # older ones get no response
        self._closed = False
        self._logged_at_s = float("-inf")
        self.rejected = 0  # since the start
        self._thread = threading.Thread(target=self._work, name=f"questions {model}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Drop what waits, and give the current request a moment to end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def submit(self, payload: bytes, reply_to: ReplyTo | None) -> None:
        """Queue a request, in place of the oldest when the queue is full."""
        with self._changed:
            if len(self._waiting) == WAITING_MAX:
                self._rejected.append(self._waiting.popleft())
                self.rejected += 1
            self._waiting.append(_WaitingRequest(payload, reply_to, self._clock_s()))
            self._changed.notify()

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            rejected, waiting = turn
            if rejected:
                self._reject(rejected)
            if waiting:
                self._respond(waiting)

    def _next(self) -> tuple[_WaitingRequest | None, _WaitingRequest | None] | None:
        """A rejected request and one to answer; None when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or self._rejected)
            if self._closed:
                return None
            rejected = self._rejected.popleft() if self._rejected else None
            return rejected, self._waiting.popleft() if self._waiting else None

    def _respond(self, request: _WaitingRequest) -> None:
        """Publish the response, or on the output why its topic is not allowed."""
        try:
            topic, correlation = response_topic(request.reply_to, self._output, self._root), request.correlation
            response = self._handler.handle(request.payload, request.since_s)
        except BadInput as refused:
            topic, correlation = self._output, b""
            response = self._handler.error_response("bad_question", refused, read_id(request.payload))
        self._publish(topic, response.to_line(), correlation)

    def _reject(self, request: _WaitingRequest) -> None:
        now_s = self._clock_s()
        if now_s - self._logged_at_s >= LOG_EVERY_S:
            self._logged_at_s = now_s
            log.warning("%s: more is asked over MQTT than can be answered: %d rejected", self.input, self.rejected)
        reason = f"more than {WAITING_MAX} questions wait here; ask less often, or await each answer before the next"
        with contextlib.suppress(BadInput):  # a response topic that is not allowed
            topic = response_topic(request.reply_to, self._output, self._root)
            response = self._handler.error_response("overloaded", reason, read_id(request.payload))
            self._publish(topic, response.to_line(), request.correlation)

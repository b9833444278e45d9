"""Where questions that came over MQTT wait for one model, and the thread that answers them.

Taking a question costs no more than putting it down, for that is done by the thread of the link. When more come than
can be answered, the oldest are turned away with a word: whoever asked last still waits.
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

from device_client.mqtt_inference import request as asked
from device_client.mqtt_inference.request_handler import RequestHandler
from protocol.errors import BadInput
from protocol.mqtt.link import ReplyTo
from protocol.topics import Kind, Topics

WAITING_MAX: Final = 32  # questions; they may take twice that many times 128 KB
TELL_EVERY_S: Final = 60.0
_JOIN_S: Final = 2.0  # how long closing waits for the question under way

Say = Callable[[str, bytes, bytes], None]
"""Publish at QoS 0, not retained: topic, payload, correlation."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _QueuedRequest:
    payload: bytes
    reply_to: ReplyTo | None
    since_s: float


class RequestWorker:
    """Of one model on one device. `take` may be called by any thread, and never waits."""

    def __init__(
        self,
        device: str,
        model: str,
        topics: Topics,
        clerk: RequestHandler,
        say: Say,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.input = topics.of_device(Kind.INPUT, device, model)
        self._output = topics.of_device(Kind.OUTPUT, device, model)
        self._root, self._clerk, self._say, self._clock_s = topics.root, clerk, say, clock_s
        self._news = threading.Condition()
        self._waiting: deque[_QueuedRequest] = deque()
        self._turned_away: deque[_QueuedRequest] = deque(
            maxlen=WAITING_MAX
        )  # to be told so; beyond, they are only counted
        self._closed = False
        self._told_at_s = float("-inf")
        self.turned_away = 0  # since the start
        self._thread = threading.Thread(target=self._work, name=f"questions {model}", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Drop what waits; the question under way is given a moment."""
        with self._news:
            self._closed = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def take(self, payload: bytes, reply_to: ReplyTo | None) -> None:
        """Put a question down; the oldest makes room where there is none."""
        with self._news:
            if len(self._waiting) == WAITING_MAX:
                self._turned_away.append(self._waiting.popleft())
                self.turned_away += 1
            self._waiting.append(_QueuedRequest(payload, reply_to, self._clock_s()))
            self._news.notify()

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            late, waiting = turn
            if late:
                self._turn_away(late)
            if waiting:
                self._answer(waiting)

    def _next(self) -> tuple[_QueuedRequest | None, _QueuedRequest | None] | None:
        """One of those that were turned away, and one to answer; None when the desk is closed."""
        with self._news:
            self._news.wait_for(lambda: self._closed or self._waiting or self._turned_away)
            if self._closed:
                return None
            late = self._turned_away.popleft() if self._turned_away else None
            return late, self._waiting.popleft() if self._waiting else None

    def _answer(self, waiting: _QueuedRequest) -> None:
        """To where it is awaited. Who awaits it where nothing may be said is told so on the output."""
        try:
            topic = asked.place_of_answer(waiting.reply_to, self._output, self._root)
        except BadInput as refused:
            self._say(self._output, self._clerk.trouble("bad_question", refused, waiting.payload).to_line(), b"")
            return
        self._say(topic, self._clerk.answer(waiting.payload, waiting.since_s).to_line(), _known_by(waiting))

    def _turn_away(self, late: _QueuedRequest) -> None:
        now_s = self._clock_s()
        if now_s - self._told_at_s >= TELL_EVERY_S:
            self._told_at_s = now_s
            log.warning(
                "%s: more is asked over MQTT than can be answered: %d turned away", self.input, self.turned_away
            )
        told = f"more than {WAITING_MAX} questions wait here; ask less often, or await each answer before you ask again"
        with contextlib.suppress(BadInput):  # awaited where nothing may be said: then nothing is
            topic = asked.place_of_answer(late.reply_to, self._output, self._root)
            self._say(topic, self._clerk.trouble("overloaded", told, late.payload).to_line(), _known_by(late))


def _known_by(waiting: _QueuedRequest) -> bytes:
    return waiting.reply_to.correlation if waiting.reply_to else b""

"""Where questions that came over MQTT wait for one model, and the thread that answers them.

Taking a question costs no more than putting it down, for that is done by the thread of the link. When more come than
can be answered, the oldest are turned away with a word: whoever asked last still waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from device_client import asked
from device_client.prediction import Prediction
from protocol.errors import BadInput, BadModel, FerryError, MissingPart
from protocol.link import ReplyTo
from protocol.manifest import Contract
from protocol.questions import Answer, Mark, Question, Trouble
from protocol.topics import Kind, Topics

WAITING_MAX: Final = 32  # questions; they may take twice that many times 128 KB
REMEMBERED_MAX: Final = 8_192  # answers that a label may still come for: as many as the serving knows
TELL_EVERY_S: Final = 60.0
_JOIN_S: Final = 2.0  # how long closing waits for the question under way

Say = Callable[[str, bytes, bytes], None]
"""Publish at QoS 0, not retained: topic, payload, correlation."""

log = logging.getLogger("edgeferry.device")


class Answering(Protocol):
    """What a desk asks: the application's side of a model."""

    @property
    def contract(self) -> Contract | None:
        """What the live model takes and gives; None before the first."""

    def predict(self, x: Any) -> Prediction:
        """Answer one input. Raises FerryError."""

    def label(self, prediction: Prediction | int, true_class: int | str) -> bool:
        """Tell the truth about an earlier answer. Raises BadInput."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    payload: bytes
    reply_to: ReplyTo | None
    since_s: float


class Desk:
    """Of one model on one device. `take` may be called by any thread, and never waits."""

    def __init__(
        self,
        device: str,
        model: str,
        topics: Topics,
        serving: Answering,
        say: Say,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.input = topics.of_device(Kind.INPUT, device, model)
        self._output = topics.of_device(Kind.OUTPUT, device, model)
        self._root, self._device, self._model = topics.root, device, model
        self._serving, self._say, self._clock_s = serving, say, clock_s
        self._news = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._turned_away: deque[_Waiting] = deque(maxlen=WAITING_MAX)  # to be told so; beyond, they are only counted
        self._closed = False
        self._answered: dict[Mark, int] = {}  # the question's id to the serving's
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
            self._waiting.append(_Waiting(payload, reply_to, self._clock_s()))
            self._news.notify()

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            late, waiting = turn
            if late:
                self._turn_away(late)
            if waiting:
                self._answer(waiting)

    def _next(self) -> tuple[_Waiting | None, _Waiting | None] | None:
        """One of those that were turned away, and one to answer; None when the desk is closed."""
        with self._news:
            self._news.wait_for(lambda: self._closed or self._waiting or self._turned_away)
            if self._closed:
                return None
            late = self._turned_away.popleft() if self._turned_away else None
            return late, self._waiting.popleft() if self._waiting else None

    def _turn_away(self, late: _Waiting) -> None:
        now_s = self._clock_s()
        if now_s - self._told_at_s >= TELL_EVERY_S:
            self._told_at_s = now_s
            log.warning(
                "%s: more is asked over MQTT than can be answered: %d turned away", self._model, self.turned_away
            )
        told = f"more than {WAITING_MAX} questions wait here; ask less often, or await each answer before you ask again"
        self._send(late, self._trouble("overloaded", told, asked.mark_of(late.payload)))

    def _answer(self, waiting: _Waiting) -> None:
        try:
            asked.place_of_answer(waiting.reply_to, self._output, self._root)
            question = asked.read(waiting.payload)
        except BadInput as refused:
            self._send(waiting, self._trouble("bad_question", refused, asked.mark_of(waiting.payload)))
            return
        self._send(waiting, self._answer_to(question, waiting.since_s))

    def _answer_to(self, question: Question, since_s: float) -> Answer:
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

    def _predict(self, question: Question, since_s: float) -> Answer:
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
        return Answer(id=question.id, device=self._device, model=self._model, **said)

    def _labelled(self, question: Question, prediction: Prediction) -> dict[str, Any]:
        """What became of a label that came with its input: a wrong one takes nothing from the answer."""
        assert question.label is not None
        try:
            counted = self._serving.label(prediction, question.label)
        except BadInput as refused:
            return {"label_counted": False, "error": str(refused), "error_kind": "bad_question"}
        self._forget(question.id)
        return {"label_counted": counted}

    def _label_earlier(self, question: Question) -> Answer:
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
        return Answer(id=question.id, label_counted=counted, device=self._device, model=self._model)

    def _remember(self, mark: Mark, prediction_id: int) -> None:
        self._forget(mark)  # the latest of an id is the newest in the order too
        self._answered[mark] = prediction_id
        if len(self._answered) > REMEMBERED_MAX:
            del self._answered[next(iter(self._answered))]

    def _forget(self, mark: Mark | None) -> None:
        if mark is not None:
            self._answered.pop(mark, None)

    def _trouble(self, kind: Trouble, told: FerryError | str, mark: Mark | None) -> Answer:
        return Answer(id=mark, error=str(told), error_kind=kind, device=self._device, model=self._model)

    def _send(self, waiting: _Waiting, answer: Answer) -> None:
        """To where it is awaited; what may not be awaited there is told on the output."""
        try:
            topic = asked.place_of_answer(waiting.reply_to, self._output, self._root)
        except BadInput:
            topic = self._output
        correlation = waiting.reply_to.correlation if waiting.reply_to and topic == waiting.reply_to.topic else b""
        self._say(topic, answer.to_line(), correlation)

"""A second model on a sample of the live inputs, in a thread of low priority: does it agree, and is it right?

An input is copied into a short queue, or left out when that is full: the application never waits. Whatever goes wrong
in here is counted, and never reaches the application. Latencies are processor time, for this thread is made to wait.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Final

from device_client.core.tally import Tally
from device_client.feedback import Counts
from device_client.loaded import Loaded
from device_client.ports import Delegate, ModelFile
from device_client.prediction import Array, agree, finite

QUEUE_MAX: Final = 32  # inputs waiting; each is a copy
PAIRS_MAX: Final = 8_192  # answers that a label may still come for
NICE: Final = 10
_JOIN_S: Final = 2.0  # how long closing waits for the input under way

log = logging.getLogger("edgeferry.device")


@dataclass(frozen=True, slots=True)
class _Sampled:
    id: int
    inputs: list[Array]
    answer: tuple[Array, ...]
    top: int | None


@dataclass(slots=True)
class _Pair:
    """What both models chose for one input, and what it truly was; each may come last."""

    live: int | None
    shadow: int | None = None
    truth: int | None = None


class Shadow:
    """Started at once; `offer` and `label` are called by the application's threads, the rest by the runner's."""

    def __init__(
        self,
        file: ModelFile,
        *,
        cpu_s: Callable[[], float],
        tolerance: float,
        live: Counts | None = None,
        threads: int = 1,
        delegates: Sequence[Delegate] = (),
        queue_max: int = QUEUE_MAX,
        pairs_max: int = PAIRS_MAX,
    ) -> None:
        """`live`: where agreement is counted for feedback. Raises BadModel when the file cannot be opened."""
        self._loaded = Loaded(file, most=1, threads=threads, delegates=delegates)
        self._cpu_s = cpu_s
        self._tolerance = tolerance
        self._live = live
        self._queue: Queue[_Sampled | None] = Queue(queue_max)
        self._pairs_max = pairs_max
        self._pairs: dict[int, _Pair] = {}
        self._lock = threading.Lock()
        self._stopped = False
        self._latency = Counts(file.version, file.variant, now_s=0.0)
        self._inputs = self._agreed = self._errors = 0
        self._labelled = self._live_correct = self._shadow_correct = 0
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, id_: int, inputs: Sequence[Array], answer: Sequence[Array], top: int | None) -> None:
        """Take a copy of an input (with a batch of 1) and the live answer, if there is room."""
        if self._stopped or self._queue.full():
            return
        sampled = _Sampled(id_, [each.copy() for each in inputs], tuple(each.copy() for each in answer), top)
        with contextlib.suppress(Full):  # another thread was faster; leaving one out is what a sample may do
            self._queue.put_nowait(sampled)
            self._remember(sampled)

    def label(self, id_: int, truth: int) -> None:
        """The true class of an input, if it was sampled."""
        with self._lock:
            pair = self._pairs.get(id_)
            if pair:
                pair.truth = truth
                self._weigh(id_, pair)

    def tally(self, live: Counts) -> Tally:
        """The counts so far, with those of the live model over the same time."""
        seen = live.look(0.0)
        with self._lock:
            return Tally(
                inputs=self._inputs,
                agreed=self._agreed,
                shadow_errors=self._errors,
                labelled=self._labelled,
                live_correct=self._live_correct,
                shadow_correct=self._shadow_correct,
                live_inferences=seen.inferences,
                live_errors=seen.errors,
                live_latency_ms_p95=seen.latency_ms_p95,
                shadow_latency_ms_p95=self._latency.look(0.0).latency_ms_p95,
            )

    def stop(self) -> None:
        """Drop what waits and end the thread; the input under way is given a moment."""
        self._stopped = True
        with contextlib.suppress(Empty):
            while True:
                self._queue.get_nowait()
        with contextlib.suppress(Full):  # then the thread finds another item, and sees that it is over
            self._queue.put_nowait(None)
        self._thread.join(_JOIN_S)

    def _remember(self, sampled: _Sampled) -> None:
        with self._lock:
            self._pairs.setdefault(sampled.id, _Pair(sampled.top))
            while len(self._pairs) > self._pairs_max:
                del self._pairs[next(iter(self._pairs))]

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # then it runs with the priority that it has
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while (sampled := self._queue.get()) is not None:
            if self._stopped:
                return
            try:
                self._compare(sampled)
            except Exception as failure:  # noqa: BLE001 - whatever a candidate does is its own error, never the application's
                self._failed(failure)

    def _compare(self, sampled: _Sampled) -> None:
        begun_s = self._cpu_s()
        outputs = self._loaded.run(sampled.inputs)
        took_s = self._cpu_s() - begun_s
        form = self._loaded.form
        answer = form.row(outputs, 0, 1)
        if not finite(answer):
            raise ArithmeticError("the shadow's answer is not a number")
        agreed = agree(sampled.answer, answer, form, self._tolerance)
        top, _ = form.choice(answer[0])
        self._latency.observe(took_s, None, None)
        if self._live:
            self._live.compare(agreed)
        with self._lock:
            self._inputs += 1
            self._agreed += agreed
            pair = self._pairs.get(sampled.id)
            if pair and top is not None:
                pair.shadow = top
                self._weigh(sampled.id, pair)

    def _failed(self, failure: Exception) -> None:
        with self._lock:
            self._inputs += 1
            self._errors += 1
            first = self._errors == 1
        if first:
            log.warning("the shadow %s failed on a live input: %s", self._loaded.file.version, failure)

    def _weigh(self, id_: int, pair: _Pair) -> None:
        """Count a pair once all three are known. Called under the lock."""
        if pair.truth is None or pair.shadow is None:
            return
        del self._pairs[id_]
        self._labelled += 1
        self._live_correct += pair.live == pair.truth
        self._shadow_correct += pair.shadow == pair.truth

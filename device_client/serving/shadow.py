"""A second model on a sample of the live inputs, in a thread of low priority: does it agree, and is it right?

An input is copied into a short queue, or left out when that is full or the processor time for it is used up: the
application never waits. Whatever goes wrong in here is counted, and never reaches the application. Latencies are
processor time, for this thread is made to wait.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from queue import Empty, Full, Queue
from typing import Final

from device_client.adapters.process_priority import lower_priority
from device_client.core.trial.tally import DROP_BINS, Tally
from device_client.ports.serving import Delegate, ModelFile
from device_client.serving.cpu_budget import CpuBudget
from device_client.serving.feedback_counter import FeedbackCounter
from device_client.serving.interpreter_pool import InterpreterPool
from device_client.serving.prediction import Array, agree, finite

QUEUE_MAX: Final = 32  # inputs waiting; each is a copy
PAIRS_MAX: Final = 8_192  # answers that a label may still come for
NICE: Final = 10
GOLDEN: Final = (sqrt(5) - 1) / 2  # its multiples are spread evenly, and in step with nothing
RARE_S: Final = 10.0  # where inputs are rarer than that, each is sampled: a share of few would be too few
_JOIN_S: Final = 2.0  # how long closing waits for the input under way

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """What a shadow may use, and how two answers are compared.

    `cpu_percent`: of one core, on average. `tolerance`: between values, see `agree`. `slow_ratio`, `slow_floor_ms`: a
    model is slow on an input when it takes more processor time than so many times the other's, and than the floor.
    """

    cpu_percent: float = 100.0
    tolerance: float = 0.05
    slow_ratio: float = 4.0
    slow_floor_ms: float = 20.0

    def slow(self, took_s: float, other_took_s: float) -> bool:
        """Whether the one was slow beside the other."""
        return took_s > max(self.slow_floor_ms / 1_000, self.slow_ratio * other_took_s)


@dataclass(frozen=True, slots=True)
class _Sampled:
    id: int
    inputs: list[Array]
    answer: tuple[Array, ...]
    top: int | None
    took_s: float
    paid_s: float


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
        clock_s: Callable[[], float] = time.monotonic,
        terms: ShadowSettings = ShadowSettings(),
        share: float = 1.0,
        live: FeedbackCounter | None = None,
        threads: int = 1,
        delegates: Sequence[Delegate] = (),
        queue_max: int = QUEUE_MAX,
        pairs_max: int = PAIRS_MAX,
    ) -> None:
        """`live`: where agreement is counted for feedback. Raises BadModel when the file cannot be opened.

        `cpu_s`: processor time of the calling thread; with several `threads` of the runtime each is taken to use as
        much. `clock_s`: by which the allowance of processor time fills. `share`: of the inputs offered, those that
        are sampled, over 0 to 1; the allowance may make it less, and of rare inputs each is taken.
        """
        self._loaded = InterpreterPool(file, most=1, threads=threads, delegates=delegates)
        self._cpu_s, self._clock_s = cpu_s, clock_s
        self._terms, self._share = terms, share
        self._sampled_at_s = clock_s()
        self._allowance = CpuBudget(terms.cpu_percent / threads, clock_s())
        self._live = live
        self._queue: Queue[_Sampled | None] = Queue(queue_max)
        self._pairs_max = pairs_max
        self._pairs: dict[int, _Pair] = {}
        self._lock = threading.Lock()
        self._stopped = False
        self._under_way_since_s: float | None = None
        self._latency = FeedbackCounter(file.version, file.variant, now_s=0.0)
        self._inputs = self._agreed = self._errors = 0
        self._labelled = self._both_correct = self._only_live_correct = self._only_shadow_correct = 0
        self._live_slow = self._shadow_slow = 0
        self._drops = [0] * DROP_BINS
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, id_: int, inputs: Sequence[Array], answer: Sequence[Array], top: int | None, took_s: float) -> None:
        """Take a copy of an input (with a batch of 1) and the live answer, if there is room and processor time.

        `took_s`: the live model's processor time.
        """
        now_s = self._clock_s()
        wanted = id_ * GOLDEN % 1.0 < self._share or now_s >= self._sampled_at_s + RARE_S
        if self._stopped or not wanted or self._queue.full() or (paid_s := self._allowance.take(now_s)) is None:
            return
        self._sampled_at_s = now_s
        copies, kept = [each.copy() for each in inputs], tuple(each.copy() for each in answer)
        sampled = _Sampled(id_, copies, kept, top, took_s, paid_s)
        try:
            self._queue.put_nowait(sampled)
        except Full:  # another thread was faster; leaving one out is what a sample may do
            self._allowance.settle(paid_s, 0.0)
        else:
            self._remember(sampled)

    def label(self, id_: int, truth: int) -> None:
        """The true class of an input, if it was sampled."""
        with self._lock:
            pair = self._pairs.get(id_)
            if pair:
                pair.truth = truth
                self._weigh(id_, pair)

    def tally(self, live: FeedbackCounter) -> Tally:
        """The counts so far, with those of the live model over the same time."""
        seen, since_s = live.sums(), self._under_way_since_s
        with self._lock:
            return Tally(
                inputs=self._inputs,
                agreed=self._agreed,
                shadow_errors=self._errors,
                labelled=self._labelled,
                both_correct=self._both_correct,
                only_live_correct=self._only_live_correct,
                only_shadow_correct=self._only_shadow_correct,
                confidence_drops=tuple(self._drops),
                live_slow=self._live_slow,
                shadow_slow=self._shadow_slow,
                live_inferences=seen.inferences,
                live_errors=seen.errors,
                live_latency_ms_p95=seen.latency_ms(0.95),
                shadow_latency_ms_p95=self._latency.sums().latency_ms(0.95),
                shadow_under_way_s=0.0 if since_s is None else self._clock_s() - since_s,
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
        if self._thread.is_alive():
            log.warning(
                "the shadow %s does not come back from an input: its thread goes on until this process ends",
                self._loaded.file.version,
            )

    def _remember(self, sampled: _Sampled) -> None:
        with self._lock:
            self._pairs.setdefault(sampled.id, _Pair(sampled.top))
            while len(self._pairs) > self._pairs_max:
                del self._pairs[next(iter(self._pairs))]

    def _work(self) -> None:
        lower_priority(threading.get_native_id(), NICE)
        while (sampled := self._queue.get()) is not None:
            if self._stopped:
                return
            try:
                self._compare(sampled)
            except Exception as failure:  # noqa: BLE001 - whatever a candidate does is its own error, never the application's
                self._failed(failure)

    def _run(self, sampled: _Sampled) -> tuple[list[Array], float]:
        """The answer and the processor time that it took, which is paid for before anything is counted."""
        self._under_way_since_s, begun_s = self._clock_s(), self._cpu_s()
        try:
            outputs = self._loaded.run(sampled.inputs)
        finally:
            took_s = self._cpu_s() - begun_s
            self._under_way_since_s = None
            self._allowance.settle(sampled.paid_s, took_s)
        return outputs, took_s

    def _compare(self, sampled: _Sampled) -> None:
        outputs, took_s = self._run(sampled)
        form = self._loaded.form
        answer = form.row(outputs, 0, 1)
        if not finite(answer):
            raise ArithmeticError("the shadow's answer is not a number")
        agreed = agree(sampled.answer, answer, form, self._terms.tolerance)
        top, confidence = form.choice(answer[0])
        _, live_confidence = form.choice(sampled.answer[0])
        self._latency.observe(took_s, None, None)
        if self._live:
            self._live.compare(agreed)
        with self._lock:
            self._inputs += 1
            self._agreed += agreed
            self._live_slow += self._terms.slow(sampled.took_s, took_s)
            self._shadow_slow += self._terms.slow(took_s, sampled.took_s)
            if confidence is not None and live_confidence is not None:
                self._drops[_bin(live_confidence - confidence)] += 1
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
        live, shadow = pair.live == pair.truth, pair.shadow == pair.truth
        self._both_correct += live and shadow
        self._only_live_correct += live and not shadow
        self._only_shadow_correct += shadow and not live


def _bin(drop: float) -> int:
    """Of a difference of two shares, -1 to 1: the nearest of `DROP_BINS`."""
    middle = DROP_BINS // 2
    return middle + round(drop * middle)

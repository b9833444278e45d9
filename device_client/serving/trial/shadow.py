"""Runs a second model on a sample of the live inputs, and compares its answers.

The application never waits: an input is copied into a queue, or skipped when the queue
is full or the budget used up. Errors of the model are counted and go no further.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from queue import Empty, Full, Queue
from typing import Any, Final

from device_client.adapters.process_priority import lower_priority
from device_client.adapters.runtime.tflite import Array
from device_client.core.trial.tally import DROP_BINS, Tally
from device_client.ports.serving import Delegate, ModelFile
from device_client.serving.feedback_counter import FeedbackCounter
from device_client.serving.interpreter_pool import InterpreterPool
from device_client.serving.prediction import finite
from device_client.serving.trial.answer_comparison import AnswerComparison
from device_client.serving.trial.cpu_budget import CpuBudget
from device_client.serving.trial.labelled_pairs import FittedPair, LabelledPairs
from device_client.serving.trial.run_of_stream import RunOfStream
from device_client.serving.trial.sealed_inputs import SealedInputs
from device_client.serving.trial.sealed_trial import sealed_answers
from device_client.serving.trial.stream_sampler import Place, StreamSampler, StreamStep

QUEUE_MAX: Final = 32  # inputs waiting; each is a copy
QUEUE_MAX_BYTES: Final = 64_000_000
NICE: Final = 10
GOLDEN_RATIO: Final = (sqrt(5) - 1) / 2  # its multiples are spread evenly, and in step with no other period
BUDGET_WAIT_S: Final = 0.1  # until the budget is looked at again, for sealed inputs
RARE_S: Final = 10.0  # inputs at longer intervals are all sampled: a share of so few would be too few
_JOIN_S: Final = 2.0  # how long `stop` waits for the run in progress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """A model is slow on an input when its time is over both `slow_…` bounds."""

    cpu_percent: float = 100.0  # of one core, on average
    slow_ratio: float = 4.0  # times the other model's processor time
    slow_floor_ms: float = 20.0

    def slow(self, cpu_s: float, other_cpu_s: float) -> bool:
        return cpu_s > max(self.slow_floor_ms / 1_000, self.slow_ratio * other_cpu_s)


@dataclass(frozen=True, slots=True)
class _Sampled:
    id: int
    inputs: list[Array]
    answer: tuple[Array, ...]
    top: int | None
    cpu_s: float
    charged_s: float
    place: Place | None


class Shadow:
    """Starts its thread at once. Any thread may call any method."""

    def __init__(
        self,
        file: ModelFile,
        live: InterpreterPool,
        *,
        cpu_s: Callable[[], float],
        clock_s: Callable[[], float] = time.monotonic,
        settings: ShadowSettings = ShadowSettings(),
        share: float = 1.0,
        feedback: FeedbackCounter | None = None,
        sealed: SealedInputs | None = None,
        threads: int = 1,
        delegates: Sequence[Delegate] = (),
    ) -> None:
        """Open the model; `feedback` counts agreement. Raises BadModel.

        `cpu_s`: processor time of the calling thread. `share`: of the inputs to sample,
        0 to 1; rare inputs are all sampled. `sealed`: earlier inputs, answered first.
        """
        open_pool = partial(InterpreterPool, size_max=1, threads=threads, delegates=delegates)
        self._pool, self._live, self._live_form = open_pool(file), live, live.form
        self._streams = StreamSampler(self._is_chosen)
        self._run_of_stream: RunOfStream | None = None  # of the shadow's thread
        self._sealed = sealed_answers(sealed, live.file, file, open_pool) if sealed else iter(())
        self._cpu_s, self._clock_s = cpu_s, clock_s
        self._settings, self._share = settings, share
        self._sampled_at_s = clock_s()
        self._budget = CpuBudget(settings.cpu_percent / threads, clock_s())
        self._feedback = feedback
        self._queue: Queue[_Sampled | None] = Queue(QUEUE_MAX)
        self._stopped = threading.Event()
        self._run_started_s: float | None = None
        self._latency = FeedbackCounter(file.version, file.variant, now_s=0.0)
        self._lock = threading.RLock()  # for all counts below, and the sampled stream
        self._pairs = LabelledPairs(live.form.fit)
        known = feedback.given_classes() if feedback else {}
        self._answers = AnswerComparison(live.form.task, file.labels, known)
        self._inputs = self._errors = self._sealed_tried = 0
        self._live_slow = self._shadow_slow = 0
        self._drops = [0] * DROP_BINS
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def offer(
        self,
        id_: int,
        inputs: Sequence[Array],
        answer: Sequence[Array],
        top: int | None,
        cpu_s: float,
        step: StreamStep | None = None,
    ) -> None:
        """Queue a copy of a raw input (batch of 1) and its live answer, if sampled.

        `step`: its place in a stream of a model with state.
        """
        if step:
            with self._lock:
                now_s = self._clock_s()
                place = self._streams.place(step, now_s)
                if place and self._queued(id_, inputs, answer, top, cpu_s, place):
                    self._streams.took(step, now_s)
                else:
                    self._streams.missed(step)
        elif self._is_chosen(id_) or self._clock_s() >= self._sampled_at_s + RARE_S:
            self._queued(id_, inputs, answer, top, cpu_s, None)

    def _is_chosen(self, number: int) -> bool:
        return number * GOLDEN_RATIO % 1.0 < self._share

    def _queued(
        self,
        id_: int,
        inputs: Sequence[Array],
        answer: Sequence[Array],
        top: int | None,
        cpu_s: float,
        place: Place | None,
    ) -> bool:
        if self._stopped.is_set() or self._full_for(inputs):
            return False
        now_s = self._clock_s()
        charged_s = self._budget.charge(now_s)
        if charged_s is None:
            return False
        self._sampled_at_s = now_s
        copies, kept = [each.copy() for each in inputs], tuple(each.copy() for each in answer)
        sampled = _Sampled(id_, copies, kept, top, cpu_s, charged_s, place)
        try:
            self._queue.put_nowait(sampled)
        except Full:  # another thread was faster
            self._budget.settle(charged_s, 0.0)
            return False
        with self._lock:
            self._pairs.add(id_, self._live_form.kept(self._live_form.real(kept), top))
        return True

    def _full_for(self, inputs: Sequence[Array]) -> bool:
        """By number, or by size: raw pictures may be large."""
        waiting = self._queue.qsize()
        return self._queue.full() or waiting * sum(each.nbytes for each in inputs) > QUEUE_MAX_BYTES

    def label(self, id_: int, truth: Any) -> None:
        """`truth`: as the task has checked it."""
        with self._lock:
            self._count_labelled(self._pairs.label(id_, truth))

    def tally(self, live: FeedbackCounter) -> Tally:
        """The counts so far, with those of the live model over the same time."""
        sums, started_s = live.sums(), self._run_started_s
        with self._lock:
            return Tally(
                **self._answers.figures(),
                inputs=self._inputs,
                sealed=self._sealed_tried,
                shadow_errors=self._errors,
                confidence_drops=tuple(self._drops),
                live_slow=self._live_slow,
                shadow_slow=self._shadow_slow,
                live_inferences=sums.inferences,
                live_errors=sums.errors,
                live_latency_ms_p95=sums.latency_ms(0.95),
                shadow_latency_ms_p95=self._latency.sums().latency_ms(0.95),
                shadow_under_way_s=0.0 if started_s is None else self._clock_s() - started_s,
            )

    def stop(self) -> None:
        """Empty the queue and end the thread; waits 2 s for a run in progress."""
        self._stopped.set()
        with contextlib.suppress(Empty):
            while True:
                self._queue.get_nowait()
        with contextlib.suppress(Full):  # then the thread finds another item, and sees `_stopped`
            self._queue.put_nowait(None)
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            log.warning(
                "the shadow %s does not return from an input: its thread stays until this process ends",
                self._pool.file.version,
            )

    def _work(self) -> None:
        lower_priority(threading.get_native_id(), NICE)
        self._try_sealed()
        while (sampled := self._queue.get()) is not None:
            if self._stopped.is_set():
                return
            try:
                self._compare(sampled)
            except Exception as failure:  # noqa: BLE001 - an error of a candidate must not reach the application
                self._count_error(failure)

    def _try_sealed(self) -> None:
        """Within the same budget as live inputs, for which there may be little left."""
        try:
            for each in self._sealed:
                while (charged_s := self._budget.charge(self._clock_s())) is None:
                    if self._stopped.wait(BUDGET_WAIT_S):
                        return
                answer, _ = self._run(self._pool.run, each.inputs, charged_s)
                compared = self._answers.compare(self._live_form.real(each.outputs), answer)
                with self._lock:
                    self._sealed_tried += 1
                    self._answers.count(compared, sealed=True)
        except Exception as failure:  # noqa: BLE001 - as above; the rest of them would fail too
            self._count_error(failure)

    def _run(
        self, run: Callable[[list[Array]], list[Array]], inputs: Sequence[Array], charged_s: float
    ) -> tuple[tuple[Array, ...], float]:
        """The answer and its processor time, charged before anything is counted."""
        self._run_started_s, cpu_started_s = self._clock_s(), self._cpu_s()
        try:
            outputs = run(self._pool.prepare(list(inputs)))
        finally:
            cpu_s = self._cpu_s() - cpu_started_s
            self._run_started_s = None
            self._budget.settle(charged_s, cpu_s)
        answer = self._pool.form.row(outputs, 0, 1)
        if not finite(answer):
            raise ArithmeticError("the shadow's answer is not a number")
        return self._pool.form.real(answer), cpu_s

    def _compare(self, sampled: _Sampled) -> None:
        if sampled.place:
            self._compare_step(sampled, sampled.place)
        else:
            answer, cpu_s = self._run(self._pool.run, sampled.inputs, sampled.charged_s)
            self._count(sampled, self._live_form.real(sampled.answer), answer, cpu_s)

    def _compare_step(self, sampled: _Sampled, place: Place) -> None:
        """The rest of a run is left out once a model failed in it."""
        run, self._run_of_stream = self._run_of_stream, None
        cpu_started_s = self._cpu_s()
        if place is not Place.WITHIN:
            run = RunOfStream(self._pool, self._live, place)
        live = run.live(sampled.inputs, sampled.answer) if run else None
        self._budget.settle(0.0, self._cpu_s() - cpu_started_s)
        if run is None or live is None:
            self._budget.settle(sampled.charged_s, 0.0)
            return
        answer, cpu_s = self._run(run.candidate, sampled.inputs, sampled.charged_s)
        self._count(sampled, self._live_form.real(live), answer, cpu_s)
        self._run_of_stream = run

    def _count(self, sampled: _Sampled, live: tuple[Array, ...], answer: tuple[Array, ...], cpu_s: float) -> None:
        compared = self._answers.compare(live, answer)
        task = self._live_form.task
        (live_top, live_confidence), (top, confidence) = task.top(live), task.top(answer)
        self._latency.observe(cpu_s, None, None)
        if self._feedback:
            self._feedback.compare(compared.alike)
        with self._lock:
            self._inputs += 1
            self._answers.count(compared)
            self._live_slow += self._settings.slow(sampled.cpu_s, cpu_s)
            self._shadow_slow += self._settings.slow(cpu_s, sampled.cpu_s)
            if confidence is not None and live_confidence is not None:
                self._drops[_drop_bin(live_confidence - confidence)] += 1
            kept, live_kept = self._live_form.kept(answer, top), self._live_form.kept(live, live_top)
            classes = compared.live_classes, compared.shadow_classes
            self._count_labelled(self._pairs.answer(sampled.id, kept, *classes, live_kept))

    def _count_labelled(self, pair: FittedPair | None) -> None:
        if pair:
            self._answers.count_labelled(pair)

    def _count_error(self, failure: Exception) -> None:
        with self._lock:
            self._inputs += 1
            self._errors += 1
            first = self._errors == 1
        if first:
            log.warning("the shadow %s failed on a live input: %s", self._pool.file.version, failure)


def _drop_bin(drop: float) -> int:
    """The nearest of `DROP_BINS` bins of a difference of two confidences, -1 to 1."""
    middle = DROP_BINS // 2
    return middle + round(drop * middle)

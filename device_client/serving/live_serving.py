"""The live model in the application's process: predict, label, swap, shadow, count. Decides nothing about updates.

A prediction reads one reference, and runs wholly on what it found there; a swap prepares everything beside, then
replaces that reference. The old model is closed when its last prediction lets go of it.
"""

from __future__ import annotations

import itertools
import math
import operator
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from device_client.core.conditions.model_quality import Quality
from device_client.core.trial.tally import Tally
from device_client.feedback.drift_state import VERSIONS_MAX, DriftStates, dump, load
from device_client.feedback.window import FeedbackWindow
from device_client.ports.serving import Delegate, ModelFile
from device_client.serving.feedback_counter import FeedbackCounter
from device_client.serving.interpreter_pool import InterpreterPool
from device_client.serving.prediction import Array, Prediction, entropy_millibits, finite
from device_client.serving.shadow import Shadow, ShadowSettings
from protocol.errors import BadInput, MissingPart
from protocol.feedback.input_profile import Profile
from protocol.messages.manifest import Contract

__all__ = ["LiveServing", "Prediction"]  # what an application sees comes from one place

ANSWERS_MAX: Final = 8_192  # that can be labelled by their id alone
RETIRED_MAX: Final = 4  # versions whose last counts and late labels are still reported
LOOK_EVERY: Final = 8
RECENT_MAX: Final = 10  # closed windows that quality is drawn from
TOLD_FROM: Final = 20  # labelled or compared inputs


@dataclass(frozen=True, slots=True)
class _ServingState:
    """What is on: replaced as a whole. `window` is for feedback, `since` for the tally, in processor time.

    `asked_at_s`: the threads that are at an input just now, and since when.
    """

    live: InterpreterPool
    window: FeedbackCounter
    since: FeedbackCounter
    profile: Profile
    shadow: Shadow | None = None
    asked_at_s: dict[int, float] = field(default_factory=dict)


class _RawPrediction(NamedTuple):
    """What was chosen, and where a label for it is counted. A tuple, for one is made at each prediction."""

    id: int
    top: int
    counts: FeedbackCounter


class LiveServing:
    """The Serving port, and what an application calls. Any thread may call anything."""

    def __init__(
        self,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        cpu_s: Callable[[], float] = time.thread_time,
        threads: int = 1,
        delegates: Sequence[Delegate] = (),
        parallel_max: int | None = None,
        look_every: int = LOOK_EVERY,
        terms: ShadowSettings = ShadowSettings(),  # noqa: B008 - frozen
        remembered: bytes | None = None,
    ) -> None:
        """`clock_s` times what an application feels; `cpu_s` what a model costs, alike for live model and shadow.

        `threads`: of the runtime within one prediction; `delegates`: other hardware, for live model and shadow alike;
        `parallel_max`: predictions at a time, an interpreter each. `look_every`: of how many inputs one is held against
        the training set. `terms`: those of a shadow. `remembered`: what `drift_states` gave in an earlier life.
        """
        self._clock_s = clock_s
        self._wall_s = wall_s
        self._cpu_s = cpu_s
        self._threads, self._delegates = threads, tuple(delegates)
        self._parallel_max = parallel_max or max(2, os.cpu_count() or 2)
        self._look_every = look_every
        self._terms = terms
        self._stage: _ServingState | None = None
        self._closed = False
        self._changing = threading.Lock()  # held by those who replace the stage, never by a prediction
        self._ready = threading.Event()
        self._retired: deque[FeedbackCounter] = deque(maxlen=RETIRED_MAX)
        self._drift_states = {(each.version, each.variant): each for each in load(remembered)}
        self._recent: tuple[
            FeedbackWindow, ...
        ] = ()  # replaced as a whole, so that a look at it need not wait for a swap
        self._ids = itertools.count(1)  # one step, so that threads need no lock
        self._answers: list[_RawPrediction | None] = [None] * ANSWERS_MAX  # by id, in a ring

    # What an application calls

    def predict(self, x: ArrayLike | Sequence[ArrayLike]) -> Prediction:
        """Answer one input, or a batch with one more dimension in front; several inputs as a list of arrays.

        Raises BadInput when `x` does not fit the contract, MissingPart while no model is installed, BadModel when the
        runtime fails on it.
        """
        stage = self._stage
        if stage is None:
            if self._closed:
                raise MissingPart("the model was closed", hint="make a new EdgeModel to ask on")
            raise MissingPart("no model is installed yet", hint="wait_ready() waits for the first one")
        begun_s = self._clock_s()
        try:
            inputs, batched = stage.live.form.arrange(x)
        except BadInput:
            stage.window.fail()  # not the model's fault: it counts as feedback, and against no version
            raise
        count, thread = len(inputs[0]), threading.get_ident()
        begun_cpu_s = self._cpu_s()
        stage.asked_at_s[thread] = begun_s
        try:
            outputs = stage.live.run(inputs)
        except Exception:
            stage.window.fail(count)
            stage.since.fail(count)
            raise
        finally:
            del stage.asked_at_s[thread]
        cpu_s, took_s = self._cpu_s() - begun_cpu_s, self._clock_s() - begun_s
        if not batched:
            return self._answer(stage, inputs, outputs, 0, 1, took_s, cpu_s)
        parts = [self._answer(stage, inputs, outputs, at, count, took_s / count, cpu_s / count) for at in range(count)]
        return _batch(parts, outputs)

    def label(self, prediction: Prediction | int, true_class: int | str) -> bool:
        """Tell what an input truly was, by its prediction, or by the id of one of the last few thousand.

        False when it can no longer be counted, or when the model does not choose between classes. Raises BadInput for
        a class that the model does not know.
        """
        id_, answer = self._answered(prediction)
        stage = self._stage
        if answer is None or stage is None:
            return False
        chosen, counts = answer
        truth = _class_index(true_class, stage.live.file)
        self._answers[id_ % ANSWERS_MAX] = None
        counts.label(chosen == truth)
        if stage.shadow:
            stage.shadow.label(id_, truth)
        return True

    @property
    def version(self) -> str | None:
        """The version that answers now; None before the first."""
        stage = self._stage
        return stage.live.file.version if stage else None

    @property
    def contract(self) -> Contract | None:
        """What the live model takes and gives; None before the first."""
        stage = self._stage
        return stage.live.file.contract if stage else None

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Wait until there is a live model; False when there is none after `timeout_s`."""
        return self._ready.wait(timeout_s)

    # What the runner calls

    def swap(self, model: ModelFile) -> None:
        """Open and warm up a file beside the live one, then replace one reference. On BadModel the old one stays.

        A shadow is closed, for what it was compared with is gone; the tally begins anew.
        """
        with self._changing:
            before = self._stage
            at_once = before.live.opened if before else 1
            loaded = InterpreterPool(
                model,
                most=self._parallel_max,
                at_once=at_once,
                threads=self._threads,
                delegates=self._delegates,
            )
            self._recent = ()
            if before:
                self._remember(before.window)
            known = self._drift_states.get((model.version, model.variant))
            self._stage = _ServingState(loaded, self._counts(model, known), self._counts(model), _profile(model))
            self._ready.set()
            if before:
                self._retired.append(before.window)
                if before.shadow:
                    before.shadow.stop()

    def start_shadow(self, model: ModelFile, share: float = 1.0) -> None:
        """Give a sample of live inputs to this file too and count; a fresh tally. Raises BadModel, MissingPart.

        `share`: see `Shadow`.
        """
        with self._changing:
            stage = self._stage
            if stage is None:
                raise MissingPart("there is no live model to compare a shadow with")
            shadow = Shadow(
                model,
                cpu_s=self._cpu_s,
                clock_s=self._clock_s,
                terms=self._terms,
                share=share,
                live=stage.window,
                threads=self._threads,
                delegates=self._delegates,
            )
            self._stage = replace(stage, since=self._counts(stage.live.file), shadow=shadow)
            if stage.shadow:
                stage.shadow.stop()

    def stop_shadow(self) -> None:
        """Close the shadow."""
        with self._changing:
            stage = self._stage
            if stage and stage.shadow:
                self._stage = replace(stage, shadow=None)
                stage.shadow.stop()

    def tally(self) -> Tally:
        """The counts since the shadow was started, or since the swap when there is none. Latencies: processor time."""
        stage = self._stage
        if stage is None:
            return Tally()
        asked_at_s = min(tuple(stage.asked_at_s.values()), default=None)
        under_way_s = 0.0 if asked_at_s is None else self._clock_s() - asked_at_s
        if stage.shadow:
            drifting = bool(stage.window.sums().drifting)
            tally = stage.shadow.tally(stage.since)
            return replace(tally, live_drifting=drifting, live_under_way_s=under_way_s)
        seen = stage.since.sums()
        return Tally(
            live_inferences=seen.inferences,
            live_errors=seen.errors,
            live_latency_ms_p95=seen.latency_ms(0.95),
            live_under_way_s=under_way_s,
        )

    def take_window(self, *, at_least: int) -> FeedbackWindow | None:
        """Close the feedback window and return it, or None when it has fewer inferences than that.

        What is left of a version that was swapped out comes first, however little it is.
        """
        with self._changing:
            for counts in self._retired:
                if not counts.empty:
                    return counts.take(self._wall_s())
            stage = self._stage
            if stage is None or stage.window.inferences < max(1, at_least):
                return None
            window = stage.window.take(self._wall_s())
            self._recent = (*self._recent, window)[-RECENT_MAX:]
            return window

    def drift_states(self) -> bytes | None:
        """Where the drift detectors stand, to be remembered over a restart; None before the first model."""
        with self._changing:
            if self._stage:
                self._remember(self._stage.window)
            return dump(self._drift_states.values()) if self._drift_states else None

    def quality(self) -> Quality | None:
        """How well the live model did over its latest windows; None before its first inference.

        Accuracy and agreement are told from twenty inputs on.
        """
        stage, closed = self._stage, self._recent
        if stage is None:
            return None
        live = stage.window
        mine = [window.sums for window in closed if (window.version, window.variant) == (live.version, live.variant)]
        recent = reduce(operator.add, mine, live.sums())
        if not recent.inferences:
            return None
        return Quality(
            accuracy=recent.accuracy if recent.labelled >= TOLD_FROM else None,
            drift=live.drift,
            agreement=recent.agreement if recent.compared >= TOLD_FROM else None,
            confidence=recent.confidence_mean,
            inferences=recent.inferences,
        )

    def close(self) -> None:
        """End the shadow's thread and let go of the model; predictions under way end well."""
        with self._changing:
            self._closed = True
            stage, self._stage = self._stage, None
            self._ready.clear()
            if stage:
                self._retired.append(stage.window)
                if stage.shadow:
                    stage.shadow.stop()

    def _answered(self, prediction: object) -> tuple[int, tuple[int, FeedbackCounter] | None]:
        """The id, and what was chosen; a prediction remembers that itself, however old it is."""
        if isinstance(prediction, int | np.integer):
            id_ = int(prediction)
            kept = self._answers[id_ % ANSWERS_MAX]
            return id_, (kept.top, kept.counts) if kept and kept.id == id_ else None
        if not isinstance(prediction, Prediction):
            told = f"{str(prediction)[:100]!r} is no prediction and no id of one"
            raise BadInput(told, hint="give what predict() returned, or its id")
        if len(prediction.each()) > 1:
            raise BadInput("a batch has many answers", hint="label those of prediction.each() one by one")
        part = prediction.each()[0]
        return part.id, None if part.top is None or part.counts is None else (part.top, part.counts)

    def _remember(self, counts: FeedbackCounter) -> None:
        """The latest last; the oldest is forgotten when there are too many."""
        self._drift_states.pop((counts.version, counts.variant), None)
        self._drift_states[counts.version, counts.variant] = counts.drift_states
        while len(self._drift_states) > VERSIONS_MAX:
            del self._drift_states[next(iter(self._drift_states))]

    def _counts(self, model: ModelFile, known: DriftStates | None = None) -> FeedbackCounter:
        trained = model.statistics
        distance = (trained.distance_mean, trained.distance_std) if trained else None
        return FeedbackCounter(
            model.version, model.variant, model.labels, now_s=self._wall_s(), distance=distance, known=known
        )

    def _answer(
        self,
        stage: _ServingState,
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        at: int,
        count: int,
        took_s: float,
        cpu_s: float,
    ) -> Prediction:
        """Count one answer and wrap it. One that is no number is given as it is, and counted as an error."""
        file, form, id_ = stage.live.file, stage.live.form, next(self._ids)
        row = form.row(outputs, at, count)
        if not finite(row):
            stage.window.fail()
            stage.since.fail()
            return Prediction(row[0], row, None, None, None, file.version, file.variant, id_)
        top, confidence = form.choice(row[0])
        stage.window.observe(took_s, top, confidence)
        stage.since.observe(cpu_s, None, None)
        if id_ % self._look_every == 0:
            measured = stage.profile.measure(inputs[0][at].ravel())
            entropy = None if confidence is None else entropy_millibits(row[0])
            stage.window.observe_input(measured, entropy)
        if stage.shadow:
            stage.shadow.offer(id_, [each[at : at + 1] for each in inputs], row, top, cpu_s)
        label = None
        if top is not None:
            self._answers[id_ % ANSWERS_MAX] = _RawPrediction(id_, top, stage.window)
            label = file.labels[top] if top < len(file.labels) else None
        return Prediction(row[0], row, top, confidence, label, file.version, file.variant, id_, counts=stage.window)


def _batch(parts: Sequence[Prediction], outputs: Sequence[Array]) -> Prediction:
    """The answers of a batch as one; a batch of one keeps its class."""
    first = parts[0]
    alone = len(parts) == 1
    return Prediction(
        output=outputs[0],
        outputs=tuple(outputs),
        top=first.top if alone else None,
        confidence=first.confidence if alone else None,
        label=first.label if alone else None,
        version=first.version,
        variant=first.variant,
        id=first.id,
        parts=tuple(parts),
    )


def _profile(model: ModelFile) -> Profile:
    values = math.prod(model.contract.inputs[0].shape[1:])
    return Profile(values, model.statistics)


def _class_index(true_class: int | str, file: ModelFile) -> int:
    if isinstance(true_class, str):
        if true_class not in file.labels:
            raise BadInput(
                f"{true_class!r} is none of the model's labels: {', '.join(file.labels[:10]) or 'it has none'}"
            )
        return file.labels.index(true_class)
    classes = file.contract.outputs[0].shape[-1]
    if not isinstance(true_class, int | np.integer) or not 0 <= true_class < classes:
        raise BadInput(f"the true class {true_class!r} is not between 0 and {classes - 1}")
    return int(true_class)

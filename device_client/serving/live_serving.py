"""Serves the live model in the application's process: predict, label, swap, shadow.

A prediction reads `_state` once and runs wholly on that model; a swap replaces it.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from device_client.adapters.runtime.tflite import Array
from device_client.core.conditions.model_quality import Quality
from device_client.core.trial.tally import Tally
from device_client.feedback.window import FeedbackWindow
from device_client.ports.serving import Delegate, ModelFile, SealedStore
from device_client.serving.feedback_counter import FeedbackCounter
from device_client.serving.feedback_history import FeedbackHistory
from device_client.serving.input_format import Inputs
from device_client.serving.interpreter_pool import InterpreterPool
from device_client.serving.model_files import ModelFiles, held_files
from device_client.serving.prediction import Prediction, batch_of, entropy_millibits, finite
from device_client.serving.recent_predictions import RecentPredictions
from device_client.serving.stream import Stream
from device_client.serving.trial.sealed_inputs import SealedInputs
from device_client.serving.trial.sealed_trial import answered_by
from device_client.serving.trial.shadow import Shadow, ShadowSettings
from device_client.serving.trial.stream_sampler import StreamStep
from protocol.errors import BadInput, MissingPart
from protocol.feedback.input_profile import Profile
from protocol.messages.contract import FREE, Contract, TaskDeclaration
from protocol.messages.preprocessing import Preprocessing
from protocol.tensor_values import array_type

__all__ = ["LiveServing", "Prediction"]  # what an application sees comes from one place

SAMPLE_EVERY: Final = 8
_NO_STEPS: Final[Iterator[StreamStep | None]] = itertools.repeat(None)


@dataclass(frozen=True, slots=True)
class _ServingState:
    """Replaced as a whole. `feedback` counts latencies, `cpu` processor time."""

    live: InterpreterPool
    feedback: FeedbackCounter
    cpu: FeedbackCounter
    profile: Profile | None
    shadow: Shadow | None = None
    started_s: dict[int, float] = field(default_factory=dict)


class LiveServing:
    """The Serving port, and what an application calls. Thread-safe."""

    def __init__(
        self,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        cpu_s: Callable[[], float] = time.thread_time,
        threads: int = 1,
        delegates: Sequence[Delegate] = (),
        parallel_max: int | None = None,
        sample_every: int = SAMPLE_EVERY,
        shadow_settings: ShadowSettings = ShadowSettings(),  # noqa: B008 - frozen
        drift_states: bytes | None = None,
        sealed: SealedStore | None = None,
    ) -> None:
        """`clock_s` measures latency, `cpu_s` processor time.

        `threads`: of the runtime within one prediction. `delegates`: other hardware,
        for live model and shadow alike. `parallel_max`: predictions at a time, an
        interpreter each. `sample_every`: the profile of every n-th input is counted.
        `drift_states`: what the method of this name returned before a restart.
        `sealed`: where a few inputs are kept for trials; none without.
        """
        self._clock_s, self._cpu_s = clock_s, cpu_s
        self._threads, self._delegates = threads, tuple(delegates)
        self._parallel_max = parallel_max or max(2, os.cpu_count() or 2)
        self._sample_every = sample_every
        self._shadow_settings = shadow_settings
        self._state: _ServingState | None = None
        self._closed = False
        self._changing = threading.Lock()  # held while the state is replaced, never by a prediction
        self._ready = threading.Event()
        self._history = FeedbackHistory(wall_s, drift_states)
        self._recent = RecentPredictions()
        self._sealed = SealedInputs(sealed, clock_s) if sealed else None
        self._streams = itertools.count()

    # Called by the application

    def predict(self, x: Inputs) -> Prediction:
        """Answer one input, or a batch with one more dimension in front.

        A model with state answers each input from its initial state; see `stream`.
        Raises BadInput outside the contract, MissingPart without a model, or BadModel.
        """
        return self._predict(self._state or self._serving_state(), x)

    def stream(self) -> Stream:
        """Begin a stream of inputs. Raises MissingPart without a model, or BadModel."""
        return Stream(lambda: _ServedStream(self, self._serving_state(), next(self._streams)))

    def _serving_state(self) -> _ServingState:
        state = self._state
        if state is None:
            if self._closed:
                raise MissingPart("the model was closed", hint="make a new EdgeModel to ask on")
            raise MissingPart("no model is installed yet", hint="wait_ready() waits for the first one")
        return state

    def _predict(self, state: _ServingState, x: Inputs, stream: _ServedStream | None = None) -> Prediction:
        run = stream.run if stream else state.live.run
        started_s = self._clock_s()
        try:
            raw, batched = state.live.arrange(x)
            cpu_started_s = self._cpu_s()
            inputs = state.live.prepare(raw)
        except BadInput:
            state.feedback.fail()  # not the model's fault: counted as feedback, but not in the tally
            raise
        count, thread = len(inputs[0]), threading.get_ident()
        state.started_s[thread] = started_s
        try:
            outputs = run(inputs)
        except Exception:
            state.feedback.fail(count)
            state.cpu.fail(count)
            raise
        finally:
            del state.started_s[thread]
        cpu_s, latency_s = self._cpu_s() - cpu_started_s, self._clock_s() - started_s
        each_s, each_cpu_s = latency_s / count, cpu_s / count
        steps = stream.steps if stream else _NO_STEPS
        if count == 1 and not batched:
            return self._answer(state, raw, inputs, outputs, 0, 1, latency_s, cpu_s, next(steps))
        parts = [
            self._answer(state, raw, inputs, outputs, at, count, each_s, each_cpu_s, next(steps)) for at in range(count)
        ]
        return batch_of(parts, outputs) if batched else parts[0]

    def label(self, prediction: Prediction | int, truth: Any) -> bool:
        """Give the truth of an input; False when it can no longer be counted.

        Of a classifier: the class, by number or name; of other tasks: docs/TASKS.md.
        Raises BadInput for what is no truth of this model's task.
        """
        recent, state = self._recent.find(prediction), self._state
        if recent is None or state is None:
            return False
        checked = state.live.form.task.truth(truth, state.live.file.labels)
        self._recent.drop(recent.id)
        recent.counter.label(recent.fit(checked))
        if state.shadow:
            state.shadow.label(recent.id, checked)
        return True

    def file(self, name: str) -> Path:
        """A file of the live version. Raises BadInput, MissingPart without a model."""
        return ModelFiles(self._live())[name]

    def files(self) -> AbstractContextManager[ModelFiles]:
        """Hold all files of the live version. Raises MissingPart without a model."""
        return held_files(self._live)

    @property
    def labels(self) -> tuple[str, ...]:
        state = self._state
        return state.live.file.labels if state else ()

    @property
    def version(self) -> str | None:
        state = self._state
        return state.live.file.version if state else None

    @property
    def contract(self) -> Contract | None:
        state = self._state
        return state.live.file.contract if state else None

    @property
    def task(self) -> TaskDeclaration | None:
        """What the model is for; guessed from the outputs where no one declared it."""
        state = self._state
        if state is None:
            return None
        declared = state.live.file.contract.task
        return declared or TaskDeclaration(name=state.live.form.task.name, reason="by its outputs")

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What is done with an input before the live model takes it."""
        state = self._state
        return state.live.preprocessing if state else None

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        return self._ready.wait(timeout_s)

    # Called by the service

    def swap(self, model: ModelFile) -> None:
        """Stops the shadow too, as it was compared with the old model."""
        with self._changing:
            before = self._state
            pool = InterpreterPool(
                model,
                size_max=self._parallel_max,
                size=before.live.size if before else 1,
                threads=self._threads,
                delegates=self._delegates,
            )
            if before:
                self._history.retire(before.feedback)
            self._state = _ServingState(pool, self._history.open(model), _cpu_counter(model), _profile(model))
            self._ready.set()
            if before and before.shadow:
                before.shadow.stop()

    def start_shadow(self, model: ModelFile, share: float = 1.0) -> None:
        """Replace the shadow. Raises MissingPart without a live model."""
        with self._changing:
            state = self._state
            if state is None:
                raise MissingPart("there is no live model to compare a shadow with")
            shadow = Shadow(
                model,
                state.live,
                cpu_s=self._cpu_s,
                clock_s=self._clock_s,
                settings=self._shadow_settings,
                share=share,
                feedback=state.feedback,
                sealed=self._sealed,
                threads=self._threads,
                delegates=self._delegates,
            )
            self._state = replace(state, cpu=_cpu_counter(state.live.file), shadow=shadow)
            if state.shadow:
                state.shadow.stop()

    def stop_shadow(self) -> None:
        with self._changing:
            state = self._state
            if state and state.shadow:
                self._state = replace(state, shadow=None)
                state.shadow.stop()

    def tally(self) -> Tally:
        """Latencies are processor time."""
        state = self._state
        if state is None:
            return Tally()
        started_s = min(tuple(state.started_s.values()), default=None)
        under_way_s = 0.0 if started_s is None else self._clock_s() - started_s
        if state.shadow:
            drifting = bool(state.feedback.sums().drifting)
            tally = state.shadow.tally(state.cpu)
            return replace(tally, live_drifting=drifting, live_under_way_s=under_way_s)
        sums = state.cpu.sums()
        return Tally(
            live_inferences=sums.inferences,
            live_errors=sums.errors,
            live_latency_ms_p95=sums.latency_ms(0.95),
            live_under_way_s=under_way_s,
        )

    def take_window(self, *, at_least: int) -> FeedbackWindow | None:
        """A version that was swapped out comes first, whatever it counted since."""
        with self._changing:
            return self._history.take(self._state.feedback if self._state else None, at_least)

    def drift_states(self) -> bytes | None:
        with self._changing:
            return self._history.drift_states(self._state.feedback if self._state else None)

    def quality(self) -> Quality | None:
        """None before its first inference; accuracy and agreement need 20 inputs."""
        state = self._state
        return self._history.quality(state.feedback) if state else None

    def close(self) -> None:
        """Stop the shadow and release the model; predictions in progress complete."""
        with self._changing:
            self._closed = True
            state, self._state = self._state, None
            self._ready.clear()
            if state:
                self._history.retire(state.feedback)
                if state.shadow:
                    state.shadow.stop()
        if self._sealed:
            self._sealed.close()

    def _live(self) -> ModelFile:
        return self._serving_state().live.file

    def _answer(
        self,
        state: _ServingState,
        raw: Sequence[Array],
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        at: int,
        count: int,
        latency_s: float,
        cpu_s: float,
        step: StreamStep | None,
    ) -> Prediction:
        """Count one answer and wrap it; one that is not finite counts as an error."""
        file, form, id_ = state.live.file, state.live.form, self._recent.next_id()
        row = form.row(outputs, at, count)
        if not finite(row):
            state.feedback.fail()
            state.cpu.fail()
            return Prediction(row[0], row, None, None, None, file.version, file.variant, id_, form=form)
        top, confidence = form.task.top(form.real(row))
        state.feedback.observe(latency_s, top, confidence)
        state.cpu.observe(cpu_s, None, None)
        sampled = id_ % self._sample_every == 0
        if sampled and not form.decides:
            state.feedback.add_given(form.task.groups(form.real(row)))
        if sampled and state.profile:
            entropy = None if confidence is None else entropy_millibits(form.real(row)[0])
            state.feedback.observe_input(state.profile.measure(inputs[0][at].ravel()), entropy)
        if state.shadow:
            state.shadow.offer(id_, [each[at : at + 1] for each in raw], row, top, cpu_s, step)
        if self._sealed and self._sealed.wants(id_, top) and not file.contract.stateful:
            classes = form.task.groups(form.real(row))
            self._sealed.offer([each[at : at + 1] for each in raw], row, classes, answered_by(file))
        self._recent.add(id_, top, row, form, state.feedback)
        label = file.labels[top] or None if top is not None and top < len(file.labels) else None
        return Prediction(
            row[0], row, top, confidence, label, file.version, file.variant, id_, (), state.feedback, form
        )


class _ServedStream:
    """A model with state gets an interpreter of its own; others keep nothing."""

    def __init__(self, serving: LiveServing, state: _ServingState, number: int) -> None:
        self._serving, self._begun = serving, replace(state, shadow=None)
        self.version, self.run, self.steps = state.live.file.version, state.live.run, _NO_STEPS
        if state.live.file.contract.stateful:
            self.run = state.live.at_initial_state().step
            self.steps = (StreamStep(number, at) for at in itertools.count())

    @property
    def outdated(self) -> bool:
        current = self._serving._state
        return current is None or current.live is not self._begun.live

    def predict(self, x: Inputs) -> Prediction:
        current = self._serving._serving_state()
        state = current if current.live is self._begun.live else self._begun
        return self._serving._predict(state, x, self)


def _profile(model: ModelFile) -> Profile | None:
    """None for inputs without a fixed number of real values."""
    contract = model.contract
    tensor = contract.inputs[0]
    row = contract.row_shape(tensor)
    if FREE in row or array_type(tensor.dtype).kind not in "fiub":
        return None
    return Profile(math.prod(row), model.statistics, scale=tensor.scale or 1.0, zero_point=tensor.zero_point)


def _cpu_counter(model: ModelFile) -> FeedbackCounter:
    return FeedbackCounter(model.version, model.variant, now_s=0.0)

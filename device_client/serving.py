"""The live model in the application's process: predict, label, swap, shadow, count. Decides nothing about updates.

A prediction reads one reference, and runs wholly on what it found there; a swap prepares everything beside, then
replaces that reference. The old model is closed when its last prediction lets go of it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from device_client.core.tally import Tally
from device_client.feedback import Counts, Window
from device_client.loaded import Loaded
from device_client.ports import ModelFile
from device_client.prediction import Array, Prediction, finite
from device_client.shadow import Shadow
from protocol.errors import BadInput, MissingPart

__all__ = ["LiveServing", "Prediction"]  # what an application sees comes from one place

ANSWERS_MAX: Final = 8_192  # that can be labelled by their id alone
RETIRED_MAX: Final = 4  # versions whose last counts and late labels are still reported
VALUE_TOLERANCE: Final = 0.05  # of a model that gives values, not classes


@dataclass(frozen=True, slots=True)
class _Stage:
    """What is on: replaced as a whole. `window` is for feedback, `since` for the tally, in processor time."""

    live: Loaded
    window: Counts
    since: Counts
    shadow: Shadow | None = None


class LiveServing:
    """The Serving port, and what an application calls. Any thread may call anything."""

    def __init__(
        self,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        cpu_s: Callable[[], float] = time.thread_time,
        threads: int = 1,
        parallel_max: int | None = None,
        shadow_share: float = 1.0,
        value_tolerance: float = VALUE_TOLERANCE,
    ) -> None:
        """`clock_s` times what an application feels; `cpu_s` what a model costs, alike for live model and shadow.

        `threads`: of the runtime within one prediction; `parallel_max`: predictions at a time, an interpreter each.
        `shadow_share`: how much of the live inputs a shadow is offered, 0-1.
        """
        self._clock_s = clock_s
        self._wall_s = wall_s
        self._cpu_s = cpu_s
        self._threads = threads
        self._parallel_max = parallel_max or max(2, os.cpu_count() or 2)
        self._shadow_share = shadow_share
        self._value_tolerance = value_tolerance
        self._stage: _Stage | None = None
        self._changing = threading.Lock()  # held by those who replace the stage, never by a prediction
        self._ready = threading.Event()
        self._retired: deque[Counts] = deque(maxlen=RETIRED_MAX)
        self._naming = threading.Lock()
        self._next_id = 1
        self._answers: dict[int, tuple[int, Counts]] = {}  # what was chosen, and where a label for it is counted

    # What an application calls

    def predict(self, x: ArrayLike | Sequence[ArrayLike]) -> Prediction:
        """Answer one input, or a batch with one more dimension in front; several inputs as a list of arrays.

        Raises BadInput when `x` does not fit the contract, MissingPart while no model is installed, BadModel when the
        runtime fails on it.
        """
        stage = self._stage
        if stage is None:
            raise MissingPart("no model is installed yet", hint="wait_ready() waits for the first one")
        begun_s = self._clock_s()
        try:
            inputs, batched = stage.live.form.arrange(x)
        except BadInput:
            stage.window.fail()  # not the model's fault: it counts as feedback, and against no version
            raise
        count = len(inputs[0])
        begun_cpu_s = self._cpu_s()
        try:
            outputs = stage.live.run(inputs)
        except Exception:
            for _ in range(count):
                stage.window.fail()
                stage.since.fail()
            raise
        cpu_s, took_s = self._cpu_s() - begun_cpu_s, self._clock_s() - begun_s
        first_id = self._ids(count)
        parts = [
            self._answer(stage, first_id + at, stage.live.form.row(outputs, at, count), took_s / count, cpu_s / count)
            for at in range(count)
        ]
        self._remember(parts)
        if stage.shadow:
            self._sample(stage.shadow, inputs, parts)
        return _batch(parts, outputs) if batched else parts[0]

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
        with self._naming:
            self._answers.pop(id_, None)
        counts.label(chosen == truth)
        if stage.shadow:
            stage.shadow.label(id_, truth)
        return True

    @property
    def version(self) -> str | None:
        """The version that answers now; None before the first."""
        stage = self._stage
        return stage.live.file.version if stage else None

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
            loaded = Loaded(model, most=self._parallel_max, at_once=at_once, threads=self._threads)
            self._stage = _Stage(loaded, self._counts(model, model.labels), self._counts(model))
            self._ready.set()
            if before:
                self._retired.append(before.window)
                if before.shadow:
                    before.shadow.stop()

    def start_shadow(self, model: ModelFile) -> None:
        """Give a sample of live inputs to this file too and count; a fresh tally. Raises BadModel, MissingPart."""
        with self._changing:
            stage = self._stage
            if stage is None:
                raise MissingPart("there is no live model to compare a shadow with")
            shadow = Shadow(model, cpu_s=self._cpu_s, tolerance=self._value_tolerance, threads=self._threads)
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
        if stage.shadow:
            return stage.shadow.tally(stage.since)
        seen = stage.since.look(0.0)
        return Tally(live_inferences=seen.inferences, live_errors=seen.errors, live_latency_ms_p95=seen.latency_ms_p95)

    def take_window(self, *, at_least: int) -> Window | None:
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
            return stage.window.take(self._wall_s())

    def close(self) -> None:
        """End the shadow's thread and let go of the model; predictions under way end well."""
        with self._changing:
            stage, self._stage = self._stage, None
            self._ready.clear()
            if stage:
                self._retired.append(stage.window)
                if stage.shadow:
                    stage.shadow.stop()

    def _answered(self, prediction: Prediction | int) -> tuple[int, tuple[int, Counts] | None]:
        """The id, and what was chosen; a prediction remembers that itself, however old it is."""
        if isinstance(prediction, int):
            return prediction, self._answers.get(prediction)
        if len(prediction.each()) > 1:
            raise BadInput("a batch has many answers", hint="label those of prediction.each() one by one")
        part = prediction.each()[0]
        return part.id, None if part.top is None or part.counts is None else (part.top, part.counts)

    def _counts(self, model: ModelFile, labels: Sequence[str] = ()) -> Counts:
        return Counts(model.version, model.variant, labels, now_s=self._wall_s())

    def _ids(self, count: int) -> int:
        with self._naming:
            first = self._next_id
            self._next_id += count
            return first

    def _answer(self, stage: _Stage, id_: int, row: tuple[Array, ...], took_s: float, cpu_s: float) -> Prediction:
        """Count one answer and wrap it. One that is no number is given as it is, and counted as an error."""
        file = stage.live.file
        if not finite(row):
            stage.window.fail()
            stage.since.fail()
            return Prediction(row[0], row, None, None, None, file.version, file.variant, id_)
        top, confidence = stage.live.form.choice(row[0])
        stage.window.observe(took_s, top, confidence)
        stage.since.observe(cpu_s, None, None)
        label = file.labels[top] if top is not None and top < len(file.labels) else None
        return Prediction(row[0], row, top, confidence, label, file.version, file.variant, id_, counts=stage.window)

    def _remember(self, parts: Sequence[Prediction]) -> None:
        with self._naming:
            for part in parts:
                if part.top is not None and part.counts is not None:
                    self._answers[part.id] = part.top, part.counts
            while len(self._answers) > ANSWERS_MAX:
                del self._answers[next(iter(self._answers))]

    def _sample(self, shadow: Shadow, inputs: Sequence[Array], parts: Sequence[Prediction]) -> None:
        for at, part in enumerate(parts):
            chosen = int(part.id * self._shadow_share) > int((part.id - 1) * self._shadow_share)
            if chosen and finite(part.outputs):
                shadow.offer(part.id, [each[at : at + 1] for each in inputs], part.outputs, part.top)


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

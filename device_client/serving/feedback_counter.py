"""Counts the inferences of one version into feedback windows, and detects drift.

Any thread may call any method. Times are arguments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from threading import Lock
from typing import Final

from device_client.feedback.drift_detector import PageHinkley
from device_client.feedback.drift_state import DriftStates
from device_client.feedback.window import FeedbackWindow
from protocol.feedback.aggregation import BUCKET_LAST, CONFIDENCE_BINS, CONFIDENCE_UNIT, FeedbackSums, bucket
from protocol.feedback.input_profile import LEVEL_BINS, InputSample
from protocol.messages.device import Sample

CLASS_NAME_MAX: Final = 40  # characters
DOUBT_STD_FLOOR: Final = 0.02  # of 1 - confidence: a model that was always sure must not raise the alarm at once
DISTANCE_STD_FLOOR: Final = 0.05  # of the distance, which is about 1 for an input like the training set's


class FeedbackCounter:
    """Takes about two microseconds for an inference.

    The drift detectors follow the whole stream: a new window does not reset them.
    """

    _drift: float
    _drifting: bool
    _entropy: int | None
    __slots__ = (
        "_classes", "_confidences", "_distance", "_doubt", "_drift", "_drifting", "_entropy", "_given", "_labels",
        "_latency", "_levels", "_lock", "_sample", "_start_s", "_sums", "variant", "version",
    )  # fmt: skip

    def __init__(
        self,
        version: str,
        variant: str,
        labels: Sequence[str] = (),
        *,
        now_s: float,
        distance: tuple[float, float] | None = None,
        known: DriftStates | None = None,
    ) -> None:
        """`distance`: mean and deviation in training. `known`: states to resume."""
        self.version = version
        self.variant = variant
        self._labels = _distinct(labels)
        self._lock = Lock()
        self._doubt = PageHinkley(std_floor=DOUBT_STD_FLOOR)
        self._distance = PageHinkley(*distance, std_floor=DISTANCE_STD_FLOOR) if distance else None
        if known:
            self._doubt.resume(known.doubt)
            if self._distance and known.distance:
                self._distance.resume(known.distance)
        self._given: Counter[int] = Counter()
        self._classes: dict[int, int] = {}
        self._reset(now_s)

    def observe(self, latency_s: float, top: int | None, confidence: float | None) -> None:
        """Count an answer; of a classifier, its `top` class and `confidence` (0-1)."""
        index = bucket(latency_s)
        with self._lock:
            sums = self._sums
            sums[0] += 1
            self._latency[index] += 1
            if top is not None:
                self._classes[top] = self._classes.get(top, 0) + 1
            if confidence is not None:
                sums[4] += int(confidence * CONFIDENCE_UNIT + 0.5)
                self._confidences[int(confidence * CONFIDENCE_BINS)] += 1
                self._detect(self._doubt, 1.0 - confidence)

    def observe_input(self, measured: InputSample, entropy_millibits: int | None) -> None:
        """Count a sampled input, and the entropy of its answer if it has one."""
        with self._lock:
            sample = self._sample
            sample[0] += 1
            sample[1] += measured.level
            sample[2] += measured.level * measured.level
            sample[3] += measured.distance
            self._levels[measured.bin] += 1
            if entropy_millibits is not None:
                self._entropy = (self._entropy or 0) + entropy_millibits
            if self._distance:
                self._detect(self._distance, measured.distance / 1_000)

    def compare(self, alike: float) -> None:
        """Count how alike a shadow's answer was, 0-1."""
        with self._lock:
            self._sums[5] += 1
            self._add_graded(alike, 6, 8)

    def fail(self, count: int = 1) -> None:
        with self._lock:
            self._sums[0] += count
            self._sums[1] += count

    def label(self, fit: float) -> None:
        """Count how well an answer fits its truth, 0-1."""
        with self._lock:
            self._sums[2] += 1
            self._add_graded(fit, 3, 7)

    @property
    def inferences(self) -> int:
        return self._sums[0]

    @property
    def empty(self) -> bool:
        """Whether nothing was counted since the last `take`; a late label counts."""
        return not any(self._sums)

    @property
    def drift(self) -> float | None:
        """The higher score of the detectors now, 0-1; None while none is ready."""
        detectors = (self._doubt, self._distance)
        return max((each.score for each in detectors if each and each.score is not None), default=None)

    @property
    def drift_states(self) -> DriftStates:
        with self._lock:
            distance = self._distance.state() if self._distance else None
            return DriftStates(self.version, self.variant, self._doubt.state(), distance)

    def sums(self) -> FeedbackSums:
        with self._lock:
            return self._snapshot()

    def take(self, now_s: float) -> FeedbackWindow:
        """Close the window and return it; counting starts from zero."""
        with self._lock:
            end_s = max(now_s, self._start_s)  # a wall clock may be set back
            window = FeedbackWindow(self.version, self.variant, self._start_s, end_s, self._snapshot())
            self._reset(now_s)
            return window

    def add_given(self, classes: Sequence[int]) -> None:
        """Count all classes of one answer of several, for `given_classes` alone."""
        with self._lock:
            self._given.update(classes)

    def given_classes(self) -> dict[int, int]:
        """How often each class was given, in this window and those before.

        Of answers that name several classes, all of the sampled ones and the top one of
        the others.
        """
        with self._lock:
            return dict(Counter(self._given) + Counter(self._classes))

    def _add_graded(self, figure: float, whole: int, partly: int) -> None:
        if figure >= 1.0:
            self._sums[whole] += 1
        else:
            self._sums[partly] += int(figure * CONFIDENCE_UNIT + 0.5)

    def _detect(self, detector: PageHinkley, number: float) -> None:
        score = detector.update(number)
        if score is not None:
            if score > self._drift:
                self._drift = score
            if detector.drifting:
                self._drifting = True

    def _reset(self, now_s: float) -> None:
        self._start_s = now_s
        # inferences, errors, labelled, correct, confidence, compared, agreed, correct
        # in part and agreed in part; confidence and parts in millionths
        self._sums = [0] * 9
        self._sample = [0] * 4  # inputs, level, its square, distance: see `Sample`
        self._entropy = None
        self._levels = [0] * LEVEL_BINS
        self._given.update(self._classes)
        self._classes = {}
        self._latency = [0] * (BUCKET_LAST + 1)
        self._confidences = [0] * (CONFIDENCE_BINS + 1)  # the last one is for a confidence of exactly 1
        self._drift = -1.0  # no detector was ready
        self._drifting = False

    def _snapshot(self) -> FeedbackSums:
        inferences, errors, labelled, correct, millionths, compared, agreed, partly_correct, partly_agreed = self._sums
        *bins, certain = self._confidences
        bins[-1] += certain
        return FeedbackSums(
            inferences=inferences,
            errors=errors,
            labelled=labelled,
            correct=correct,
            compared=compared,
            agreed=agreed,
            partly_correct_millionths=partly_correct,
            partly_agreed_millionths=partly_agreed,
            classes=self._named_classes(),
            latency={index: count for index, count in enumerate(self._latency) if count},
            confidences=tuple(bins) if any(bins) else (),
            confidence_millionths=millionths,
            drift=self._drift if self._drift >= 0 else None,
            drifting=self._drifting if self._drift >= 0 else None,
            sample=self._sampled(),
        )

    def _sampled(self) -> Sample | None:
        inputs, level, squares, distance = self._sample
        if not inputs:
            return None
        return Sample(
            inputs=inputs,
            level_sum=level,
            level_squares=squares,
            levels=tuple(self._levels),
            distance_sum=distance,
            entropy_sum=self._entropy,
        )

    def _named_classes(self) -> dict[str, int]:
        named: Counter[str] = Counter()
        for index, count in self._classes.items():
            known = index < len(self._labels)
            named[self._labels[index] if known else str(index)] += count
        return dict(named)


def _distinct(labels: Sequence[str]) -> tuple[str, ...]:
    """Short names; a class without one, or with that of another, shows its number."""
    short = [label[:CLASS_NAME_MAX] for label in labels]
    uses = Counter(short)
    return tuple(
        name if name and uses[name] == 1 else f"{name[: CLASS_NAME_MAX - 9]} ({index})" if name else str(index)
        for index, name in enumerate(short)
    )

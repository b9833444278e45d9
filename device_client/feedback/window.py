"""Windows of inference feedback: plain sums that add up over time and over a fleet, and the counter that fills them.

Owns the window and the counter. Does not own a clock (times are arguments), does not know the runtime or MQTT; buckets,
figures and how messages add up are `protocol.feedback.aggregation`'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Final

from device_client.feedback.drift_detector import PageHinkley
from device_client.feedback.drift_state import DriftStates
from protocol.feedback.aggregation import (
    BUCKET_LAST,
    CONFIDENCE_BINS,
    CONFIDENCE_UNIT,
    add,
    add_samples,
    bucket,
    most_frequent,
    percentile_ms,
    with_figures,
    worst_drift,
    worst_drifting,
)
from protocol.messages.device import Feedback, Sample

CLASS_NAME_MAX: Final = 40  # characters
LEVEL_BINS: Final = 8  # of protocol.feedback.input_profile, which needs numpy; a test holds them together
DOUBT_STD_FLOOR: Final = 0.02  # of 1 - confidence: a model that was always sure must not cry at its first doubt
DISTANCE_STD_FLOOR: Final = 0.05  # thousand thousandths: see protocol.feedback.input_profile


@dataclass(frozen=True, slots=True)
class FeedbackWindow:
    """What one version did between two moments. `inferences` counts every input, those that failed (`errors`) too.

    `start_s`, `end_s`: seconds since 1970 in UTC. `classes`: how often each answer was given.
    `latency`: bucket to count. `confidences`: 10 bins, none where there were none. `compared`: with a shadow.
    """

    version: str
    variant: str
    start_s: float
    end_s: float
    inferences: int = 0
    errors: int = 0
    labelled: int = 0
    correct: int = 0
    compared: int = 0
    agreed: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[int, int] = field(default_factory=dict)
    confidences: tuple[int, ...] = ()
    confidence_millionths: int = 0
    drift: float | None = None  # the highest in the window, 0-1; None where no detector was ready
    drifting: bool | None = None
    sample: Sample | None = None

    def merge(self, other: FeedbackWindow) -> FeedbackWindow:
        """The window that spans both; the order makes no difference. Raises ValueError for unlike versions."""
        if (self.version, self.variant) != (other.version, other.variant):
            raise ValueError(f"a window of {self.version} cannot be added to one of {other.version}")
        return FeedbackWindow(
            version=self.version,
            variant=self.variant,
            start_s=min(self.start_s, other.start_s),
            end_s=max(self.end_s, other.end_s),
            inferences=self.inferences + other.inferences,
            errors=self.errors + other.errors,
            labelled=self.labelled + other.labelled,
            correct=self.correct + other.correct,
            compared=self.compared + other.compared,
            agreed=self.agreed + other.agreed,
            classes=dict(Counter(self.classes) + Counter(other.classes)),
            latency=dict(Counter(self.latency) + Counter(other.latency)),
            confidences=add(self.confidences, other.confidences),
            confidence_millionths=self.confidence_millionths + other.confidence_millionths,
            drift=worst_drift(self.drift, other.drift),
            drifting=worst_drifting(self.drifting, other.drifting),
            sample=add_samples(self.sample, other.sample),
        )

    @property
    def confident(self) -> int:
        """Inferences that came with a confidence."""
        return sum(self.confidences)

    @property
    def confidence_sum(self) -> float:
        """Sum of the confidences, 0-1 each."""
        return self.confidence_millionths / CONFIDENCE_UNIT

    @property
    def latency_ms_p50(self) -> float | None:
        """Median latency of the inferences that did not fail."""
        return percentile_ms(self.latency, 0.50)

    @property
    def latency_ms_p95(self) -> float | None:
        """Latency that 95 % of the inferences stayed under."""
        return percentile_ms(self.latency, 0.95)


class FeedbackCounter:
    """What a window is made from: counts one inference in about two microseconds. Any thread may call any method.

    The drift detectors look at the stream as a whole: a new window begins with the old one's.
    """

    _drift: float
    _drifting: bool
    _entropy: int | None
    __slots__ = (
        "_classes",
        "_confidences",
        "_distance",
        "_doubt",
        "_drift",
        "_drifting",
        "_entropy",
        "_latency",
        "_levels",
        "_lock",
        "_looked",
        "_names",
        "_start_s",
        "_sums",
        "variant",
        "version",
    )

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
        """`distance`: mean and standard deviation of the training set's, where they are known.

        `known`: where the detectors stood when this version was last served here.
        """
        self.version = version
        self.variant = variant
        self._names = tuple(labels)
        self._lock = Lock()
        self._doubt = PageHinkley(std_floor=DOUBT_STD_FLOOR)
        self._distance = PageHinkley(*distance, std_floor=DISTANCE_STD_FLOOR) if distance else None
        if known:
            self._doubt.resume(known.doubt)
            if self._distance and known.distance:
                self._distance.resume(known.distance)
        self._reset(now_s)

    def observe(self, latency_s: float, top: int | None, confidence: float | None) -> None:
        """Count an answer: how long it took, its top class and how sure the model was, where there is such a thing."""
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
                self._weigh(self._doubt, 1.0 - confidence)

    def inspect(self, level: int, level_bin: int, distance: int, entropy_millibits: int | None) -> None:
        """Count an inspected input (units: `protocol.feedback.input_profile`) and its answer if it has classes."""
        with self._lock:
            looked = self._looked
            looked[0] += 1
            looked[1] += level
            looked[2] += level * level
            looked[3] += distance
            self._levels[level_bin] += 1
            if entropy_millibits is not None:
                self._entropy = (self._entropy or 0) + entropy_millibits
            if self._distance:
                self._weigh(self._distance, distance / 1_000)

    def compare(self, agreed: bool) -> None:
        """Count an input that a shadow answered too."""
        with self._lock:
            self._sums[5] += 1
            self._sums[6] += agreed

    def fail(self, count: int = 1) -> None:
        """Count inputs that got no answer."""
        with self._lock:
            self._sums[0] += count
            self._sums[1] += count

    def label(self, correct: bool) -> None:
        """Count a true label that came for an earlier answer."""
        with self._lock:
            self._sums[2] += 1
            self._sums[3] += correct

    @property
    def inferences(self) -> int:
        """Inputs since the last `take`."""
        return self._sums[0]

    @property
    def empty(self) -> bool:
        """Whether nothing at all was counted since the last `take`; a late label counts."""
        return not any(self._sums)

    @property
    def drift(self) -> float | None:
        """Where the worst detector stands now, 0-1; None while none is ready."""
        detectors = (self._doubt, self._distance)
        return max((each.score for each in detectors if each and each.score is not None), default=None)

    @property
    def drift_states(self) -> DriftStates:
        """Where the detectors stand, to be remembered."""
        with self._lock:
            distance = self._distance.standing() if self._distance else None
            return DriftStates(self.version, self.variant, self._doubt.standing(), distance)

    def look(self, now_s: float) -> FeedbackWindow:
        """The counts so far, as a window."""
        with self._lock:
            return self._window(now_s)

    def take(self, now_s: float) -> FeedbackWindow:
        """The counts so far, as a window; counting starts again from nothing."""
        with self._lock:
            window = self._window(now_s)
            self._reset(now_s)
            return window

    def _weigh(self, detector: PageHinkley, number: float) -> None:
        score = detector.take(number)
        if score is not None:
            if score > self._drift:
                self._drift = score
            if detector.drifting:
                self._drifting = True

    def _reset(self, now_s: float) -> None:
        self._start_s = now_s
        self._sums = [0] * 7  # inferences, errors, labelled, correct, confidence in millionths, compared, agreed
        self._looked = [0] * 4  # inputs, level, its square, distance: see `Sample`
        self._entropy = None
        self._levels = [0] * LEVEL_BINS
        self._classes: dict[int, int] = {}
        self._latency = [0] * (BUCKET_LAST + 1)
        self._confidences = [0] * (CONFIDENCE_BINS + 1)  # the last one is for a confidence of exactly 1
        self._drift = -1.0  # no detector was ready
        self._drifting = False

    def _window(self, now_s: float) -> FeedbackWindow:
        inferences, errors, labelled, correct, millionths, compared, agreed = self._sums
        *bins, sure = self._confidences
        bins[-1] += sure
        return FeedbackWindow(
            version=self.version,
            variant=self.variant,
            start_s=self._start_s,
            end_s=max(now_s, self._start_s),  # a wall clock may be set back
            inferences=inferences,
            errors=errors,
            labelled=labelled,
            correct=correct,
            compared=compared,
            agreed=agreed,
            classes=self._named(),
            latency={index: count for index, count in enumerate(self._latency) if count},
            confidences=tuple(bins) if any(bins) else (),
            confidence_millionths=millionths,
            drift=self._drift if self._drift >= 0 else None,
            drifting=self._drifting if self._drift >= 0 else None,
            sample=self._sample(),
        )

    def _sample(self) -> Sample | None:
        inputs, level, squares, distance = self._looked
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

    def _named(self) -> dict[str, int]:
        named: Counter[str] = Counter()
        for index, count in self._classes.items():
            known = index < len(self._names)
            named[self._names[index][:CLASS_NAME_MAX] if known else str(index)] += count
        return dict(named)


def to_message(window: FeedbackWindow, device: str, model: str, event_id: str) -> Feedback:
    """The window as it goes on the wire: under 1 KB for ten classes."""
    return with_figures(
        Feedback(
            model=model,
            version=window.version,
            inferences=window.inferences,
            errors=window.errors,
            labelled=window.labelled,
            correct=window.correct,
            compared=window.compared,
            agreed=window.agreed,
            classes=most_frequent(window.classes),
            latency_histogram={str(index): count for index, count in sorted(window.latency.items())},
            confidence_sum=window.confidence_sum,
            confidence_histogram=window.confidences,
            drift=None if window.drift is None else round(window.drift, 4),
            drifting=window.drifting,
            sample=window.sample,
            device=device,
            variant=window.variant,
            window_start=datetime.fromtimestamp(window.start_s, UTC),
            window_end=datetime.fromtimestamp(window.end_s, UTC),
            event_id=event_id,
        )
    )

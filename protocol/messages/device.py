"""Messages from devices: the most useful keys first, units in names.

The keys of `Status` are those of Home Assistant's `update` entity.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from protocol.messages.base import Figure, Frozen, Line, Name, Percent, Sha256, Text, Utc, Version

WANTS_MAX: Final = 48  # hashes; keeps the line under 4 KB

State = Literal[
    "idle", "assigned", "deferred", "fetching", "stalled", "proving", "rejected",
    "shadowing", "probation", "committed", "rolled_back",
]  # fmt: skip
OutcomeKind = Literal["adopted", "rejected", "rolled_back"]


class Presence(Line):
    """Whether a device is online. Its last will has `online: false`."""

    device: Name
    online: bool
    at: Utc | None = Field(default=None, description="absent in a last will, which is written in advance")
    session: str = Field(max_length=64, description="distinguishes a late will of an old session from current messages")
    client: str = Field(default="", max_length=64)
    runtime: str = Field(default="", max_length=64)
    models: tuple[Name, ...] = ()


class Status(Line):
    """The state of one model on one device, and the reason for it."""

    state: State
    installed_version: Version | None = None
    latest_version: Version | None = Field(default=None, description="the version that the plan assigns to this device")
    in_progress: bool = False
    update_percentage: Percent | None = None
    reason: Text = ""
    next_check: Utc | None = None
    device: Name
    model: Name
    variant: Name | None = Field(default=None, description="of the installed version")
    previous_version: Version | None = None
    plan_sequence: int = 0
    at: Utc


class Evidence(Frozen):
    """The figures behind an outcome; those that were not measured are absent.

    `…_agreement`, `…_accuracy`: shares, or means where an answer can be right in part.
    `…_decided_by`: the question that decided; `deadline` is "not enough evidence".
    `…_e_equal`, `…_e_worse`: evidence against the new model being as good as the old
    one, and against it being worse than allowed; 1 is none. `…_only_right`: labelled
    inputs that only this model got right. `proof_…`: of the child process that tried
    the model. See TRIAL.md.
    """

    golden_samples: int | None = None
    golden_max_error: Figure | None = None
    golden_latency_ms_p50: Figure | None = None
    proof_wall_s: Figure | None = None
    proof_ended: Annotated[str, Field(max_length=64)] | None = None
    proof_memory_peak_bytes: int | None = None
    shadow_inputs: int | None = None
    shadow_agreement: Figure | None = None
    shadow_errors: int | None = None
    shadow_labelled: int | None = None
    candidate_accuracy: Figure | None = None
    live_accuracy: Figure | None = None
    candidate_latency_ms_p95: Figure | None = None
    live_latency_ms_p95: Figure | None = None
    candidate_slow: int | None = None
    candidate_only_right: int | None = None
    live_only_right: int | None = None
    confidence_drop: Figure | None = None
    live_drifting: bool | None = None
    answers_compared: int | None = Field(default=None, description="classes of the live model, judged one by one")
    answers_unseen: int | None = Field(default=None, description="of these, those given before, but not in the trial")
    sealed_inputs: int | None = Field(default=None, description="earlier inputs that the candidate answered too")
    shadow_decided_by: Name | None = None
    shadow_e_equal: Figure | None = None
    shadow_e_worse: Figure | None = None
    probation_inferences: int | None = None
    probation_errors: int | None = None
    probation_agreement: Figure | None = None
    probation_inputs: int | None = None
    probation_labelled: int | None = None
    new_only_right: int | None = None
    previous_only_right: int | None = None
    probation_decided_by: Name | None = None
    probation_e_equal: Figure | None = None
    probation_e_worse: Figure | None = None
    equal_refused_max: Figure | None = None
    worse_adopted_max: Figure | None = None


class Outcome(Line):
    """The end of an update on a device. Sent at least once: count by `event_id`."""

    outcome: OutcomeKind
    version: Version
    from_version: Version | None = None
    reason: Text
    device: Name
    model: Name
    variant: Name | None = None
    event_id: str = Field(max_length=64)
    plan_sequence: int = 0
    attempt: int = 1
    evidence: Evidence = Evidence()
    at: Utc


class Sample(Frozen):
    """Statistics over every n-th inference: sums of whole numbers, in thousandths.

    `level`: the mean of an input's values, in standard deviations from the training
    set's mean, or plain where the manifest has no `input_statistics`. `distance`: from
    the training set; 1 is usual. `entropy`: of an answer, in bits. See FEEDBACK.md.
    """

    inputs: int = Field(default=0, ge=0)
    level_sum: int = 0
    level_squares: int = Field(default=0, ge=0)
    levels: tuple[int, ...] = Field(default=(), max_length=32, description="number of levels in each bin")
    distance_sum: int = Field(default=0, ge=0)
    entropy_sum: int | None = Field(default=None, ge=0, description="of the answers, where they are distributions")


class Feedback(Line):
    """One window of inferences of one version. All counts and histograms are sums."""

    model: Name
    version: Version
    inferences: int = Field(ge=0)
    errors: int = Field(default=0, ge=0)
    accuracy: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="of `labelled`, how well they fit on average; a classifier's are right or wrong",
    )
    latency_ms_p95: float | None = Field(default=None, ge=0)
    latency_ms_p50: float | None = Field(default=None, ge=0)
    latency_ms_p99: float | None = Field(default=None, ge=0)
    confidence_mean: float | None = None
    agreement: float | None = Field(
        default=None, ge=0, le=1, description="of `compared`, how alike they are on average"
    )
    drift: float | None = Field(default=None, ge=0, le=1, description="highest score of a detector in this window")
    drifting: bool | None = Field(default=None, description="whether a detector reported drift in this window")
    input_shift: float | None = Field(default=None, description="mean level, in standard deviations")
    entropy_bits: float | None = Field(default=None, ge=0, description="entropy of `classes`")
    labelled: int = Field(default=0, ge=0)
    correct: int = Field(default=0, ge=0)
    compared: int = Field(default=0, ge=0, description="inputs that a shadow also answered")
    agreed: int = Field(default=0, ge=0, description="compared inputs with the same answer")
    partly_correct: float | None = Field(
        default=None, ge=0, description="sum of how well the other labelled answers fit, 0-1"
    )
    partly_agreed: float | None = Field(
        default=None, ge=0, description="sum of how alike the other compared answers are, 0-1"
    )
    classes: dict[str, int] = Field(default_factory=dict, description="number of answers by class")
    latency_histogram: dict[str, int] = Field(default_factory=dict, description="count by bucket; see PROTOCOL.md")
    confidence_sum: float = 0.0
    confidence_histogram: tuple[int, ...] = Field(default=(), max_length=100, description="equally wide bins, 0 to 1")
    sample: Sample | None = None
    device: Name
    variant: Name | None = None
    window_start: Utc
    window_end: Utc
    event_id: str = Field(max_length=64)


class Wants(Line):
    """Chunks that the broker does not have; `publisher serve` publishes them again."""

    chunks: tuple[Sha256, ...] = Field(min_length=1, max_length=WANTS_MAX)
    device: Name
    model: Name

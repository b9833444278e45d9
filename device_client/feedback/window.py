"""A closed feedback window of one version, and the message that is published for it.

Reads no clock. What is counted and how windows add up: `protocol.feedback.aggregation`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from protocol.feedback.aggregation import FeedbackSums, message_fields
from protocol.messages.device import Feedback


@dataclass(frozen=True, slots=True)
class FeedbackWindow:
    """What one version did from `start_s` to `end_s`, in seconds since 1970 in UTC."""

    version: str
    variant: str
    start_s: float
    end_s: float
    sums: FeedbackSums = field(default_factory=FeedbackSums)


def to_message(window: FeedbackWindow, device: str, model: str, event_id: str) -> Feedback:
    return Feedback(
        device=device,
        model=model,
        version=window.version,
        variant=window.variant,
        window_start=datetime.fromtimestamp(window.start_s, UTC),
        window_end=datetime.fromtimestamp(window.end_s, UTC),
        event_id=event_id,
        **message_fields(window.sums),
    )

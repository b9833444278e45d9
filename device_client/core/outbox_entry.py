"""A report on its way to the broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Kept until the broker acknowledges it; `feedback` may be merged with its like."""

    event_id: str
    topic: str
    payload: bytes
    at_s: float  # seconds since 1970, by this device's clock
    kind: Literal["event", "feedback"]

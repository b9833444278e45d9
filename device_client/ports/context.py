"""Dependencies of an engine: clocks, the link's output, one model's adapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from device_client.core.conditions.readings import Unknown
from device_client.ports.journal import Journal
from device_client.ports.proof import Prover
from device_client.ports.sensors import Sensors
from device_client.ports.serving import Serving, Swapped
from device_client.ports.storage import Store
from protocol.trust.verification import Accepted

Verify = Callable[[bytes, Mapping[str, bytes]], Accepted]
"""Verify a bundle against the metadata trusted so far. Raises Untrusted, NoRoom."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock that never goes back, and the wall clock, which may jump."""

    monotonic_s: Callable[[], float]
    utc: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class LinkOutput:
    """What an engine sends over the link. A `publish` is not kept over a restart."""

    publish: Callable[[str, bytes, bool], None]  # topic, payload, retained; at QoS 1
    sweep: Callable[[tuple[str, ...]], None]
    outbox_filled: Callable[[], None]
    round_trip_ms: Callable[[], float | Unknown]


def no_observer(_swapped: Swapped) -> None:
    """No-op observer of swaps."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """Everything outside that one engine acts upon."""

    store: Store
    prover: Prover
    serving: Serving
    sensors: Sensors
    journal: Journal
    verify: Verify
    output: LinkOutput
    clock: Clock
    on_swap: Callable[[Swapped], None] = no_observer
    """Called once `current` points at the file; must not block or raise."""

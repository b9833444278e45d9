"""What an engine stands among: two clocks, an output to the link, the adapters of one model. Does nothing."""

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
"""Believe a bundle or raise Untrusted; the mapping is what was trusted before."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks: one that never goes back, and the wall's, which may jump."""

    monotonic_s: Callable[[], float]
    utc: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class LinkOutput:
    """What an engine may ask of the link. `say` keeps nothing: status and wants are said anew when they change."""

    publish: Callable[[str, bytes, bool], None]  # topic, payload, retained; at QoS 1
    sweep: Callable[[tuple[str, ...]], None]
    outbox_filled: Callable[[], None]
    round_trip_ms: Callable[[], float | Unknown]


def no_observer(_swapped: Swapped) -> None:
    """Where nobody follows the live model from outside."""


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
    swapped: Callable[[Swapped], None] = no_observer
    """Told after each swap, also at a start, once `current` points at the file; must not wait or raise."""

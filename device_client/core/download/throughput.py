"""How fast the broker gives chunks: bytes kept over time. Counted in whole chunks, for the last of a file is rare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from device_client.core.conditions.readings import Readings, Unknown
from protocol.messages.manifest import CHUNK_BYTES

MEASURED_OVER_S: Final = 1.0  # less is chance
OLD_AFTER_S: Final = 900.0  # a link of then says little of now; and a slow one must get another chance to be measured


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was kept since when, and the last measure of it."""

    since_s: float | None = None
    kept_bytes: int = 0
    bytes_s: float | None = None
    measured_at_s: float = 0.0


def started(pace: Throughput, now_s: float) -> Throughput:
    """A file is asked for; the pause before it does not count."""
    return replace(pace, since_s=now_s, kept_bytes=0)


def kept_one(pace: Throughput, now_s: float) -> Throughput:
    """One more chunk was kept."""
    if pace.since_s is None:
        return started(pace, now_s)
    pace = replace(pace, kept_bytes=pace.kept_bytes + CHUNK_BYTES)
    span_s = now_s - (pace.since_s or 0.0)
    return Throughput(now_s, 0, pace.kept_bytes / span_s, now_s) if span_s >= MEASURED_OVER_S else pace


def told(pace: Throughput, readings: Readings, now_s: float) -> Readings:
    """The readings with the measured throughput, unless something else gave one."""
    if not isinstance(readings.throughput_bytes_s, Unknown):
        return readings
    if pace.bytes_s is None or now_s >= pace.measured_at_s + OLD_AFTER_S:
        return replace(readings, throughput_bytes_s=Unknown("nothing was downloaded of late"))
    return replace(readings, throughput_bytes_s=pace.bytes_s)

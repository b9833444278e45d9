"""Throughput of downloads: bytes kept over time, counted in whole chunks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from device_client.core.conditions.readings import Readings, Unknown
from protocol.messages.manifest import CHUNK_BYTES

MEASURED_OVER_S: Final = 1.0  # a shorter time is noise
OLD_AFTER_S: Final = 900.0  # the link may have changed; and a slow one must be measured again


@dataclass(frozen=True, slots=True)
class Throughput:
    """Bytes kept since `since_s`, and the last measurement."""

    since_s: float | None = None
    kept_bytes: int = 0
    bytes_s: float | None = None
    measured_at_s: float = 0.0


def started(measured: Throughput, now_s: float) -> Throughput:
    """A file is requested; the pause before does not count."""
    return replace(measured, since_s=now_s, kept_bytes=0)


def kept_one(measured: Throughput, now_s: float) -> Throughput:
    if measured.since_s is None:
        return started(measured, now_s)
    measured = replace(measured, kept_bytes=measured.kept_bytes + CHUNK_BYTES)
    span_s = now_s - (measured.since_s or 0.0)
    return Throughput(now_s, 0, measured.kept_bytes / span_s, now_s) if span_s >= MEASURED_OVER_S else measured


def fill_in(measured: Throughput, readings: Readings, now_s: float) -> Readings:
    """The readings with the measured throughput, unless a sensor gave one."""
    if not isinstance(readings.throughput_bytes_s, Unknown):
        return readings
    if measured.bytes_s is None or now_s >= measured.measured_at_s + OLD_AFTER_S:
        return replace(readings, throughput_bytes_s=Unknown("nothing was downloaded of late"))
    return replace(readings, throughput_bytes_s=measured.bytes_s)

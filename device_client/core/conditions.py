"""Whether the device is fit for an update now. Each condition answers with a reason that an operator can read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from device_client.core.policy import Thresholds
from device_client.core.readings import Readings, Unknown


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer and its reason."""

    allowed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What the update in question takes, in bytes."""

    disk_bytes: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What a condition is asked about."""

    readings: Readings
    thresholds: Thresholds
    needs: Needs = Needs()


Condition = Callable[[Question], Verdict]


def judge(question: Question, *, urgent: bool) -> Verdict:
    """Ask every condition; the first that objects gives the reason. Urgency waives comfort, never safety."""
    conditions = SAFETY if urgent else SAFETY + COMFORT
    for condition in conditions:
        verdict = condition(question)
        if not verdict.allowed:
            return verdict
    waived = " (urgent: comfort conditions waived)" if urgent else ""
    return Verdict(True, f"all conditions hold{waived}")


def hold(asked: Question) -> Verdict:
    """The application's own word."""
    if asked.readings.held:
        return Verdict(False, f"the application holds updates: {asked.readings.held}")
    return Verdict(True, "the application does not hold updates")


def battery(asked: Question) -> Verdict:
    """Mains power, or enough battery."""
    if asked.readings.on_mains is True:
        return Verdict(True, "on mains power")
    percent, floor = asked.readings.battery_percent, asked.thresholds.battery_min_percent
    if isinstance(percent, Unknown):
        return _unknown("battery", percent, asked.thresholds)
    return _compare(percent >= floor, "battery", f"{percent:.0f} %", "under", f"{floor:.0f} %")


def memory(asked: Question) -> Verdict:
    """Room for the candidate beside the live model."""
    free, floor = asked.readings.memory_free_bytes, max(asked.thresholds.memory_min_bytes, asked.needs.memory_bytes)
    if isinstance(free, Unknown):
        return _unknown("free memory", free, asked.thresholds)
    return _compare(free >= floor, "free memory", _mb(free), "under", _mb(floor))


def disk(asked: Question) -> Verdict:
    """Room for the download and the file it becomes, and the margin that the owner wants left."""
    free, floor = asked.readings.disk_free_bytes, asked.thresholds.disk_min_bytes + asked.needs.disk_bytes
    if isinstance(free, Unknown):
        return _unknown("free disk", free, asked.thresholds)
    return _compare(free >= floor, "free disk", _mb(free), "under", _mb(floor))


def cpu(asked: Question) -> Verdict:
    """The application comes first."""
    load, ceiling = asked.readings.cpu_percent, asked.thresholds.cpu_max_percent
    if isinstance(load, Unknown):
        return _unknown("CPU load", load, asked.thresholds)
    return _compare(load <= ceiling, "CPU load", f"{load:.0f} %", "over", f"{ceiling:.0f} %")


def temperature(asked: Question) -> Verdict:
    """A hot board throttles; a trial would measure the heat."""
    degrees, ceiling = asked.readings.temperature_c, asked.thresholds.temperature_max_c
    if isinstance(degrees, Unknown):
        return _unknown("temperature", degrees, asked.thresholds)
    return _compare(degrees <= ceiling, "temperature", f"{degrees:.0f} °C", "over", f"{ceiling:.0f} °C")


def metering(asked: Question) -> Verdict:
    """Bytes that cost money wait, unless the owner allows them."""
    if asked.thresholds.metered_allowed:
        return Verdict(True, "metered links are allowed")
    if isinstance(asked.readings.metered, Unknown):
        if asked.readings.link_kind == "cellular":
            return Verdict(False, "the link is cellular, which counts as metered")
        return _unknown("metering", asked.readings.metered, asked.thresholds)
    metered = asked.readings.metered
    return Verdict(not metered, f"the link is {'' if metered else 'not '}metered")


def network(asked: Question) -> Verdict:
    """A slow answer from the broker tells of a bad link."""
    round_trip, ceiling = asked.readings.round_trip_ms, asked.thresholds.round_trip_max_ms
    if isinstance(round_trip, Unknown):
        return _unknown("round trip to the broker", round_trip, asked.thresholds)
    return _compare(
        round_trip <= ceiling, "round trip to the broker", f"{round_trip:.0f} ms", "over", f"{ceiling:.0f} ms"
    )


SAFETY: Final[tuple[Condition, ...]] = (hold, battery, memory, disk)
COMFORT: Final[tuple[Condition, ...]] = (cpu, temperature, metering, network)


def _compare(good: bool, what: str, value: str, bad: str, limit: str) -> Verdict:
    return Verdict(good, f"{what} {value} is {'not ' if good else ''}{bad} {limit}")


def _unknown(what: str, reading: Unknown, thresholds: Thresholds) -> Verdict:
    return Verdict(thresholds.unknown == "allow", f"{what} is unknown: {reading.reason}")


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"

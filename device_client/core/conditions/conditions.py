"""Whether the device is fit for an update now. Each condition answers with a reason that an operator can read.

Nothing is remembered here: which limits were crossed at the last look comes with the question and goes with the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.conditions.time_windows import is_open, opening, until_open_s
from device_client.core.policy import Thresholds
from protocol.sizes import size_text


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer and its reason. `crossed`: the conditions whose limit was crossed, for the next question.

    `opens_in_s`: how long the hours for updates stay closed, where they do.
    """

    allowed: bool
    reason: str
    crossed: frozenset[str] = frozenset()
    opens_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What the update in question takes, in bytes.

    `relieves`: it is there to leave more memory free than before, so it need not wait until enough is free.
    """

    disk_bytes: int = 0
    memory_bytes: int = 0
    relieves: bool = False


@dataclass(frozen=True, slots=True)
class ConditionQuery:
    """What a condition is asked about. `crossed`: as the last verdict told it."""

    readings: Readings
    thresholds: Thresholds
    needs: Needs = Needs()
    crossed: frozenset[str] = frozenset()


Condition = Callable[[ConditionQuery], Verdict]


def judge(question: ConditionQuery, *, urgent: bool, because: str = "urgent") -> Verdict:
    """Ask every condition; the first that objects gives the reason. Urgency waives comfort, never safety.

    `because`: what makes it urgent, for the reason.
    """
    safety = [condition(question) for condition in SAFETY]
    comfort = [condition(question) for condition in COMFORT]
    crossed = frozenset[str]().union(*(verdict.crossed for verdict in safety + comfort))
    asked = safety if urgent else safety + comfort
    opens_in_s = next((verdict.opens_in_s for verdict in asked if verdict.opens_in_s is not None), None)
    for verdict in asked:
        if not verdict.allowed:
            return replace(verdict, crossed=crossed, opens_in_s=opens_in_s)
    waived = f" ({because}: comfort conditions waived)" if urgent else ""
    return Verdict(True, f"all conditions hold{waived}", crossed)


def hold(asked: ConditionQuery) -> Verdict:
    """The application's own word."""
    if asked.readings.held:
        return Verdict(False, f"the application holds updates: {asked.readings.held}")
    return Verdict(True, "the application does not hold updates")


def throttling(asked: ConditionQuery) -> Verdict:
    """A processor that is slowed down has no strength to spare, and its trial would measure the brake."""
    throttled = asked.readings.throttled
    if isinstance(throttled, Unknown):
        return _unknown("throttling", "throttling", throttled, asked)
    return _flagged("throttling", throttled, f"the processor is {'' if throttled else 'not '}throttled")


def voltage(asked: ConditionQuery) -> Verdict:
    """Under-voltage ends in a damaged disk or a reboot; writing makes it worse."""
    low = asked.readings.under_voltage
    if isinstance(low, Unknown):
        return _unknown("voltage", "the supply voltage", low, asked)
    return _flagged("voltage", low, f"the supply voltage is {'too low' if low else 'high enough'}")


def battery(asked: ConditionQuery) -> Verdict:
    """Mains power, or enough battery."""
    percent, limits = asked.readings.battery_percent, asked.thresholds
    if asked.readings.on_mains is True:
        return Verdict(True, "on mains power")
    if isinstance(percent, Unknown):
        return _unknown("battery", "battery", percent, asked)
    back = min(limits.battery_hysteresis_percent, 100.0 - limits.battery_min_percent)  # a full battery is enough
    floor = Limit("battery", "battery", limits.battery_min_percent, back, _percent)
    return floor.under(percent, asked.crossed)


def memory(asked: ConditionQuery) -> Verdict:
    """Room for the candidate beside the live model."""
    free, limits = asked.readings.memory_free_bytes, asked.thresholds
    if isinstance(free, Unknown):
        return _unknown("memory", "free memory", free, asked)
    needed = asked.needs.memory_bytes
    floor = needed if asked.needs.relieves else max(limits.memory_min_bytes, needed)
    return Limit("memory", "free memory", floor, limits.memory_hysteresis_bytes, size_text).under(free, asked.crossed)


def disk(asked: ConditionQuery) -> Verdict:
    """Room for the download and the file it becomes, and the margin that the owner wants left."""
    free, limits = asked.readings.disk_free_bytes, asked.thresholds
    if isinstance(free, Unknown):
        return _unknown("disk", "free disk", free, asked)
    floor = limits.disk_min_bytes + asked.needs.disk_bytes
    return Limit("disk", "free disk", floor, limits.disk_hysteresis_bytes, size_text).under(free, asked.crossed)


def cpu(asked: ConditionQuery) -> Verdict:
    """The application comes first."""
    load, limits = asked.readings.cpu_percent, asked.thresholds
    if isinstance(load, Unknown):
        return _unknown("cpu", "CPU load", load, asked)
    back = min(limits.cpu_hysteresis_percent, limits.cpu_max_percent / 2)
    ceiling = Limit("cpu", "CPU load", limits.cpu_max_percent, back, _percent)
    return ceiling.over(load, asked.crossed)


def temperature(asked: ConditionQuery) -> Verdict:
    """A hot board throttles; a trial would measure the heat."""
    degrees, limits = asked.readings.temperature_c, asked.thresholds
    if isinstance(degrees, Unknown):
        return _unknown("temperature", "temperature", degrees, asked)
    ceiling = Limit(
        "temperature", "temperature", limits.temperature_max_c, limits.temperature_hysteresis_c, "{:.0f} °C".format
    )
    return ceiling.over(degrees, asked.crossed)


def metering(asked: ConditionQuery) -> Verdict:
    """Bytes that cost money wait, unless the owner allows them."""
    if asked.thresholds.metered_allowed:
        return Verdict(True, "metered links are allowed")
    if isinstance(asked.readings.metered, Unknown):
        if asked.readings.link_kind == "cellular":
            return Verdict(False, "the link is cellular, which counts as metered")
        return _unknown("metering", "metering", asked.readings.metered, asked)
    metered = asked.readings.metered
    return Verdict(not metered, f"the link is {'' if metered else 'not '}metered")


def signal(asked: ConditionQuery) -> Verdict:
    """Wi-Fi at its edge loses packets, and its radio burns power. Other links have no signal to speak of."""
    dbm, limits, kind = asked.readings.wifi_signal_dbm, asked.thresholds, asked.readings.link_kind
    if not isinstance(kind, Unknown) and kind != "wifi":
        return Verdict(True, f"the link is {kind}")
    if isinstance(dbm, Unknown):
        return _unknown("signal", "Wi-Fi signal", dbm, asked)
    floor = Limit(
        "signal", "Wi-Fi signal", limits.wifi_signal_min_dbm, limits.wifi_signal_hysteresis_dbm, "{:.0f} dBm".format
    )
    return floor.under(dbm, asked.crossed)


def network(asked: ConditionQuery) -> Verdict:
    """A slow answer from the broker tells of a bad link."""
    round_trip, limits = asked.readings.round_trip_ms, asked.thresholds
    if isinstance(round_trip, Unknown):
        return _unknown("network", "round trip to the broker", round_trip, asked)
    back = min(limits.round_trip_hysteresis_ms, limits.round_trip_max_ms / 2)
    ceiling = Limit("network", "round trip to the broker", limits.round_trip_max_ms, back, "{:.0f} ms".format)
    return ceiling.over(round_trip, asked.crossed)


def throughput(asked: ConditionQuery) -> Verdict:
    """How fast the last download was. Unknown never defers: only a download can tell."""
    speed, floor = asked.readings.throughput_bytes_s, asked.thresholds.throughput_min_bytes_s
    if isinstance(speed, Unknown):
        return Verdict(True, f"throughput is unknown: {speed.reason}")
    return Limit("throughput", "throughput from the broker", floor, 0, _bytes_s).under(speed, asked.crossed)


def hours(asked: ConditionQuery) -> Verdict:
    """The hours of local time that the owner leaves to updates."""
    windows, local = asked.thresholds.hours, asked.readings.local_time
    if not windows:
        return Verdict(True, "no hours are set for updates")
    if isinstance(local, Unknown):
        return _unknown("hours", "the local time", local, asked)
    if is_open(windows, local):
        return Verdict(True, f"{local:%H:%M} is within the hours for updates")
    reason = f"outside the hours for updates; the next begin at {opening(windows, local):%H:%M} local time"
    return Verdict(False, reason, opens_in_s=until_open_s(windows, local))


SAFETY: Final[tuple[Condition, ...]] = (hold, throttling, voltage, battery, memory, disk)
COMFORT: Final[tuple[Condition, ...]] = (cpu, temperature, metering, signal, network, throughput, hours)


@dataclass(frozen=True, slots=True)
class Limit:
    """A line that a reading must not cross, and how far back it must come once it has."""

    condition: str
    what: str
    value: float
    hysteresis: float
    say: Callable[[float], str]

    def under(self, reading: float, crossed: frozenset[str]) -> Verdict:
        """The reading may not be under it."""
        back = self.value <= reading and self.condition in crossed
        floor = self.value + self.hysteresis if back else self.value
        return self._verdict(reading >= floor, reading, "under", floor)

    def over(self, reading: float, crossed: frozenset[str]) -> Verdict:
        """The reading may not be over it."""
        back = reading <= self.value and self.condition in crossed
        ceiling = self.value - self.hysteresis if back else self.value
        return self._verdict(reading <= ceiling, reading, "over", ceiling)

    def _verdict(self, good: bool, reading: float, bad: str, limit: float) -> Verdict:
        since = "" if limit == self.value or good else f", for it was {bad} {self.say(self.value)}"
        reason = f"{self.what} {self.say(reading)} is {'not ' if good else ''}{bad} {self.say(limit)}{since}"
        return Verdict(good, reason, frozenset() if good else frozenset({self.condition}))


def _flagged(condition: str, bad: bool, reason: str) -> Verdict:
    return Verdict(not bad, reason, frozenset({condition}) if bad else frozenset())


def _unknown(condition: str, what: str, reading: Unknown, asked: ConditionQuery) -> Verdict:
    """What the owner makes of it; but a danger that was seen is not over because its sensor went silent."""
    reason, of_this_one = f"{what} is unknown: {reading.reason}", getattr(asked.thresholds.unknown_of, condition)
    endangered = condition in asked.crossed and any(each.__name__ == condition for each in SAFETY)
    if endangered and of_this_one != "allow":
        return Verdict(False, f"{reason}; when it was last read it stood in the way", frozenset({condition}))
    return Verdict((of_this_one or asked.thresholds.unknown) == "allow", reason)


def _percent(value: float) -> str:
    return f"{value:.0f} %"


def _bytes_s(bytes_s: float) -> str:
    return f"{size_text(bytes_s)}/s"

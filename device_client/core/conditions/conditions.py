"""Whether the device is fit for an update now. Each condition gives its reason.

Stateless: which limits were crossed at the last check comes with the query, for
hysteresis, and the verdict returns it for the next.
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
    """Whether an update is allowed, and why."""

    allowed: bool
    reason: str
    crossed: frozenset[str] = frozenset()  # conditions whose limit was crossed, for the next query
    opens_in_s: float | None = None  # until the hours for updates begin, where they are closed


@dataclass(frozen=True, slots=True)
class Needs:
    """What the update takes. `relieves`: it frees memory, so needs no spare."""

    disk_bytes: int = 0
    memory_bytes: int = 0
    relieves: bool = False


@dataclass(frozen=True, slots=True)
class ConditionQuery:
    """What a condition judges. `crossed`: from the last verdict."""

    readings: Readings
    thresholds: Thresholds
    needs: Needs = Needs()
    crossed: frozenset[str] = frozenset()


Condition = Callable[[ConditionQuery], Verdict]
_percent: Final = "{:.0f} %".format


def judge(query: ConditionQuery, *, urgent: bool, because: str = "urgent") -> Verdict:
    """The first to object gives the reason. `urgent` waives comfort, never safety."""
    safety = [condition(query) for condition in SAFETY]
    comfort = [condition(query) for condition in COMFORT]
    crossed = frozenset[str]().union(*(verdict.crossed for verdict in safety + comfort))
    judged = safety if urgent else safety + comfort
    opens_in_s = next((verdict.opens_in_s for verdict in judged if verdict.opens_in_s is not None), None)
    for verdict in judged:
        if not verdict.allowed:
            return replace(verdict, crossed=crossed, opens_in_s=opens_in_s)
    waived = f" ({because}: comfort conditions waived)" if urgent else ""
    return Verdict(True, f"all conditions hold{waived}", crossed)


def hold(query: ConditionQuery) -> Verdict:
    if query.readings.held:
        return Verdict(False, f"the application holds updates: {query.readings.held}")
    return Verdict(True, "the application does not hold updates")


def throttling(query: ConditionQuery) -> Verdict:
    """A throttled processor has no time to spare, and distorts a trial."""
    throttled = query.readings.throttled
    if isinstance(throttled, Unknown):
        return _unknown("throttling", "throttling", throttled, query)
    return _flagged("throttling", throttled, f"the processor is {'' if throttled else 'not '}throttled")


def voltage(query: ConditionQuery) -> Verdict:
    """Under-voltage can damage the disk or reboot the board; writing makes it worse."""
    low = query.readings.under_voltage
    if isinstance(low, Unknown):
        return _unknown("voltage", "the supply voltage", low, query)
    return _flagged("voltage", low, f"the supply voltage is {'too low' if low else 'high enough'}")


def battery(query: ConditionQuery) -> Verdict:
    percent, limits = query.readings.battery_percent, query.thresholds
    if query.readings.on_mains is True:
        return Verdict(True, "on mains power")
    back = min(limits.battery_hysteresis_percent, 100.0 - limits.battery_min_percent)  # a full battery is enough
    return Limit("battery", "battery", limits.battery_min_percent, back, _percent).under(percent, query)


def memory(query: ConditionQuery) -> Verdict:
    free, limits = query.readings.memory_free_bytes, query.thresholds
    needed = query.needs.memory_bytes
    floor = needed if query.needs.relieves else max(limits.memory_min_bytes, needed)
    return Limit("memory", "free memory", floor, limits.memory_hysteresis_bytes, size_text).under(free, query)


def disk(query: ConditionQuery) -> Verdict:
    """Room for the download and its file, beside the margin of the settings."""
    free, limits = query.readings.disk_free_bytes, query.thresholds
    floor = limits.disk_min_bytes + query.needs.disk_bytes
    return Limit("disk", "free disk", floor, limits.disk_hysteresis_bytes, size_text).under(free, query)


def cpu(query: ConditionQuery) -> Verdict:
    limits = query.thresholds
    back = min(limits.cpu_hysteresis_percent, limits.cpu_max_percent / 2)
    return Limit("cpu", "CPU load", limits.cpu_max_percent, back, _percent).over(query.readings.cpu_percent, query)


def temperature(query: ConditionQuery) -> Verdict:
    """A hot board throttles; a trial would measure the heat."""
    most, back = query.thresholds.temperature_max_c, query.thresholds.temperature_hysteresis_c
    ceiling = Limit("temperature", "temperature", most, back, "{:.0f} °C".format)
    return ceiling.over(query.readings.temperature_c, query)


def metering(query: ConditionQuery) -> Verdict:
    if query.thresholds.metered_allowed:
        return Verdict(True, "metered links are allowed")
    if isinstance(query.readings.metered, Unknown):
        if query.readings.link_kind == "cellular":
            return Verdict(False, "the link is cellular, which counts as metered")
        return _unknown("metering", "metering", query.readings.metered, query)
    metered = query.readings.metered
    return Verdict(not metered, f"the link is {'' if metered else 'not '}metered")


def signal(query: ConditionQuery) -> Verdict:
    """Weak Wi-Fi loses packets and costs power. Other links have no signal."""
    limits, kind = query.thresholds, query.readings.link_kind
    if not isinstance(kind, Unknown) and kind != "wifi":
        return Verdict(True, f"the link is {kind}")
    least, back = limits.wifi_signal_min_dbm, limits.wifi_signal_hysteresis_dbm
    return Limit("signal", "Wi-Fi signal", least, back, "{:.0f} dBm".format).under(
        query.readings.wifi_signal_dbm, query
    )


def network(query: ConditionQuery) -> Verdict:
    """A slow response from the broker means a bad link."""
    limits = query.thresholds
    back = min(limits.round_trip_hysteresis_ms, limits.round_trip_max_ms / 2)
    ceiling = Limit("network", "round trip to the broker", limits.round_trip_max_ms, back, "{:.0f} ms".format)
    return ceiling.over(query.readings.round_trip_ms, query)


def throughput(query: ConditionQuery) -> Verdict:
    """Speed of the last download; unknown does not defer, as only a download tells."""
    speed, floor = query.readings.throughput_bytes_s, query.thresholds.throughput_min_bytes_s
    if isinstance(speed, Unknown):
        return Verdict(True, f"throughput is unknown: {speed.reason}")
    return Limit("throughput", "throughput from the broker", floor, 0, _bytes_s).under(speed, query)


def hours(query: ConditionQuery) -> Verdict:
    windows, local = query.thresholds.hours, query.readings.local_time
    if not windows:
        return Verdict(True, "no hours are set for updates")
    if isinstance(local, Unknown):
        return _unknown("hours", "the local time", local, query)
    if is_open(windows, local):
        return Verdict(True, f"{local:%H:%M} is within the hours for updates")
    reason = f"outside the hours for updates; the next begin at {opening(windows, local):%H:%M} local time"
    return Verdict(False, reason, opens_in_s=until_open_s(windows, local))


SAFETY: Final[tuple[Condition, ...]] = (hold, throttling, voltage, battery, memory, disk)
COMFORT: Final[tuple[Condition, ...]] = (cpu, temperature, metering, signal, network, throughput, hours)


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, and how far inside it a reading must return after crossing it."""

    condition: str
    what: str
    value: float
    hysteresis: float
    text: Callable[[float], str]

    def under(self, reading: float | Unknown, query: ConditionQuery) -> Verdict:
        """The reading must not be under it."""
        if isinstance(reading, Unknown):
            return _unknown(self.condition, self.what, reading, query)
        back = self.value <= reading and self.condition in query.crossed
        floor = self.value + self.hysteresis if back else self.value
        return self._verdict(reading >= floor, reading, "under", floor)

    def over(self, reading: float | Unknown, query: ConditionQuery) -> Verdict:
        """The reading must not be over it."""
        if isinstance(reading, Unknown):
            return _unknown(self.condition, self.what, reading, query)
        back = reading <= self.value and self.condition in query.crossed
        ceiling = self.value - self.hysteresis if back else self.value
        return self._verdict(reading <= ceiling, reading, "over", ceiling)

    def _verdict(self, good: bool, reading: float, bad: str, limit: float) -> Verdict:
        since = "" if limit == self.value or good else f", for it was {bad} {self.text(self.value)}"
        reason = f"{self.what} {self.text(reading)} is {'not ' if good else ''}{bad} {self.text(limit)}{since}"
        return Verdict(good, reason, frozenset() if good else frozenset({self.condition}))


def _flagged(condition: str, bad: bool, reason: str) -> Verdict:
    return Verdict(not bad, reason, frozenset({condition}) if bad else frozenset())


def _unknown(condition: str, what: str, reading: Unknown, query: ConditionQuery) -> Verdict:
    """As the settings say; but a known danger lasts while its sensor is silent."""
    reason, of_this_one = f"{what} is unknown: {reading.reason}", getattr(query.thresholds.unknown_of, condition)
    endangered = condition in query.crossed and any(each.__name__ == condition for each in SAFETY)
    if endangered and of_this_one != "allow":
        return Verdict(False, f"{reason}; when it was last read it stood in the way", frozenset({condition}))
    return Verdict((of_this_one or query.thresholds.unknown) == "allow", reason)


def _bytes_s(bytes_s: float) -> str:
    return f"{size_text(bytes_s)}/s"

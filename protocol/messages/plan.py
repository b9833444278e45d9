"""Which version each device should run: state, so that a replay changes nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from protocol.messages.base import Frozen, Line, Name, Percent, Text, Utc, Version

_COHORT_SPACE: Final = 2**64

Urgency = Literal["routine", "urgent"]


class Rule(Frozen):
    """Assigns `version` to the devices that meet all its conditions."""

    version: Version
    devices: tuple[Name, ...] = Field(default=(), max_length=1000)
    groups: tuple[Name, ...] = Field(default=(), max_length=100)
    percent: Percent | None = None
    salt: str = Field(default="", max_length=200, description="makes cohorts of different releases independent")
    attempt: int = Field(default=1, ge=1, description="increased to retry a rejected version")

    def matches(self, device: str, groups: tuple[str, ...]) -> bool:
        """Whether the device meets all conditions; of a list, any entry."""
        return (
            (not self.devices or device in self.devices)
            and (not self.groups or any(group in self.groups for group in groups))
            and (self.percent is None or cohort(self.salt, device) < self.percent)
        )

    def describe(self) -> str:
        parts = [
            f"{what} {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
            for what, names in (("device", self.devices), ("group", self.groups))
            if names
        ]
        if self.percent is not None:
            parts.append(f"{self.percent:g} % of the fleet")
        return " in ".join(parts) or "every device"


class RolloutStage(Frozen):
    """One entry of the plan's history, newest last."""

    sequence: int = Field(ge=1)
    at: Utc
    what: Text
    version: Version | None = Field(default=None, description="the newest version from then on")


class Plan(Line):
    """The desired state of one model's fleet, signed."""

    model: Name
    sequence: int = Field(ge=1, description="increases with every edit; a device never accepts a lower one")
    rules: tuple[Rule, ...] = Field(
        default=(), max_length=200, description="the first match applies; without one, a device keeps its version"
    )
    hold: bool = Field(default=False, description="devices that have not swapped yet do not")
    urgency: Urgency = "routine"
    spread_s: int = Field(default=0, ge=0, le=7 * 86_400, description="each device first waits a share, by its name")
    created: Utc
    history: tuple[RolloutStage, ...] = Field(default=(), max_length=50)

    def assign(self, device: str, groups: tuple[str, ...] = ()) -> Assignment | None:
        """The version this device should run, with its rule; None for no change."""
        for rule in self.rules:
            if rule.matches(device, groups):
                return Assignment(rule.version, rule.attempt, rule.describe())
        return None

    def versions(self) -> tuple[str, ...]:
        """Each once, in the order of the rules."""
        return tuple(dict.fromkeys(rule.version for rule in self.rules))

    def start_delay_s(self, device: str) -> float:
        """This device's share of `spread_s`: constant, and uniform over a fleet."""
        return self.spread_s * cohort(f"{self.model} {self.sequence}", device) / 100


@dataclass(frozen=True, slots=True)
class Assignment:
    version: str
    attempt: int
    rule: str


def cohort(salt: str, device: str) -> float:
    """A device's position by hash, 0 ≤ x < 100: a growing percentage adds devices."""
    digest = hashlib.sha256(f"{salt}\0{device}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / _COHORT_SPACE * 100

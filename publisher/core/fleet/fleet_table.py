"""`FleetTable`: one row for each device and model, from status and presence messages.

Reads no topic and no clock. Messages may be added in any order, again and again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from protocol.messages.device import Presence, Status

NEVER: Final = "never seen"
NO_MODEL: Final = "-"
SETTLED: Final = frozenset({"idle", "committed"})
# a device in one of these that has its version already is changing to another variant
REFITTING: Final = frozenset({"assigned", "deferred", "fetching", "stalled", "proving", "shadowing"})


@dataclass(frozen=True, slots=True)
class Row:
    """A device and model. `online` is None if unknown, `age_s` of the last message."""

    device: str
    model: str
    state: str
    online: bool | None
    installed: str | None = None
    latest: str | None = None
    reason: str = ""
    update_percentage: float | None = None
    variant: str | None = None
    age_s: float | None = None

    @property
    def up_to_date(self) -> bool:
        """Whether it runs the version it should, and has finished its trial."""
        if self.installed is None:
            return False
        return self.state in SETTLED | REFITTING if self.latest == self.installed else self.is_unasked

    @property
    def is_unasked(self) -> bool:
        """Whether no plan names a version for it, and nothing is under way."""
        return self.state in SETTLED and self.latest is None


@dataclass(frozen=True, slots=True)
class Summary:
    devices: int
    online: int
    up_to_date: int
    installed: dict[str, int]  # by `<model> <version>`


class FleetTable:
    """The newest message of each device; `enrolled` are listed even without any."""

    def __init__(self, enrolled: Iterable[str] = ()) -> None:
        self._enrolled = frozenset(enrolled)
        self._presences: dict[str, Presence] = {}
        self._statuses: dict[tuple[str, str], Status] = {}

    def add_presence(self, presence: Presence) -> None:
        """Take a presence message, unless it is the late will of an earlier session."""
        known = self._presences.get(presence.device)
        late = known is not None and known.online and not presence.online and known.session != presence.session
        if not late:
            self._presences[presence.device] = presence

    def add_status(self, status: Status) -> None:
        """Take a status message, unless it is older than the known one."""
        known = self._statuses.get((status.device, status.model))
        if known is None or status.at >= known.at or status.plan_sequence > known.plan_sequence:
            self._statuses[status.device, status.model] = status

    def remove(self, device: str, model: str | None = None) -> None:
        """Drop the message of a retained topic that was cleared."""
        if model is None:
            self._presences.pop(device, None)
        else:
            self._statuses.pop((device, model), None)

    def rows(self, now: datetime) -> list[Row]:
        rows = [_row(status, self._presences.get(status.device), now) for status in self._statuses.values()]
        reporting = {row.device for row in rows}
        silent = (self._enrolled | self._presences.keys()) - reporting
        rows += [_silent_row(device, self._presences.get(device), now) for device in silent]
        return sorted(rows, key=lambda row: (row.device, row.model))


def summary(rows: Iterable[Row]) -> Summary:
    table = list(rows)
    return Summary(
        devices=len({row.device for row in table}),
        online=len({row.device for row in table if row.online}),
        up_to_date=sum(row.up_to_date for row in table),
        installed=dict(sorted(Counter(f"{row.model} {row.installed}" for row in table if row.installed).items())),
    )


def _row(status: Status, presence: Presence | None, now: datetime) -> Row:
    return Row(
        device=status.device,
        model=status.model,
        state=status.state,
        online=presence.online if presence else None,
        installed=status.installed_version,
        latest=status.latest_version,
        reason=status.reason,
        update_percentage=status.update_percentage if status.in_progress else None,
        variant=status.variant,
        age_s=_age_s(status.at, now),
    )


def _silent_row(device: str, presence: Presence | None, now: datetime) -> Row:
    if presence is None:
        return Row(device, NO_MODEL, NEVER, None, reason="enrolled, but it has not reported anything yet")
    at = presence.at
    return Row(
        device, NO_MODEL, "no model", presence.online, reason="it has not reported about any model yet",
        age_s=_age_s(at, now) if at else None,
    )  # fmt: skip


def _age_s(at: datetime, now: datetime) -> float:
    """At least 0: a device's clock may be ahead."""
    return max(0.0, (now - at).total_seconds())

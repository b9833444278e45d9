"""Devices that were enrolled, and the registry's own few settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from publisher.adapters.registry.table import Table


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device that was given its folder. What it runs, only the broker can say."""

    name: str
    groups: tuple[str, ...]
    enrolled: datetime


class Devices(Table):
    """Who should be out there."""

    def add_device(self, name: str, groups: Sequence[str], now: datetime) -> None:
        """Remember a device; enrolled again, it has the new groups."""
        with self._database.transaction() as rows:
            rows.execute(
                "INSERT OR REPLACE INTO devices VALUES (?, ?, ?)", (name, json.dumps(list(groups)), now.isoformat())
            )

    def remove_device(self, name: str) -> bool:
        """Forget a device; say whether it was known."""
        with self._database.transaction() as rows:
            return bool(rows.execute("DELETE FROM devices WHERE name = ?", (name,)).rowcount)

    def devices(self) -> list[DeviceRow]:
        """Every enrolled device, by name."""
        rows = self._database.rows("SELECT name, groups, enrolled FROM devices ORDER BY name")
        return [DeviceRow(name, tuple(json.loads(groups)), datetime.fromisoformat(at)) for name, groups, at in rows]

    def setting(self, key: str) -> str | None:
        """A setting of this registry, such as the root of its topics."""
        for (value,) in self._database.rows("SELECT value FROM settings WHERE key = ?", (key,)):
            return str(value)
        return None

    def set_setting(self, key: str, value: str) -> None:
        """Keep a setting."""
        with self._database.transaction() as rows:
            rows.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))

"""Enrolled devices and their groups."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from publisher.adapters.registry.database import RegistryDatabase


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """An enrolled device. What it runs is known from its status messages only."""

    name: str
    groups: tuple[str, ...]
    enrolled: datetime


@dataclass(frozen=True, slots=True)
class Devices:
    _database: RegistryDatabase

    def add(self, name: str, groups: Sequence[str], now: datetime) -> None:
        """Record a device; enrolling it again replaces its groups."""
        with self._database.transaction() as rows:
            rows.execute(
                "INSERT OR REPLACE INTO devices VALUES (?, ?, ?)", (name, json.dumps(list(groups)), now.isoformat())
            )

    def all(self) -> list[DeviceRow]:
        rows = self._database.rows("SELECT name, groups, enrolled FROM devices ORDER BY name")
        return [DeviceRow(name, tuple(json.loads(groups)), datetime.fromisoformat(at)) for name, groups, at in rows]

"""Settings that belong to a registry, such as the root of its topics."""

from __future__ import annotations

from dataclasses import dataclass

from publisher.adapters.registry.database import RegistryDatabase


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    _database: RegistryDatabase

    def get(self, key: str) -> str | None:
        """None when it was never set."""
        for (value,) in self._database.rows("SELECT value FROM settings WHERE key = ?", (key,)):
            return str(value)
        return None

    def set(self, key: str, value: str) -> None:
        with self._database.transaction() as rows:
            rows.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))

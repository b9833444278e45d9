"""The chunks each broker acknowledged: a hint, as it may have lost them since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from publisher.adapters.registry.database import RegistryDatabase


@dataclass(frozen=True, slots=True)
class Uploads:
    """Chunks by broker; `broker` identifies one, such as `host:port/root`."""

    _database: RegistryDatabase

    def add(self, sha256s: Iterable[str], broker: str) -> None:
        with self._database.transaction() as rows:
            rows.executemany(
                "INSERT OR IGNORE INTO uploads VALUES (?, ?)", [(broker, bytes.fromhex(sha256)) for sha256 in sha256s]
            )

    def of_broker(self, broker: str) -> set[str]:
        found = self._database.rows("SELECT sha256 FROM uploads WHERE broker = ?", (broker,))
        return {bytes(sha256).hex() for (sha256,) in found}

    def remove(self, sha256s: Iterable[str], broker: str) -> None:
        """Forget chunks that were cleared from the broker."""
        with self._database.transaction() as rows:
            rows.executemany(
                "DELETE FROM uploads WHERE broker = ? AND sha256 = ?",
                [(broker, bytes.fromhex(sha256)) for sha256 in sha256s],
            )

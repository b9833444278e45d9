"""Which chunks each broker acknowledged: a note that saves work, never the truth, for brokers lose what they have."""

from __future__ import annotations

from collections.abc import Iterable

from publisher.adapters.registry.table import Table


class Uploads(Table):
    """Chunks by broker; `broker` is its identity as a string, such as `host:port/root`."""

    def mark_uploaded(self, sha256s: Iterable[str], broker: str) -> None:
        """The broker has acknowledged these chunks."""
        with self._database.transaction() as rows:
            rows.executemany(
                "INSERT OR IGNORE INTO uploads VALUES (?, ?)", [(broker, bytes.fromhex(sha256)) for sha256 in sha256s]
            )

    def uploaded(self, broker: str) -> set[str]:
        """The chunks that this broker acknowledged."""
        found = self._database.rows("SELECT sha256 FROM uploads WHERE broker = ?", (broker,))
        return {bytes(sha256).hex() for (sha256,) in found}

    def forget_uploaded(self, broker: str, sha256s: Iterable[str] | None = None) -> None:
        """The broker has lost these chunks, or was cleared of them; all of them when none are named."""
        with self._database.transaction() as rows:
            if sha256s is None:
                rows.execute("DELETE FROM uploads WHERE broker = ?", (broker,))
            else:
                gone = [(broker, bytes.fromhex(sha256)) for sha256 in sha256s]
                rows.executemany("DELETE FROM uploads WHERE broker = ? AND sha256 = ?", gone)

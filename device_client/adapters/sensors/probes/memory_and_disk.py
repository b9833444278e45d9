"""Free memory, and free bytes of the disk that holds a folder, by psutil."""

from __future__ import annotations

from pathlib import Path

from device_client.adapters.sensors.probes.base import Findings, attempt
from device_client.adapters.sensors.probes.system import disk_usage, virtual_memory


class MemoryAndDiskProbe:
    """Bytes available without swapping, and those for an unprivileged user."""

    names = ("memory_free_bytes", "disk_free_bytes")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Findings:
        """Never raises: one of the two may be Unknown."""
        return {
            "memory_free_bytes": attempt(lambda: virtual_memory().available),
            "disk_free_bytes": attempt(lambda: disk_usage(str(self._folder)).free),
        }

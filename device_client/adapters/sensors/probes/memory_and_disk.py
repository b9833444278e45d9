"""Room: free memory, and free bytes of the disk that holds a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from device_client.adapters.sensors.probes.base import Findings, Unread, attempt, text_of


class MemoryAndDiskProbe:
    """Of the whole device; `folder` says which disk."""

    names = ("memory_free_bytes", "disk_free_bytes")

    def __init__(self, folder: Path, memory: Path = Path("/proc/meminfo")) -> None:
        self._folder, self._memory = folder, memory

    def read(self) -> Findings:
        """Both in bytes."""
        return {
            "memory_free_bytes": attempt(self._memory_free_bytes),
            "disk_free_bytes": attempt(lambda: shutil.disk_usage(self._folder).free),
        }

    def _memory_free_bytes(self) -> int:
        """What can be had without swapping, as the kernel reckons."""
        for line in text_of(self._memory).splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable" and amount.strip().removesuffix(" kB").isdigit():
                return int(amount.strip().removesuffix(" kB")) * 1024
        raise Unread(f"{self._memory} does not say what is available")

"""Reads a probe on a thread of its own, with a timeout."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from device_client.adapters.sensors.probes.base import Findings, Probe, unknown
from device_client.core.conditions.readings import Unknown


class TimedProbe:
    """One probe. While it hangs, it is neither started again nor waited for."""

    def __init__(self, probe: Probe, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._probe = probe
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._started_at_s = 0.0
        self._hangs = False
        self._found: Findings | Exception = {}

    def start(self) -> None:
        with self._lock:
            self._hangs = self._thread is not None and self._thread.is_alive()
            if self._hangs:
                return
            self._started_at_s = self._clock_s()
            self._thread = threading.Thread(target=self._read, name=f"probe {type(self._probe).__name__}", daemon=True)
            self._thread.start()

    def result(self, until_s: float) -> Findings:
        """The readings, by `until_s`; all Unknown when the probe hangs or failed."""
        thread = self._thread
        assert thread is not None  # started before
        thread.join(0.0 if self._hangs else max(0.0, until_s - self._clock_s()))
        if thread.is_alive():
            late_s = self._clock_s() - self._started_at_s
            return dict.fromkeys(self._probe.names, Unknown(f"the probe has not answered for {late_s:.0f} s"))
        if isinstance(self._found, Exception):
            return dict.fromkeys(self._probe.names, unknown(self._found))
        return self._found

    def _read(self) -> None:
        try:
            self._found = dict(self._probe.read())
        except Exception as failure:  # noqa: BLE001 - a probe fails in any way; its text is the reason
            self._found = failure

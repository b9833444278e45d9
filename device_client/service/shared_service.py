"""One station for each state folder in a process, counted: the first who wants it starts it, the last one closes it.

An application uses each of a device's models by an `EdgeModel` of its own, and a device runs once. Knows no model.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device_client.service.device_service import DeviceService
from device_client.settings.loader import DeviceSettings
from protocol.errors import BadSettings

_lock: Final = threading.Lock()  # also while one starts or ends: who comes then waits for a folder that is free
_shares: Final[dict[tuple[int, Path], _OpenService]] = {}


@dataclass(slots=True)
class _OpenService:
    station: DeviceService
    users: int = 0


class SharedService:
    """One user's part in a station. Thread-safe; given back once, however often it is asked to be."""

    def __init__(self, settings: DeviceSettings) -> None:
        """Start the station, or join the one that runs with this folder in this process.

        Raises BadSettings where that one runs with other settings, and what a station raises.
        """
        self._at = (os.getpid(), settings.state.resolve())  # a fork has no threads, and so no station
        self._given_back = False
        with _lock:
            shared = _shares.get(self._at)
            if shared is None:
                shared = _shares[self._at] = _OpenService(_started(settings))
            _check_same(shared.station.settings, settings)
            shared.users += 1
            self.station = shared.station

    def give_back(self) -> None:
        """Close the station, if nobody else has a part in it."""
        with _lock:
            if self._given_back:
                return
            self._given_back = True
            shared = _shares[self._at]
            shared.users -= 1
            if not shared.users:
                del _shares[self._at]
                shared.station.close()


def _started(settings: DeviceSettings) -> DeviceService:
    station = DeviceService(settings)
    try:
        return station.start()
    except BaseException:
        station.close()
        raise


def _check_same(running: DeviceSettings, asked: DeviceSettings) -> None:
    """Two who want a device in two ways cannot both have it."""
    unlike = [name for name in DeviceSettings.model_fields if getattr(running, name) != getattr(asked, name)]
    if unlike:
        raise BadSettings(
            f"this process runs the device of {asked.state} already, with another {' and '.join(unlike)}",
            hint="open all models of a device with one device.toml, and close them before it is changed",
        )

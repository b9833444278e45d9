"""Shares one `DeviceService` among the `EdgeModel`s of a state folder.

The first starts it, the last closes it.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from device_client.service.device_service import DeviceService
from device_client.settings.loader import DeviceSettings
from protocol.errors import BadSettings

Key = tuple[int, Path]
"""Process and state folder: after a fork the child has no threads, so no service."""


@dataclass(slots=True)
class _OpenService:
    service: DeviceService
    users: set[SharedService] = field(default_factory=set)


class ServiceRegistry:
    """The open services of this process and their users.

    Its lock is held while a service starts or closes, so that another user of the
    folder neither starts a second service nor finds the folder still locked.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Key, _OpenService] = {}

    def acquire(self, user: SharedService, settings: DeviceSettings) -> DeviceService:
        """Start or return the service. Raises BadSettings if its settings differ."""
        with self._lock:
            entry = self._open.get(user.key)
            if entry is None:
                entry = self._open[user.key] = _OpenService(_started(settings))
            _check_same(entry.service.settings, settings)
            entry.users.add(user)
            return entry.service

    def release(self, user: SharedService) -> None:
        """Remove a user, once; close the service with the last."""
        with self._lock:
            entry = self._open.get(user.key)
            if entry is None or user not in entry.users:
                return
            entry.users.remove(user)
            if not entry.users:
                del self._open[user.key]
                entry.service.close()


SERVICES: Final = ServiceRegistry()


class SharedService:
    """One user's hold on a service. Thread-safe."""

    def __init__(self, settings: DeviceSettings) -> None:
        """Raises BadSettings if it runs with others, or what `DeviceService` raises."""
        self.key: Final[Key] = (os.getpid(), settings.state.resolve())
        self.service = SERVICES.acquire(self, settings)

    def close(self) -> None:
        """Give up the service. A second call does nothing."""
        SERVICES.release(self)


def _started(settings: DeviceSettings) -> DeviceService:
    service = DeviceService(settings)
    try:
        return service.start()
    except BaseException:
        service.close()
        raise


def _check_same(running: DeviceSettings, wanted: DeviceSettings) -> None:
    unlike = [name for name in DeviceSettings.model_fields if getattr(running, name) != getattr(wanted, name)]
    if unlike:
        raise BadSettings(
            f"this process runs the device of {wanted.state} already, with another {' and '.join(unlike)}",
            hint="open all models of a device with one device.toml, and close them before it is changed",
        )

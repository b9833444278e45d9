"""The publisher's side of EdgeFerry, for programs that release by themselves.

    settings = Settings.read({"registry": "registry"}, os.environ)
    with open_context(settings, broker=True) as context:
        request = ReleaseRequest("digits", "1.0.0")
        release(context, request, partial(build_version, Training("digits")))
        print(read_fleet_status(context).rows)

* `Settings`, `open_context`, `PublisherContext`: an open registry and broker
* `init`, `Registry`: make a registry, read its tables
* `Training`, `build_version`: train a recipe; `BuiltVersion` is the result
* `release`, `ReleaseRequest`, `RolloutRequest`, `Audience`, `Gates`, `Released`
* `read_fleet_status`, `FleetStatus`: what the devices report

Errors are a `FerryError`, with a `message` and a `hint`. Names are imported on first
use: `release` and `build_version` load numpy, and training loads TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from protocol.errors import FerryError
    from publisher.adapters.registry import Registry
    from publisher.core.release.gates import Gates
    from publisher.core.rollout.audience import Audience
    from publisher.learning.artifacts.build import BuiltVersion
    from publisher.operations.context import PublisherContext, open_context
    from publisher.operations.fleet_status import FleetStatus, read_fleet_status
    from publisher.operations.init import init
    from publisher.operations.release.release import Released, ReleaseRequest, RolloutRequest, release
    from publisher.operations.release.train import Training, build_version
    from publisher.settings import Settings

__all__ = [
    "Audience", "BuiltVersion", "FerryError", "FleetStatus", "Gates", "PublisherContext", "Registry", "ReleaseRequest",
    "Released", "RolloutRequest", "Settings", "Training", "build_version", "init", "open_context", "read_fleet_status",
    "release",
]  # fmt: skip
_MODULES: Final = {
    "protocol.errors": ("FerryError",),
    "publisher.adapters.registry": ("Registry",),
    "publisher.core.release.gates": ("Gates",),
    "publisher.core.rollout.audience": ("Audience",),
    "publisher.learning.artifacts.build": ("BuiltVersion",),
    "publisher.operations.context": ("PublisherContext", "open_context"),
    "publisher.operations.fleet_status": ("FleetStatus", "read_fleet_status"),
    "publisher.operations.init": ("init",),
    "publisher.operations.release.release": ("ReleaseRequest", "Released", "RolloutRequest", "release"),
    "publisher.operations.release.train": ("Training", "build_version"),
    "publisher.settings": ("Settings",),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'publisher' has no attribute {name!r}")

"""The device's side of EdgeFerry. An application needs one name of it: `EdgeModel`, loaded when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_client.edge_model import EdgeModel

__all__ = ["EdgeModel"]


def __getattr__(name: str) -> object:
    # `device-client --help` must not load numpy and the runtime
    if name == "EdgeModel":
        from device_client.edge_model import EdgeModel

        return EdgeModel
    raise AttributeError(f"module 'device_client' has no attribute {name!r}")

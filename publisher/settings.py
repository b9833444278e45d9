"""`Settings`: the broker, the registry and the root of topics, for every command.

They come from options, else from the environment, else from defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import BadSettings
from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.tls import TlsFiles
from protocol.topics import check_name

DEFAULTS: Final = {"broker": "mqtt://127.0.0.1:1883", "registry": "registry", "wait": "300"}
KEYS: Final = ("broker", "registry", "root", "wait", "ca", "cert", "key")
TOPIC_ROOT: Final = "fleet"


def variable(key: str) -> str:
    """The environment variable of a setting."""
    return f"EDGEFERRY_{'TOPIC_ROOT' if key == 'root' else key.upper()}"  # a device has a `root` that is a file


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked settings. Without `root`, the registry's own is used."""

    broker: BrokerUrl
    registry: Path
    root: str | None
    wait_s: float
    tls: TlsFiles

    @classmethod
    def read(cls, flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
        """Read and check settings. Raises BadSettings, BadName."""
        values = {key: flags.get(key) or environment.get(variable(key)) or DEFAULTS.get(key) for key in KEYS}
        return cls(
            broker=BrokerUrl.parse(values["broker"] or ""),
            registry=Path(values["registry"] or "").expanduser(),
            root=check_name(values["root"], "topic root") if values["root"] else None,
            wait_s=_seconds(values["wait"] or ""),
            tls=TlsFiles(_file(values["ca"]), _file(values["cert"]), _file(values["key"])),
        )


def _file(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _seconds(text: str) -> float:
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = -1.0
    if not 0 <= wait_s < 1_000_000:
        raise BadSettings(f"--wait {text!r} is no number of seconds", hint="such as 60; 0 does not wait")
    return wait_s

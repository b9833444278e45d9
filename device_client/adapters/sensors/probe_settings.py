"""`[probes]` of device.toml, and the probes that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from device_client.adapters.sensors.probes.base import Probe
from device_client.adapters.sensors.probes.cpu import CpuProbe
from device_client.adapters.sensors.probes.default_route import DefaultRouteProbe
from device_client.adapters.sensors.probes.memory_and_disk import MemoryAndDiskProbe
from device_client.adapters.sensors.probes.metered_link import MeteredLinkProbe
from device_client.adapters.sensors.probes.nut_ups import NutUpsProbe
from device_client.adapters.sensors.probes.owner_command import OwnerCommandProbe
from device_client.adapters.sensors.probes.pi_firmware import PiFirmwareProbe
from device_client.adapters.sensors.probes.pisugar import PiSugarProbe
from device_client.adapters.sensors.probes.power_supply import PowerSupplyProbe
from device_client.adapters.sensors.probes.wifi_signal import WifiSignalProbe

_MARGIN: Final = 0.8  # a slow program is killed before its probe is given up


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    __pydantic_config__ = ConfigDict(extra="forbid")  # a typo in a settings file is rejected, not ignored

    command: tuple[str, ...] = ()
    """Program and arguments that print readings as JSON; overrides the rest."""
    nut: str | None = None
    """Supply of the Network UPS Tools, such as `"ups@localhost"`."""
    pisugar: str = "/tmp/pisugar-server.sock"
    """Socket or `host:port` of a PiSugar server; `""`: none."""
    timeout_s: Annotated[float, Field(ge=0.1, le=60)] = 2.0
    """Time of a probe; beyond, its readings are unknown."""

    def probes(self, state_folder: Path) -> list[Probe]:
        """In order of precedence: those that the owner names come first."""
        timeout_s = self.timeout_s * _MARGIN
        named: list[Probe] = [OwnerCommandProbe(self.command, timeout_s=timeout_s)] if self.command else []
        named += [NutUpsProbe(self.nut, timeout_s=timeout_s)] if self.nut else []
        named += [PiSugarProbe(self.pisugar, timeout_s=timeout_s / 2)] if self.pisugar else []
        host: list[Probe] = [PowerSupplyProbe(), CpuProbe(), MemoryAndDiskProbe(state_folder)]
        link: list[Probe] = [DefaultRouteProbe(), WifiSignalProbe(), MeteredLinkProbe(timeout_s=timeout_s / 2)]
        return [*named, *host, PiFirmwareProbe(timeout_s=timeout_s), *link]

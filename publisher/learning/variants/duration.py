"""Estimates how long the rungs of a ladder take, from a few measured times. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from publisher.learning.variants.schedule import Schedule
from publisher.learning.variants.variant_spec import NetworkSpec, VariantSpec

# In conversions of the parent, measured with MobileNetV2 0.35: what it takes to build
# and trace such a network before its first epoch, and to convert it.
SETUP_QAT: Final = 4.0
SETUP: Final = 2.0
CONVERT_QAT: Final = 2.0


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured here: an epoch of the parent, and its conversion with measurement."""

    epoch_s: float
    rung_s: float


@dataclass(slots=True)
class Duration:
    """What is left of a ladder; each finished rung corrects the estimate."""

    schedule: Schedule
    costs: Costs
    specs: Sequence[VariantSpec]  # that are to be made, in order
    made: frozenset[str] = frozenset()  # names of networks that are there
    _estimated_s: float = 0.0
    _took_s: float = 0.0

    def left_s(self) -> float:
        """Seconds until all of `specs` are made."""
        left, networks = 0.0, set(self.made)
        for spec in self.specs:
            left += self._of(spec, networks)
            networks |= {network.name for network in self.schedule.chain(spec.network)}
        return left * (self._took_s / self._estimated_s if self._estimated_s else 1.0)

    def finish(self, took_s: float) -> None:
        """Count the first of `specs` as made in `took_s`."""
        self._estimated_s += self._of(self.specs[0], set(self.made))
        self._took_s += took_s
        self.leave_out()

    def leave_out(self) -> None:
        """Drop the first of `specs`: it is impossible, so its time tells nothing."""
        spec, *rest = self.specs
        self.made |= {network.name for network in self.schedule.chain(spec.network)}
        self.specs = rest

    def _of(self, spec: VariantSpec, made: set[str]) -> float:
        networks = [network for network in self.schedule.chain(spec.network) if network.name not in made]
        convert_s = self.costs.rung_s * (CONVERT_QAT if spec.network.qat else 1.0)
        return convert_s + sum(map(self._network_s, networks))

    def _network_s(self, network: NetworkSpec) -> float:
        if network == NetworkSpec():
            return 0.0
        setup_s = self.costs.rung_s * (SETUP_QAT if network.qat else SETUP)
        return setup_s + self.schedule.epochs(network) * self.costs.epoch_s


def time_text(seconds: float) -> str:
    """A duration for people: `50 s`, `4 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

"""The ladder: a trained network, compressed in many ways, each measured."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from protocol.errors import BadInput
from publisher.core.release.gates import Figures
from publisher.core.release.pareto import front
from publisher.learning.compression.distill import Study
from publisher.learning.compression.network_cache import weights_file
from publisher.learning.training.lineage import origin_of
from publisher.learning.training.train import TrainingResult
from publisher.learning.training.warm_start import calibration_npz
from publisher.learning.variants.rung import ImpossibleRung, Rung
from publisher.learning.variants.schedule import Schedule
from publisher.learning.variants.variant_spec import (
    NetworkSpec,
    VariantSpec,
    variant_specs,
)

OnRung = Callable[["Ladder", Rung | ImpossibleRung], None]


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """The rungs, the parent first.

    `record` has the weights of the networks they were converted from; `unfinished` are
    names of rungs that are still to be made.
    """

    trained: TrainingResult
    schedule: Schedule
    rungs: tuple[Rung, ...]
    impossible: tuple[ImpossibleRung, ...]
    record: Mapping[str, bytes]
    study: Study | None
    took_s: float
    cpu_s: float
    unfinished: tuple[str, ...] = ()
    left_s: float | None = None  # an estimate, for those

    @property
    def parent(self) -> Rung:
        return self.rungs[0]

    def rung(self, name: str) -> Rung:
        """The rung of this name. Raises BadInput with the reason why there is none."""
        for rung in self.rungs:
            if rung.name == name:
                return rung
        reason = next((rung.reason for rung in self.impossible if rung.name == name), "it was not made")
        raise BadInput(f"there is no rung {name}: {reason}", hint=f"made were {', '.join(r.name for r in self.rungs)}")

    @property
    def measure(self) -> str:
        """What the accuracy is called in the recipe's task."""
        return self.trained.recipe.objective.scoring(self.trained.recipe.data).measure

    def figures(self) -> dict[str, Figures]:
        """What gates and the front compare, by name."""
        measure = self.measure
        return {rung.name: rung.figures(measure) for rung in self.rungs}

    def kept(self, names: Sequence[str]) -> dict[str, bytes]:
        """Weights of the networks behind these rungs, by name, without the parent's."""
        specs = (spec.network for spec in variant_specs(names))
        networks = dict.fromkeys(network.name for network in specs if network != NetworkSpec())
        return {name: self.record[weights_file(name)] for name in networks}

    def continued(self, names: Sequence[str]) -> dict[str, str]:
        """What each of these rungs continues, for a person; empty without a start."""
        origins = {name: self.schedule.origin(VariantSpec.parse(name).network) for name in names}
        return {name: origin for name, origin in origins.items() if origin is not None}

    def facts(self) -> dict[str, Any]:
        """Plain JSON: the rungs, and the data, settings and versions behind them."""
        trained = self.trained
        return {
            **origin_of(trained),
            "data_sha256": trained.data_sha256,
            "calibration_sha256": hashlib.sha256(calibration_npz(trained.calibration.samples)).hexdigest(),
            "calibration_samples": len(trained.calibration.samples),
            "calibration_of": trained.calibration.version,
            "settings": dataclasses.asdict(trained.settings),
            "measure": self.measure,
            "parent": self.parent.name,
            "goes_on_from": trained.parent,
            "continued": self.continued([rung.name for rung in self.rungs]),
            "rungs": [rung.facts() for rung in self.rungs],
            "front": list(front(self.figures())),
            "impossible": [rung.facts() for rung in self.impossible],
            "distillation": None if self.study is None else self.study.facts(),
            "took_s": round(self.took_s, 1),
            "cpu_s": round(self.cpu_s, 1),
            "versions": trained.versions,
            **({"unfinished": list(self.unfinished)} if self.unfinished else {}),
        }


def ignore_rung(ladder: Ladder, made: Rung | ImpossibleRung) -> None:
    """Discard what was made."""

"""How a rung is made, read from its name: which network, what is done to it, and the numbers it ends in. Pure.

A name is put together from parts, each of which may be missing, in this order:
`student` or `distilled`; `pruned-80`, of any share in percent; `clustered`; `float32`, `float16`, `dynamic`, `int8` or
`qat`. So `pruned-80-int8` is the recipe's network, pruned, in integers.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from protocol.errors import BadInput

TRAINED: Final = "trained"  # the recipe's own network
STUDENT: Final = "student"  # the recipe's smaller one, on its own
DISTILLED: Final = "distilled"  # the smaller one, taught by the recipe's own
PARENT: Final = "float32"  # what every rung is compared with
QAT: Final = "qat"
SPARSITY_PERCENT: Final = 80  # of `pruned` without a number
CLUSTERS: Final = 16  # 4 bits tell which
ENDINGS: Final = {
    PARENT: "32-bit floats",
    "float16": "16-bit floats for weights",
    "dynamic": "8-bit weights, floats between",
    "int8": "8-bit integers throughout",
    QAT: "8-bit integers throughout, trained for them",
}
RUNGS: Final = (
    PARENT, "float16", "dynamic", "int8", QAT,
    "pruned-50", "pruned-80", "pruned-80-int8", "pruned-80-qat",
    "clustered", "clustered-int8", "clustered-qat", "pruned-clustered-qat",
    STUDENT, DISTILLED, "distilled-int8",
)  # fmt: skip
_NAME: Final = re.compile(
    rf"(?:({STUDENT}|{DISTILLED})-)?(?:(pruned)(?:-([1-9]\d?))?-)?(?:(clustered)-)?(?:({'|'.join(ENDINGS)})-)?"
)


@dataclass(frozen=True, slots=True)
class Transformation:
    """A network somewhere on the way. `aware`: of the integers that it will end in. `seed_offset`: of another draw."""

    origin: str = TRAINED
    sparsity_percent: int = 0
    clustered: bool = False
    aware: bool = False
    seed_offset: int = 0

    @property
    def name(self) -> str:
        """What its network is kept as: the name of the rung that shows it as it is."""
        parts = {
            self.origin: self.origin != TRAINED,
            f"pruned-{self.sparsity_percent}": self.sparsity_percent > 0,
            "clustered": self.clustered,
            QAT: self.aware,
        }
        return "-".join(part for part, holds in parts.items() if holds) or PARENT

    @property
    def before(self) -> Transformation | None:
        """The network that this one is made from; None for one that is trained from scratch."""
        if self.aware:
            return replace(self, aware=False)
        if self.clustered:
            return replace(self, clustered=False)
        return replace(self, sparsity_percent=0) if self.sparsity_percent else None


@dataclass(frozen=True, slots=True)
class VariantSpec:
    """From a network to a file."""

    name: str
    stage: Transformation
    ending: str

    @classmethod
    def parse(cls, name: str) -> VariantSpec:
        """Read a rung's name. Raises BadInput."""
        found = _NAME.fullmatch(f"{name}-")
        if not name or found is None:
            near = difflib.get_close_matches(name, RUNGS, n=1)
            known = f"one of {', '.join(RUNGS)}; or parts of these together, such as distilled-pruned-60-int8"
            raise BadInput(f"there is no rung {name!r}", hint=f"did you mean {near[0]}?" if near else known)
        origin, pruned, percent, clustered, ending = found.groups()
        stage = Transformation(
            origin=origin or TRAINED,
            sparsity_percent=int(percent or SPARSITY_PERCENT) if pruned else 0,
            clustered=clustered is not None,
            aware=ending == QAT,
        )
        return cls(name, stage, ending or PARENT)

    def technique(self) -> str:
        """What is done, for a person."""
        stage = self.stage
        parts = {
            "a smaller network": stage.origin == STUDENT,
            "a smaller network, taught by the large one": stage.origin == DISTILLED,
            f"{stage.sparsity_percent} % of the weights pruned to zero": stage.sparsity_percent > 0,
            f"weights of {CLUSTERS} values a layer": stage.clustered,
            ENDINGS[self.ending]: True,
        }
        return "; ".join(part for part, holds in parts.items() if holds)


def variant_specs(names: Iterable[str]) -> tuple[VariantSpec, ...]:
    """The ways of these names, each once, the parent's first whether it is named or not. Raises BadInput."""
    return tuple(VariantSpec.parse(name) for name in dict.fromkeys((PARENT, *names)))


def of_sparsity(percent: int) -> tuple[str, ...]:
    """The rungs that a share of zeros of one's own adds. Raises BadInput."""
    if not 1 <= percent <= 99:
        raise BadInput(f"--sparsity {percent} cannot be", hint="it is the share of weights to prune, 1 to 99 percent")
    return f"pruned-{percent}", f"pruned-{percent}-int8"

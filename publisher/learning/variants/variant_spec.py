"""Parses names of rungs into a network, its changes and a number format. Pure.

A name consists of optional parts in this order: `student` or `distilled`; `pruned-80`
(any percentage); `clustered`; `float32`, `float16`, `dynamic`, `int8` or `qat`. So
`pruned-80-int8` is the recipe's network, pruned, in integers.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from protocol.errors import BadInput

TRAINED: Final = "trained"  # the recipe's own network
STUDENT: Final = "student"  # the recipe's smaller network, trained alone
DISTILLED: Final = "distilled"  # the smaller network, taught by the recipe's own
PARENT: Final = "float32"  # what every rung is compared with
QAT: Final = "qat"
SPARSITY_PERCENT: Final = 80  # of `pruned` without a number
CLUSTERS: Final = 16  # 4 bits for each index
NUMBER_FORMATS: Final = {
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
    rf"(?:({STUDENT}|{DISTILLED})-)?(?:(pruned)(?:-([1-9]\d?))?-)?(?:(clustered)-)?(?:({'|'.join(NUMBER_FORMATS)})-)?"
)


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    origin: str = TRAINED
    sparsity_percent: int = 0
    clustered: bool = False
    qat: bool = False
    seed_offset: int = 0  # from the recipe's seed, for a `Study`

    @property
    def name(self) -> str:
        """The key under which a registry keeps it: the rung with no further change."""
        parts = {
            self.origin: self.origin != TRAINED,
            f"pruned-{self.sparsity_percent}": self.sparsity_percent > 0,
            "clustered": self.clustered,
            QAT: self.qat,
        }
        return "-".join(part for part, holds in parts.items() if holds) or PARENT

    @property
    def base(self) -> NetworkSpec | None:
        """The network that this one is made from; None for one trained from scratch."""
        if self.qat:
            return replace(self, qat=False)
        if self.clustered:
            return replace(self, clustered=False)
        return replace(self, sparsity_percent=0) if self.sparsity_percent else None


@dataclass(frozen=True, slots=True)
class VariantSpec:
    name: str
    network: NetworkSpec
    number_format: str

    @classmethod
    def parse(cls, name: str) -> VariantSpec:
        """Read a rung's name. Raises BadInput."""
        found = _NAME.fullmatch(f"{name}-")
        if not name or found is None:
            near = difflib.get_close_matches(name, RUNGS, n=1)
            known = f"one of {', '.join(RUNGS)}; or parts of these together, such as distilled-pruned-60-int8"
            raise BadInput(f"there is no rung {name!r}", hint=f"did you mean {near[0]}?" if near else known)
        origin, pruned, percent, clustered, number_format = found.groups()
        network = NetworkSpec(
            origin=origin or TRAINED,
            sparsity_percent=int(percent or SPARSITY_PERCENT) if pruned else 0,
            clustered=clustered is not None,
            qat=number_format == QAT,
        )
        return cls(name, network, number_format or PARENT)

    def technique(self) -> str:
        network = self.network
        parts = {
            "a smaller network": network.origin == STUDENT,
            "a smaller network, taught by the large one": network.origin == DISTILLED,
            f"{network.sparsity_percent} % of the weights pruned to zero": network.sparsity_percent > 0,
            f"weights of {CLUSTERS} values a layer": network.clustered,
            NUMBER_FORMATS[self.number_format]: True,
        }
        return "; ".join(part for part, holds in parts.items() if holds)


def variant_specs(names: Iterable[str]) -> tuple[VariantSpec, ...]:
    """Parse these names, each once; the parent is always the first. Raises BadInput."""
    return tuple(VariantSpec.parse(name) for name in dict.fromkeys((PARENT, *names)))


def rungs_of_sparsity(percent: int) -> tuple[str, ...]:
    """The rungs that `--sparsity` adds. Raises BadInput."""
    if not 1 <= percent <= 99:
        raise BadInput(f"--sparsity {percent} cannot be", hint="it is the share of weights to prune, 1 to 99 percent")
    return f"pruned-{percent}", f"pruned-{percent}-int8"

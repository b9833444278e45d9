"""The preprocessing of a model file: as the user gave it, by its metadata, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocol.errors import BadInput
from protocol.messages.contract import Contract
from protocol.messages.preprocessing import Preprocessing
from protocol.preprocessing.preprocessor import Preprocessor
from publisher.learning.measurement.litert_metadata import ModelMetadata
from publisher.learning.preprocessing.proposal import propose, proposed


@dataclass(frozen=True, slots=True)
class Preparation:
    """`told`: where it is from, or what the metadata would give; for the user."""

    preprocessor: Preprocessor | None = None
    told: str = ""

    @property
    def declared(self) -> Preprocessing | None:
        return self.preprocessor.declared if self.preprocessor else None


def prepare(
    given: Preprocessing | Literal["metadata"] | None, metadata: ModelMetadata, contract: Contract, name: str
) -> Preparation:
    """Raises BadInput for one that does not fit the model, or metadata without any."""
    if given is None:
        found = propose(metadata, contract)
        told = f"no preprocessing is declared; --preprocessing metadata would: {found[1]}" if found else ""
        return Preparation(told=told)
    declared, told = proposed(metadata, contract, name) if given == "metadata" else (given, "")
    try:
        return Preparation(Preprocessor(declared, contract), told and f"the preprocessing is declared {told}")
    except BadInput as misfit:
        raise BadInput(f"the preprocessing does not fit {name}: {misfit.message}", hint=misfit.hint) from None

"""The index of a golden set whose samples are entries of their own: `golden.json`.

Sample s, step t, input i is `s/t/input_i.npy`, output j of a variant
`s/t/<variant>_output_j.npy`: rows in the contract's own types, strings as bytes.
Inputs of a generated sample are not stored; docs/PROTOCOL.md has the generator.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from protocol.messages.base import Frozen, Line, Sha256

INDEX: Final = "golden.json"
INDEX_MAX_BYTES: Final = 65_536
SAMPLES_MAX: Final = 10_000
STEPS_MAX: Final = 1_000


class Noise(Frozen):
    """Of an input: evenly spread values from `low` to `high`; floats stay below it."""

    dtype: str = Field(max_length=16)
    low: float = 0.0
    high: float = 1.0


class Generated(Frozen):
    """A sample from the seed. The hash is of all its inputs, step by step."""

    sample: int = Field(ge=0, lt=SAMPLES_MAX)
    shapes: tuple[tuple[int, ...], ...] = Field(min_length=1, max_length=16)
    sha256: Sha256


class GoldenIndex(Line):
    """`steps` runs in a row make a sample; a model with state keeps it between them."""

    KIND = "golden set"

    samples: int = Field(ge=1, le=SAMPLES_MAX)
    steps: int = Field(default=1, ge=1, le=STEPS_MAX)
    seed: int = 0
    noise: tuple[Noise, ...] = Field(default=(), max_length=16)
    generated: tuple[Generated, ...] = Field(default=(), max_length=SAMPLES_MAX)
    values_max: int = Field(default=0, ge=0, description="of an output that are stored, at random places; 0: all")
    measured: bool = Field(default=True, description="false: no outputs, as the publisher could not run the file")

    def stream(self, sample: int, step: int, tensor: int) -> int:
        """The generator's stream of an input; outputs draw places from -1 - j."""
        return (sample * self.steps + step) * max(1, len(self.noise)) + tensor


def entry_name(sample: int, step: int, name: str) -> str:
    return f"{sample}/{step}/{name}.npy"

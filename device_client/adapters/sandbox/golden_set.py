"""The golden set of one variant: inputs, and the outputs of the publisher."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from device_client.adapters.runtime.tflite import Array
from protocol.errors import BadInput
from protocol.messages.manifest import GOLDEN_MAX_BYTES

UNPACKED_MAX_BYTES: Final = 64_000_000  # an archive of 4 MB could otherwise unpack to gigabytes


@dataclass(frozen=True, slots=True)
class Difference:
    """How far an output is off, in figures (infinite for NaN) and in words."""

    error: float
    description: str


@dataclass(frozen=True, slots=True)
class LoadedGoldenSet:
    """Arrays (samples, …), one for each input and each output."""

    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]

    @property
    def samples(self) -> int:
        return len(self.inputs[0])

    def input(self, sample: int) -> list[Array]:
        """The inputs of one sample, with a batch of 1."""
        return [each[sample : sample + 1] for each in self.inputs]

    def largest_difference(self, sample: int, outputs: Sequence[Array]) -> Difference:
        worst = Difference(0.0, "")
        for index, (expected, got) in enumerate(zip(self.expected, outputs, strict=True)):
            wanted = expected[sample].astype(np.float64).ravel()
            given = np.asarray(got, np.float64).ravel()
            if wanted.shape != given.shape:
                shapes = f"output {index} of golden sample {sample} has {given.size} values, not {wanted.size}"
                return Difference(np.inf, shapes)
            errors = np.nan_to_num(np.abs(given - wanted), nan=np.inf)
            if errors.size and errors.max() > worst.error:
                value = int(errors.argmax())
                name = f"output {value}" if len(self.expected) == 1 else f"value {value} of output {index}"
                worst = _difference(float(errors[value]), f"{name} of golden sample {sample}")
        return worst


def load_golden(path: Path, variant: str, inputs: int, outputs: int) -> LoadedGoldenSet:
    """Read an archive. Raises BadInput: malformed, too large, without this variant."""
    try:
        _check_size(path)
        with np.load(path, allow_pickle=False) as archive:
            golden = LoadedGoldenSet(
                tuple(archive[f"input_{index}"] for index in range(inputs)),
                tuple(archive[f"{variant}_output_{index}"] for index in range(outputs)),
            )
    except KeyError as missing:
        raise BadInput(f"the golden set lacks {missing.args[0]}") from None
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as broken:
        raise BadInput(f"the golden set cannot be read: {broken}") from None
    counts = {len(each) if each.ndim else 0 for each in (*golden.inputs, *golden.expected)}
    if len(counts) != 1 or counts == {0}:
        raise BadInput(f"the golden set has arrays of unlike length: {sorted(counts)}")
    return golden


def _difference(error: float, where: str) -> Difference:
    return Difference(error, f"{where} differs by {error:.2g}" if np.isfinite(error) else f"{where} is not a number")


def _check_size(path: Path) -> None:
    packed_bytes = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        unpacked_bytes = sum(entry.file_size for entry in archive.infolist())
    if packed_bytes > GOLDEN_MAX_BYTES or unpacked_bytes > UNPACKED_MAX_BYTES:
        raise BadInput(
            f"the golden set has {packed_bytes:,} bytes, {unpacked_bytes:,} unpacked; the limits are"
            f" {GOLDEN_MAX_BYTES:,} and {UNPACKED_MAX_BYTES:,}"
        )

"""The golden set of one variant: inputs, and the outputs of the publisher.

Read sample by sample, so that a set needs the memory of one; what an entry unpacks to
is bounded before it is read.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from device_client.adapters.runtime.tflite import Array
from protocol.content.noise import hash_of, noise, positions
from protocol.errors import BadInput
from protocol.messages.contract import Contract, Tensor
from protocol.messages.golden_index import INDEX, INDEX_MAX_BYTES, GoldenIndex, entry_name
from protocol.messages.manifest import GOLDEN_MAX_BYTES

UNPACKED_MAX_BYTES: Final = 64_000_000  # of an entry, or of a set without an index: 4 MB could unpack to gigabytes
TOTAL_MAX_BYTES: Final = 2_000_000_000  # of all entries, which are read one by one


class StoredGoldenSet(Protocol):
    """`steps` runs in a row make a sample. Reading raises BadInput."""

    @property
    def samples(self) -> int: ...

    @property
    def steps(self) -> int: ...

    @property
    def sample_bytes_max(self) -> int:
        """What the largest sample takes in memory."""

    def inputs(self, sample: int) -> list[list[Array]]:
        """For each step the inputs, as batches of one row."""

    def expected(self, sample: int) -> list[list[Array]] | None:
        """For each step the outputs, without the batch; None if not measured."""

    def seen(self, output: int, values: Array, /) -> Array:
        """Those of an output's values that `expected` holds."""


def load_golden(path: Path, variant: str, contract: Contract) -> StoredGoldenSet:
    """Open an archive. Raises BadInput: malformed, too large, without this variant."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            _check_sizes(path.stat().st_size, sizes)
            if INDEX not in sizes:
                return _load_arrays(path, variant, len(contract.inputs), len(contract.outputs))
            index = GoldenIndex.from_line(archive.read(INDEX), max_bytes=INDEX_MAX_BYTES)
        return _IndexedSet(path, variant, contract, index, sizes)
    except KeyError as missing:
        raise BadInput(f"the golden set lacks {missing.args[0]}") from None
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as broken:
        raise BadInput(f"the golden set cannot be read: {broken}") from None


@dataclass(frozen=True, slots=True)
class _ArraySet:
    """Arrays (samples, …), one for each input and each output."""

    all_inputs: tuple[Array, ...]
    all_expected: tuple[Array, ...]
    steps: int = 1
    sample_bytes_max: int = 0  # all of it is in memory already

    @property
    def samples(self) -> int:
        return len(self.all_inputs[0])

    def inputs(self, sample: int) -> list[list[Array]]:
        return [[each[sample : sample + 1] for each in self.all_inputs]]

    def expected(self, sample: int) -> list[list[Array]]:
        return [[each[sample] for each in self.all_expected]]

    def seen(self, _output: int, values: Array, /) -> Array:
        return values


class _IndexedSet:
    def __init__(self, path: Path, variant: str, contract: Contract, index: GoldenIndex, sizes: dict[str, int]) -> None:
        self._path, self._variant, self._contract, self._index, self._sizes = path, variant, contract, index, sizes
        self._generated = {each.sample: each for each in index.generated}
        self.samples, self.steps = index.samples, index.steps
        self.sample_bytes_max = max(map(self._sample_bytes, range(self.samples)))

    def inputs(self, sample: int) -> list[list[Array]]:
        if sample in self._generated:
            steps = self._generate(sample)
        else:
            names = [f"input_{index}" for index in range(len(self._contract.inputs))]
            steps = self._read(sample, names)
        return [
            [_typed(row, tensor)[None] for row, tensor in zip(rows, self._contract.inputs, strict=True)]
            for rows in steps
        ]

    def expected(self, sample: int) -> list[list[Array]] | None:
        if not self._index.measured:
            return None
        return self._read(sample, [f"{self._variant}_output_{index}" for index in range(len(self._contract.outputs))])

    def seen(self, output: int, values: Array, /) -> Array:
        if not self._index.values_max or values.size <= self._index.values_max:
            return values
        return values.ravel()[positions(values.size, self._index.values_max, self._index.seed, -1 - output)]

    def _generate(self, sample: int) -> list[list[Array]]:
        index, said = self._index, self._generated[sample]
        steps = [
            [
                noise(spec, shape, index.seed, index.stream(sample, step, tensor))
                for tensor, (spec, shape) in enumerate(zip(index.noise, said.shapes, strict=True))
            ]
            for step in range(index.steps)
        ]
        if hash_of(row for rows in steps for row in rows) != said.sha256:
            raise BadInput(f"golden sample {sample} is generated to other bits than the publisher's")
        return steps

    def _read(self, sample: int, names: Sequence[str]) -> list[list[Array]]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                return [
                    [_array(archive.read(entry_name(sample, step, name))) for name in names]
                    for step in range(self.steps)
                ]
        except KeyError as missing:
            raise BadInput(f"the golden set lacks {missing.args[0]}") from None
        except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as broken:
            raise BadInput(f"golden sample {sample} cannot be read: {broken}") from None

    def _sample_bytes(self, sample: int) -> int:
        stored = sum(size for name, size in self._sizes.items() if name.startswith(f"{sample}/"))
        if sample not in self._generated:
            return stored
        values = [int(np.prod(shape, dtype=np.int64)) for shape in self._generated[sample].shapes]
        return stored + 16 * self.steps * sum(values)  # words of 64 bits, and what is made of them


def _typed(row: Array, tensor: Tensor) -> Array:
    return row.astype(object) if tensor.dtype == "string" else row


def _array(content: bytes) -> Array:
    array: Array = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def _load_arrays(path: Path, variant: str, inputs: int, outputs: int) -> _ArraySet:
    with np.load(path, allow_pickle=False) as archive:
        golden = _ArraySet(
            tuple(archive[f"input_{index}"] for index in range(inputs)),
            tuple(archive[f"{variant}_output_{index}"] for index in range(outputs)),
        )
    counts = {len(each) if each.ndim else 0 for each in (*golden.all_inputs, *golden.all_expected)}
    if len(counts) != 1 or counts == {0}:
        raise BadInput(f"the golden set has arrays of unlike length: {sorted(counts)}")
    return golden


def _check_sizes(packed_bytes: int, sizes: dict[str, int]) -> None:
    total_bytes = sum(sizes.values())
    if INDEX in sizes:
        largest_bytes, limit_bytes = max(sizes.values()), TOTAL_MAX_BYTES
    else:
        largest_bytes, limit_bytes = total_bytes, UNPACKED_MAX_BYTES
    if packed_bytes > GOLDEN_MAX_BYTES or total_bytes > limit_bytes or largest_bytes > UNPACKED_MAX_BYTES:
        raise BadInput(
            f"the golden set has {packed_bytes:,} bytes, {total_bytes:,} unpacked; the limits are"
            f" {GOLDEN_MAX_BYTES:,} and {UNPACKED_MAX_BYTES:,}"
        )

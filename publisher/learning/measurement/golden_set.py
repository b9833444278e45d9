"""The golden set: inputs and outputs that a device must reproduce within bounds.

An .npz with `input_0` … and `<variant>_output_0` …, each (samples, …) float32, which
all devices read; or, for other types, free sizes, state and large inputs, an entry for
each sample and an index (`protocol.messages.golden_index`).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from protocol.content.noise import positions
from protocol.errors import BadModel
from protocol.messages.contract import FREE, Contract
from protocol.messages.golden_index import INDEX, GoldenIndex, entry_name
from protocol.messages.manifest import GOLDEN_MAX_BYTES, GoldenBound
from protocol.preprocessing.preprocessor import Preprocessor
from publisher.learning.data.dataset import Array, Labels
from publisher.learning.data.golden_samples import (
    SAMPLES,
    SAMPLES_MIN,
    SEED,
    STEPS,
    GoldenSamples,
    draw_samples,
    golden_samples,
    is_plain,
)
from publisher.learning.data.npz_data import UserData
from publisher.learning.data.raw_samples import random_raw
from publisher.learning.data.rows import npy_bytes
from publisher.learning.measurement.inspection import Inspection
from publisher.learning.measurement.sandbox import Ran, run
from publisher.learning.measurement.tolerance import STEPPED, bound, legacy_tolerance

HEADERS_MAX_BYTES: Final = 100_000  # names and shapes in the .npz, for 32 variants
VALUES_MAX: Final = 16_384  # of an output that are compared on a device, at places all over it
VALUES_MIN: Final = 256
WHOLE: Final = 2**62  # values: all of them
FREE_VALUES: Final = 1_000  # of an output of free size, as a guess
DATE: Final = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold: bytes must not depend on the time


@dataclass(frozen=True, slots=True)
class Candidate:
    tflite: bytes
    title: str
    inspection: Inspection


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """The .npz, and how far each output of each variant may be off on a device.

    `outputs`: of each variant, in its own types, (samples, …) for each output. `notes`:
    what to tell the user, each a sentence.
    """

    content: bytes
    samples: int
    steps: int
    noise_samples: int
    tolerances: dict[str, float]
    bounds: dict[str, tuple[GoldenBound, ...]]
    outputs: dict[str, list[Array]]
    notes: tuple[str, ...] = ()


def make_golden_set(contract: Contract, candidates: Mapping[str, Candidate], inputs: GoldenSamples) -> GoldenSet:
    """Run each variant on `inputs`. Raises BadModel, also if it is too large."""
    ran = {
        name: run(each.tflite, inputs.rows, each.title, contract=contract, steps=inputs.steps, compare_kernels=True)
        for name, each in candidates.items()
        if each.inspection.measured
    }
    bounds = {name: _bounds(contract, ran[name], candidates[name].inspection) for name in ran}
    return GoldenSet(
        content=_content(inputs, {name: each.outputs for name, each in ran.items()}),
        samples=inputs.samples,
        steps=inputs.steps,
        noise_samples=inputs.noise_samples,
        tolerances={
            name: _tolerance(contract, bounds.get(name), ran.get(name), candidates[name]) for name in candidates
        },
        bounds=bounds,
        outputs={name: each.outputs for name, each in ran.items()},
        notes=_notes(inputs, ran),
    )


def golden_inputs(
    contract: Contract,
    user_data: UserData | None,
    candidates: Mapping[str, Candidate],
    name: str,
    groups: Labels | None = None,
) -> GoldenSamples:
    """From the user's data, else random. Raises BadModel if too few samples fit."""
    spec = next(iter(candidates.values())).inspection.noise
    budget_bytes = GOLDEN_MAX_BYTES - HEADERS_MAX_BYTES
    values_max = _values_max(contract, candidates)
    output_bytes = _output_bytes(contract, candidates, values_max)
    needed = SAMPLES_MIN * output_bytes * (STEPS if contract.stateful else 1)
    if needed > budget_bytes:
        raise BadModel(
            f"{name} gives {output_bytes:,} bytes a sample, {SAMPLES_MIN} over the {budget_bytes:,} of a golden set",
            hint="release fewer variants at a time",
        )
    plain_count = 0
    if is_plain(contract) and _measured(candidates):
        row_bytes = 4 * sum(_values(contract.row_shape(tensor)) for tensor in contract.inputs)
        plain_count = budget_bytes // (row_bytes + _output_bytes(contract, candidates, WHOLE))
    drawn = golden_samples(contract, user_data, spec, budget_bytes, output_bytes, groups, plain_count=plain_count)
    return replace(drawn, values_max=values_max)


def raw_golden_inputs(
    contract: Contract,
    preprocessor: Preprocessor,
    user_data: UserData | None,
    candidates: Mapping[str, Candidate],
    name: str,
    groups: Labels | None = None,
) -> GoldenSamples:
    """The same before the preprocessing, which is what is stored. Raises BadModel."""
    raw = list(random_raw(preprocessor, 1, SEED) if user_data is None else user_data.raw)
    plain = is_plain(contract) and _measured(candidates)
    sample_bytes = sum(each[:1].nbytes for each in raw)
    values_max = _values_max(contract, candidates)
    sample_bytes += _output_bytes(contract, candidates, WHOLE if plain else values_max)
    fitting = (GOLDEN_MAX_BYTES - HEADERS_MAX_BYTES) // sample_bytes
    if fitting < 1:
        raise BadModel(
            f"{name} takes and gives {sample_bytes:,} bytes a sample, over the {GOLDEN_MAX_BYTES:,} of a golden set",
            hint="use smaller inputs, or release fewer variants at a time",
        )
    if user_data is None:
        stored = random_raw(preprocessor, min(SAMPLES, fitting), SEED)
    else:
        stored = [draw_samples(x, user_data.classes if groups is None else groups, min(SAMPLES, fitting)) for x in raw]
    rows, count = preprocessor.apply(stored), len(stored[0])
    noise_samples = count if user_data is None else 0
    return GoldenSamples(rows, count, 1, noise_samples=noise_samples, plain=plain, raw=stored, values_max=values_max)


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """An uncompressed .npz whose bytes depend on the arrays alone."""
    entries = {
        f"{name}.npy": npy_bytes(values if values.dtype.kind in "iu" else np.asarray(values, np.float32))
        for name, values in arrays.items()
    }
    return _archive(entries, zipfile.ZIP_STORED)


def _archive(entries: Mapping[str, bytes], compression: int) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, DATE), content, compress_type=compression)
    return held.getvalue()


def _content(inputs: GoldenSamples, outputs: Mapping[str, Sequence[Array]]) -> bytes:
    if inputs.plain:
        arrays = {f"input_{index}": values for index, values in enumerate(inputs.raw or inputs.rows)}
        for name, columns in outputs.items():
            arrays |= {f"{name}_output_{index}": values for index, values in enumerate(columns)}
        return npz_bytes(arrays)
    index = GoldenIndex(
        samples=inputs.samples,
        steps=inputs.steps,
        seed=SEED,
        noise=inputs.noise,
        generated=inputs.generated,
        values_max=inputs.values_max if outputs else 0,
        measured=bool(outputs),
    )
    entries = {INDEX: index.to_line()}
    first_generated = inputs.samples - len(inputs.generated)
    for at in range(inputs.samples * inputs.steps):
        sample, step = divmod(at, inputs.steps)
        rows: dict[str, Array] = {}
        if sample < first_generated:
            rows |= {f"input_{number}": column[at] for number, column in enumerate(inputs.raw or inputs.rows)}
        for name, columns in outputs.items():
            rows |= {
                f"{name}_output_{number}": _seen(column[at], number, inputs.values_max)
                for number, column in enumerate(columns)
            }
        entries |= {entry_name(sample, step, name): npy_bytes(row) for name, row in rows.items()}
    content = _archive(entries, zipfile.ZIP_DEFLATED)
    if len(content) > GOLDEN_MAX_BYTES:
        raise BadModel(
            f"its golden set has {len(content):,} bytes, more than the {GOLDEN_MAX_BYTES:,} that a release holds",
            hint="release fewer variants at a time, or give smaller samples with --data",
        )
    return content


def _seen(row: Array, output: int, values_max: int) -> Array:
    values = np.asarray(row)
    if not values_max or values.size <= values_max:
        return values
    seen: Array = values.ravel()[positions(values.size, values_max, SEED, -1 - output)]
    return seen


def _bounds(contract: Contract, ran: Ran, inspection: Inspection) -> tuple[GoldenBound, ...]:
    outputs = zip(contract.outputs, ran.outputs, ran.differences, inspection.output_slack, strict=True)
    stepped, discrete = inspection.precision in STEPPED, inspection.discrete
    return tuple(
        bound(tensor, rows, differences, slack, stepped=stepped, discrete=discrete)
        for tensor, rows, differences, slack in outputs
    )


def _tolerance(
    contract: Contract, bounds: Sequence[GoldenBound] | None, ran: Ran | None, candidate: Candidate
) -> float:
    if bounds is None or ran is None:
        return 0.0
    outputs = list(zip(contract.outputs, ran.outputs, strict=True))
    return legacy_tolerance(bounds, outputs, candidate.inspection.precision)


def _measured(candidates: Mapping[str, Candidate]) -> bool:
    return all(each.inspection.measured for each in candidates.values())


def _output_bytes(contract: Contract, candidates: Mapping[str, Candidate], values_max: int) -> int:
    """Of all variants, for one run of which so many values of an output are stored."""
    values = (_values(contract.row_shape(tensor)) for tensor in contract.outputs)
    sizes = (16 if tensor.dtype == "string" else np.dtype(tensor.dtype).itemsize for tensor in contract.outputs)
    return len(candidates) * sum(size * min(each, values_max) for size, each in zip(sizes, values, strict=True))


def _values_max(contract: Contract, candidates: Mapping[str, Candidate]) -> int:
    """So many that eight samples of all variants take half of a golden set."""
    one_bytes = SAMPLES_MIN * (STEPS if contract.stateful else 1) * _output_bytes(contract, candidates, 1)
    return max(VALUES_MIN, min(VALUES_MAX, GOLDEN_MAX_BYTES // 2 // one_bytes))


def _values(row: tuple[int, ...]) -> int:
    return FREE_VALUES if FREE in row else int(np.prod(row))


def _notes(inputs: GoldenSamples, ran: Mapping[str, Ran]) -> tuple[str, ...]:
    notes = []
    drawn = inputs.samples - inputs.noise_samples
    if inputs.noise_samples and not drawn:
        notes.append(
            f"golden set: {inputs.samples} samples of random noise, for want of data; --data FILE.npz gives real ones"
        )
    elif inputs.noise_samples:
        notes.append(
            f"golden set: {drawn} samples of the data, as more do not fit, and {inputs.noise_samples} of random noise"
        )
    notes += {
        f"golden set: not compared with other kernels: {each.not_compared}"
        for each in ran.values()
        if each.not_compared
    }
    return tuple(notes)

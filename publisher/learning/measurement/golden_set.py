"""The golden set: inputs and outputs that a device must reproduce within a tolerance.

An .npz with `input_0` … and `<variant>_output_0` …, each (samples, …) float32.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.errors import BadModel
from protocol.messages.contract import Contract
from protocol.messages.manifest import GOLDEN_MAX_BYTES
from protocol.preprocessing.preprocessor import Preprocessor
from publisher.learning.data.dataset import Array, Floats, Labels
from publisher.learning.data.npz_data import UserData
from publisher.learning.data.raw_samples import random_raw
from publisher.learning.measurement.sandbox import Ran, run

SAMPLES: Final = 32
SEED: Final = 11  # the same draw for all versions of a model
HEADERS_MAX_BYTES: Final = 100_000  # names and shapes in the .npz, for 32 variants
FLOAT_TOLERANCE: Final = 1e-3  # of the largest output; kernels differ by 2e-6 on digits, deeper networks by more
SPREAD_FACTOR: Final = 4  # other hardware may differ more than reference kernels do on a few samples
DATE: Final = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold: bytes must not depend on the time


@dataclass(frozen=True, slots=True)
class Candidate:
    tflite: bytes
    title: str
    output_slack: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """The .npz, and each variant's largest allowed difference on a device.

    `outputs`: of each variant, in its own types, (samples, …) for each output.
    """

    content: bytes
    samples: int
    tolerances: dict[str, float]
    outputs: dict[str, list[Floats]]


def make_golden_set(
    candidates: Mapping[str, Candidate], inputs: Sequence[Floats], raw: Sequence[Array] = ()
) -> GoldenSet:
    """Run each variant on `inputs`, each (samples, …). Raises BadModel.

    `raw` are stored in their place: the same before the model's preprocessing.
    """
    arrays = {f"input_{index}": values for index, values in enumerate(raw or inputs)}
    tolerances: dict[str, float] = {}
    outputs: dict[str, list[Floats]] = {}
    for name, candidate in candidates.items():
        ran = run(candidate.tflite, list(inputs), candidate.title, compare_kernels=True)
        arrays |= {f"{name}_output_{index}": values for index, values in enumerate(ran.outputs)}
        outputs[name] = ran.outputs
        tolerances[name] = tolerance(ran, candidate.output_slack)
    return GoldenSet(npz_bytes(arrays), len(inputs[0]), tolerances, outputs)


def tolerance(ran: Ran, output_slack: Sequence[float]) -> float:
    """The largest difference on other hardware that is not taken for a defect."""
    allowed = [
        max(FLOAT_TOLERANCE * max(1.0, float(np.abs(output).max(initial=0.0))), slack, SPREAD_FACTOR * spread)
        for output, slack, spread in zip(ran.outputs, output_slack, ran.kernel_spread, strict=True)
    ]
    return max(allowed)


def _sample_count(contract: Contract, variants: int, name: str, raw_bytes: int = 0) -> int:
    """How many samples fit, at most 32. Raises BadModel when not one does."""
    values = [int(np.prod(tensor.shape)) for tensor in contract.inputs]
    values += [variants * int(np.prod(tensor.shape)) for tensor in contract.outputs]
    sample_bytes = 4 * sum(values) + raw_bytes
    fitting = (GOLDEN_MAX_BYTES - HEADERS_MAX_BYTES) // max(1, sample_bytes)
    if fitting < 1:
        raise BadModel(
            f"{name} takes and gives {sample_bytes} bytes a sample, over the {GOLDEN_MAX_BYTES} of a golden set",
            hint="use smaller inputs, or release fewer variants at a time",
        )
    return min(SAMPLES, fitting)


def golden_inputs(contract: Contract, user_data: UserData | None, variants: int, name: str) -> list[Floats]:
    """From the user's data, else random in the contract's range. Raises BadModel."""
    count = _sample_count(contract, variants, name)
    if user_data is not None:
        return [draw_samples(x, user_data.y, count) for x in user_data.inputs]
    rng = np.random.default_rng(SEED)
    return [
        rng.uniform(
            0.0 if tensor.value_min is None else tensor.value_min,
            1.0 if tensor.value_max is None else tensor.value_max,
            (count, *tensor.shape[1:]),
        ).astype(np.float32)
        for tensor in contract.inputs
    ]


def golden_raw(
    contract: Contract, preprocessor: Preprocessor, user_data: UserData | None, variants: int, name: str
) -> list[Array]:
    """The same before the preprocessing. Raises BadModel."""
    given = random_raw(preprocessor, 1, SEED) if user_data is None else user_data.raw
    outputs = contract.model_copy(update={"inputs": ()})  # what is stored are the raw inputs
    count = _sample_count(outputs, variants, name, sum(each[:1].nbytes for each in given))
    if user_data is None:
        return random_raw(preprocessor, count, SEED)
    return [draw_samples(x, user_data.y, count) for x in user_data.raw]


def draw_samples(x: Array, y: Labels | None, count: int) -> Array:
    """`count` samples, always the same; the classes in turn where they are known."""
    order = np.random.default_rng(SEED).permutation(len(x))
    if y is not None:
        place = np.zeros(len(x), np.int64)
        for label in np.unique(y):
            of_class = np.flatnonzero(y[order] == label)
            place[of_class] = np.arange(len(of_class))
        order = order[np.lexsort((y[order], place))]
    picked: Array = x[order[:count]]
    return picked


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """An uncompressed .npz whose bytes depend on the arrays alone."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            entry = io.BytesIO()
            kept = values if values.dtype.kind in "iu" else np.asarray(values, np.float32)
            np.save(entry, np.ascontiguousarray(kept), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", DATE), entry.getvalue())
    return held.getvalue()

"""Inputs of a golden set: of the user's data, each class in turn, else of a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.content.noise import hash_of, noise
from protocol.messages.contract import FREE, Contract, Tensor
from protocol.messages.golden_index import Generated, GoldenIndex, Noise
from publisher.learning.data.dataset import Array, Labels
from publisher.learning.data.npz_data import UserData
from publisher.learning.data.rows import stack_rows

SAMPLES: Final = 32
SAMPLES_MIN: Final = 8  # fewer prove little; where so many of the user's do not fit, others are generated
STEPS: Final = 6  # of a sequence: what a model keeps shows after several inputs
SEED: Final = 11  # the same draw for all versions of a model
FREE_SIZES: Final = 3  # of them sequences and pictures are tried
FREE_VALUES_MAX: Final = 200_000  # of a generated input with free sizes
GENERATED_VALUES_MAX: Final = 10_000_000  # of all generated inputs, so that a device is done in seconds


@dataclass(frozen=True, slots=True, eq=False)
class GoldenSamples:
    """`rows` of each input, (runs, …) or an array of arrays; `steps` runs to a sample.

    The last samples are generated, as `generated` says. `plain`: as devices have always
    read them, float32 of fixed size without state, and none generated. `raw`: what is
    stored in place of the rows, which the model's preprocessing makes of it.
    """

    rows: list[Array]
    samples: int
    steps: int
    noise: tuple[Noise, ...] = ()
    generated: tuple[Generated, ...] = ()
    noise_samples: int = 0
    plain: bool = False
    raw: Sequence[Array] = ()
    values_max: int = 0  # of an output that are stored; 0: all


def golden_samples(
    contract: Contract,
    user_data: UserData | None,
    spec: Sequence[Noise],
    budget_bytes: int,
    output_bytes: int,
    groups: Labels | None = None,
    *,
    plain_count: int,
) -> GoldenSamples:
    """As many as fit. `output_bytes`: of all variants, for one run.

    `plain_count`: how many fit as devices have always read them; eight suffice.
    `groups`: a class for each sample of the data, where it has none itself.
    """
    if plain_count >= SAMPLES_MIN:
        return _plain(contract, user_data, min(SAMPLES, plain_count), groups)
    steps = STEPS if contract.stateful else 1
    drawn = 0 if user_data is None else _fitting(user_data, steps, budget_bytes, output_bytes)
    rows = [] if user_data is None else _drawn(user_data, drawn, steps, groups)
    fitting = max(SAMPLES_MIN, budget_bytes // max(1, steps * output_bytes))
    return _with_generated(contract, rows, drawn, steps, spec, min(SAMPLES, fitting))


def is_plain(contract: Contract) -> bool:
    tensors = (*contract.inputs, *contract.outputs)
    return (
        not contract.stateful
        and not contract.signature
        and contract.batch == 1
        and all(
            tensor.dtype == "float32" and FREE not in tensor.shape and tensor.shape[:1] == (1,) for tensor in tensors
        )
    )


def draw_samples(x: Array, y: Labels | None, count: int) -> Array:
    """`count` samples, always the same; the classes in turn where they are known."""
    picked: Array = x[_order(len(x), y)[:count]]
    return picked


def _plain(contract: Contract, user_data: UserData | None, count: int, groups: Labels | None) -> GoldenSamples:
    if user_data is not None:
        order = _order(len(user_data.inputs[0]), user_data.classes if user_data.classes is not None else groups)[:count]
        rows = [np.asarray(x[order], np.float32) for x in user_data.inputs]
        return GoldenSamples(rows, len(order), 1, plain=True)
    rng = np.random.default_rng(SEED)
    rows = [
        rng.uniform(
            0.0 if tensor.value_min is None else tensor.value_min,
            1.0 if tensor.value_max is None else tensor.value_max,
            (count, *contract.row_shape(tensor)),
        ).astype(np.float32)
        for tensor in contract.inputs
    ]
    return GoldenSamples(rows, count, 1, noise_samples=count, plain=True)


def _order(count: int, y: Labels | None) -> Labels:
    order = np.random.default_rng(SEED).permutation(count)
    if y is not None:
        place = np.zeros(count, np.int64)
        for label in np.unique(y):
            of_class = np.flatnonzero(y[order] == label)
            place[of_class] = np.arange(len(of_class))
        order = order[np.lexsort((y[order], place))]
    return order


def _fitting(user_data: UserData, steps: int, budget_bytes: int, output_bytes: int) -> int:
    """How many samples of the data fit; a sequence is of some that follow another."""
    row_bytes = sum(max(1, x[0].nbytes if len(x) else 0) for x in user_data.inputs)
    beside_generated = (budget_bytes - SAMPLES_MIN * steps * output_bytes) // (row_bytes * steps)
    alone = budget_bytes // ((row_bytes + output_bytes) * steps)
    return int(max(0, min(SAMPLES, len(user_data.inputs[0]) // steps, max(0, beside_generated), alone)))


def _drawn(user_data: UserData, count: int, steps: int, groups: Labels | None) -> list[list[Array]]:
    """For each run the row of each input."""
    total = len(user_data.inputs[0])
    if steps == 1:
        starts = _order(total, user_data.classes if user_data.classes is not None else groups)[:count]
    else:
        starts = np.linspace(0, total - steps, count).astype(np.int64)
    return [[x[start + step] for x in user_data.inputs] for start in starts for step in range(steps)]


def _with_generated(
    contract: Contract, rows: list[list[Array]], drawn: int, steps: int, spec: Sequence[Noise], samples_max: int
) -> GoldenSamples:
    values = max(1, steps * sum(int(np.prod(shape)) for shape in _shapes(contract, 0)))
    wanted = samples_max if not drawn else max(SAMPLES_MIN, drawn)
    samples = max(drawn, min(wanted, max(SAMPLES_MIN, GENERATED_VALUES_MAX // values)))
    index = GoldenIndex(samples=samples, steps=steps, seed=SEED, noise=tuple(spec))
    generated = []
    for sample in range(drawn, samples):
        shapes = _shapes(contract, sample)
        made = [
            [
                noise(each, shape, SEED, index.stream(sample, step, at))
                for at, (each, shape) in enumerate(zip(spec, shapes, strict=True))
            ]
            for step in range(steps)
        ]
        rows += made
        generated.append(Generated(sample=sample, shapes=shapes, sha256=hash_of(row for step in made for row in step)))
    columns = [stack_rows(column) for column in zip(*rows, strict=True)]
    return GoldenSamples(columns, samples, steps, tuple(spec), tuple(generated), len(generated))


def _shapes(contract: Contract, sample: int) -> tuple[tuple[int, ...], ...]:
    """Row shapes of a generated sample; free sizes go round, from the smallest."""
    return tuple(_shape(contract, tensor, sample % FREE_SIZES) for tensor in contract.inputs)


def _shape(contract: Contract, tensor: Tensor, turn: int) -> tuple[int, ...]:
    shape = list(tensor.shape)
    free = [axis for axis, size in enumerate(shape) if size == FREE]
    fixed = int(np.prod([size for size in shape if size != FREE]))
    reach = int((FREE_VALUES_MAX / max(1, fixed)) ** (1 / max(1, len(free))))
    for axis in free:
        low, high = tensor.size_min[axis], tensor.size_max[axis]
        top = max(low, min(high, reach, max(64, 4 * low)))
        shape[axis] = low + (top - low) * turn // (FREE_SIZES - 1)
    return tuple(shape[1:] if contract.row_shape(tensor) != tensor.shape else shape)

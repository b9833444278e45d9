"""Draws the golden set of a model file and declares its task by what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from protocol.messages.contract import Contract
from protocol.preprocessing.preprocessor import Preprocessor
from protocol.tasks.selection import task_of
from publisher.learning.data.dataset import Array, Labels
from publisher.learning.data.golden_samples import GoldenSamples
from publisher.learning.data.npz_data import UserData
from publisher.learning.data.rows import is_ragged
from publisher.learning.measurement.evaluation import answers_of
from publisher.learning.measurement.golden_set import (
    Candidate,
    GoldenSet,
    golden_inputs,
    make_golden_set,
    raw_golden_inputs,
)
from publisher.learning.measurement.sandbox import run
from publisher.learning.tasks.declaration import TaskRequest, declare
from publisher.learning.tasks.outputs import Hints

PREVIEWED: Final = 256  # samples that the model answers, to have one of each class in the golden set
SEED: Final = 17


def draw_golden_set(
    contract: Contract,
    candidates: Mapping[str, Candidate],
    user_data: UserData | None,
    hints: Hints,
    request: TaskRequest,
    preprocessor: Preprocessor | None = None,
) -> tuple[Contract, GoldenSamples, GoldenSet]:
    """The contract with its task, and the golden set. Raises BadModel, BadInput.

    It holds each class in turn: those of the data, else the model's own answers.
    """
    first = next(iter(candidates.values()))
    groups = None
    if user_data is not None and user_data.classes is None and first.inspection.measured and not contract.stateful:
        user_data = user_data.select(_previewed(user_data))
        ran = run(first.tflite, user_data.inputs, first.title, contract=contract)
        groups = _groups(declare(contract, _plain(ran.outputs), hints, request), ran.outputs)
    if preprocessor is None:
        inputs = golden_inputs(contract, user_data, candidates, hints.file_name, groups)
    else:
        inputs = raw_golden_inputs(contract, preprocessor, user_data, candidates, hints.file_name, groups)
    golden = make_golden_set(contract, candidates, inputs)
    outputs = next(iter(golden.outputs.values()), [])
    return declare(contract, _plain(outputs), hints, request), inputs, golden


def _previewed(user_data: UserData) -> Labels:
    return np.random.default_rng(SEED).permutation(len(user_data.inputs[0]))[:PREVIEWED]


def _groups(contract: Contract, outputs: Sequence[Array]) -> Labels:
    """The class of each answer; the first of several."""
    task = task_of(contract)
    answers = answers_of(outputs, contract)
    return np.array([next(iter(task.groups(answer)), -1) for answer in answers], np.int64)


def _plain(outputs: Sequence[Array]) -> list[Array]:
    """Outputs whose sizes differ from sample to sample tell the task nothing."""
    return [np.empty(0, np.float32) if is_ragged(rows) or rows.dtype.kind == "S" else rows for rows in outputs]

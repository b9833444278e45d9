"""The task of a release: as given, else guessed; and what each output is in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadInput, BadModel
from protocol.messages.contract import FREE, Contract, TaskDeclaration
from protocol.tasks import classification, detection, keypoints
from protocol.tasks.outputs import real_numbers
from protocol.tasks.selection import TASKS, task_of
from publisher.learning.data.output_spread import spread_of_rows
from publisher.learning.tasks.guess import DETECTION_ROLES, guess
from publisher.learning.tasks.outputs import Hints, SeenOutput, flat_rows, seen_model

FORMS: Final[Mapping[str, Sequence[str]]] = {
    "classification": tuple(classification.FORMS),
    "detection": tuple(detection.FORMS),
    "keypoints": tuple(keypoints.SIZES),
    "segmentation": ("scores", "mask", "sigmoid"),
}
ROLES: Final[Mapping[str, Sequence[str]]] = {
    "classification": ("scores",),
    "detection": (*DETECTION_ROLES, "rows"),
    "segmentation": ("mask",),
    "keypoints": ("points", "presence"),
    "regression": ("values",),
    "embedding": ("vector",),
}
FIXED: Final = {"classification": "scores", "keypoints": "points", "regression": "values", "embedding": "vector"}
BOX: Final = 4  # values, but for anchors, whose code is the model's own
NO_ROLE: Final = "-"
PATTERN: Final = re.compile(r"([a-z_]+)(?::([a-z0-9_]+))?(?:@(-?[0-9]+(?:\.[0-9]+)?))?")
SYNTAX: Final = "give NAME[:FORM][@THRESHOLD], such as classification:multi_label@0.3"

WAY_OUT: Final = "say with --roles what each output is, in their order, or with --task what the model is for"


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """What the user says of a model's task. `roles`: one for each output, or none."""

    task: TaskDeclaration | None = None
    roles: tuple[str, ...] = ()


def parse_roles(text: str) -> tuple[str, ...]:
    """Read "boxes,classes,-,count"."""
    return tuple("" if each.strip() == NO_ROLE else each.strip() for each in text.split(","))


def parse_task(text: str) -> TaskDeclaration:
    """Read "NAME[:FORM][@THRESHOLD]". Raises BadInput."""
    found = PATTERN.fullmatch(text.strip())
    if found is None:
        raise BadInput(f"the task {text!r} cannot be read", hint=SYNTAX)
    name, form, threshold = found.groups()
    if name not in TASKS:
        raise BadInput(f"there is no task {name!r}", hint=f"it is one of {', '.join(TASKS)}")
    forms = FORMS.get(name, ())
    if form and form not in forms:
        way_out = f"it is one of {', '.join(forms)}" if forms else "leave the form out"
        raise BadInput(f"{name} has no form {form!r}", hint=way_out)
    value = None if threshold is None else float(threshold)
    return TaskDeclaration(name=name, form=form or "", threshold=value, reason="given")


def declare(
    contract: Contract,
    outputs: Sequence[NDArray[Any]],
    hints: Hints,
    request: TaskRequest = TaskRequest(),
) -> Contract:
    """The contract with task, roles and spreads.

    `outputs`: of each what golden inputs gave, (samples, …) in the model's own types;
    none where nothing could be run. Raises BadInput for a request that cannot be, and
    BadModel for outputs that are not what their roles say.
    """
    outputs = [real_numbers(array, tensor) for array, tensor in zip(outputs, contract.outputs, strict=False)]
    given = request.task
    seen = seen_model(contract, outputs, hints)
    guessed = guess(seen)
    task = guessed.task
    if given is not None:
        same = given.name == guessed.task.name and given.form in {"", guessed.task.form}
        task = given.model_copy(update={"form": guessed.task.form}) if same else given
        if same and given.threshold is None:
            task = task.model_copy(update={"threshold": guessed.task.threshold})
    chosen = request.roles or (guessed.roles if task.name == guessed.task.name else ())
    chosen = chosen or ("",) * len(contract.outputs)
    _check_given(task, chosen, contract)
    _check_values(task, chosen, seen.outputs)
    if task.threshold is None and _reads_logits(task, chosen, seen.outputs):
        task = task.model_copy(update={"threshold": 0.0})
    tensors = tuple(
        tensor.model_copy(update={"role": role, "spread": spread_of_values(outputs[at]) if at < len(outputs) else ()})
        for at, (tensor, role) in enumerate(zip(contract.outputs, chosen, strict=True))
    )
    declared = contract.model_copy(update={"outputs": tensors, "task": task})
    _check_readable(declared, outputs)
    return declared


def spread_of_values(values: NDArray[Any]) -> tuple[float, ...]:
    """As `Tensor.spread`, of values (samples, …). Empty for none, or text."""
    real = flat_rows(values)
    return spread_of_rows(real) if real.size else ()


def _check_given(task: TaskDeclaration, roles: Sequence[str], contract: Contract) -> None:
    count = len(contract.outputs)
    if len(roles) != count:
        raise BadInput(f"{len(roles)} roles for {count} outputs", hint="give one for each, - for none")
    allowed = ROLES.get(task.name, ())
    for role in roles:
        if role and role not in allowed:
            way_out = f"it is one of {', '.join(allowed)}" if allowed else "leave the roles out"
            raise BadInput(f"an output of {task.name} has no role {role!r}", hint=way_out)
        if role and list(roles).count(role) > 1:
            raise BadInput(f"two outputs have the role {role}", hint="give one for each, - for none")
    _check_sizes(task, roles, contract)
    if _has_parts(task, count) and not {"boxes", "scores"} <= set(roles):
        raise BadInput(
            "which outputs are the boxes and the scores is not known",
            hint="say it with --roles, such as --roles boxes,classes,scores,count",
        )


def _check_sizes(task: TaskDeclaration, roles: Sequence[str], contract: Contract) -> None:
    """A fixed number of values is what these tasks read."""
    if task.name not in FIXED:
        return
    at = next((index for index, role in enumerate(roles) if role == FIXED[task.name]), 0)
    row = contract.row_shape(contract.outputs[at])
    if FREE in row or 0 in row:
        raise BadInput(
            f"output {at} has the shape {list(row)}, and {task.name} reads a fixed number of values",
            hint="give --task detection for boxes of a free number, or --task scores",
        )


def _has_parts(task: TaskDeclaration, count: int) -> bool:
    """Whether boxes and their scores are outputs of their own."""
    return task.name == "detection" and (task.form in {"boxes", "anchors"} or (not task.form and count > 1))


def _reads_logits(task: TaskDeclaration, roles: Sequence[str], seen: Sequence[SeenOutput]) -> bool:
    """Whether the scores that a threshold is compared with are no shares (0-1)."""
    role = "mask" if task.name == "segmentation" else "scores"
    output = seen[roles.index(role) if role in roles else 0]
    decides = task.form in {"multi_label", "sigmoid", "anchors"} or (
        task.name == "classification" and not task.form and output.row[-1:] == (1,)
    )
    return decides and output.known and not output.in_unit_range


def _check_readable(contract: Contract, outputs: Sequence[NDArray[Any]]) -> None:
    """Refuse outputs that the task cannot read: a device reads those of every input."""
    rows = [contract.row_shape(tensor) for tensor in contract.outputs]
    first = [
        outputs[at][0] if at < len(outputs) and len(outputs[at]) else _zeros(row, tensor.dtype)
        for at, (tensor, row) in enumerate(zip(contract.outputs, rows, strict=True))
    ]
    try:
        task = task_of(contract)
        for read in (task.answer, task.top, task.groups):
            read(first)
        task.alike(first, first)
    except (ValueError, IndexError, TypeError):
        shapes = ", ".join(str(list(row)) for row in rows)
        title = contract.task.title if contract.task else task.name
        raise BadModel(f"{title} cannot be read from outputs of the shapes {shapes}", hint=WAY_OUT) from None


def _zeros(row: Sequence[int], dtype: str) -> NDArray[Any]:
    """Stands for an output that was not measured, or whose size differs."""
    return np.zeros([1 if size == FREE else size for size in row], "S1" if dtype == "string" else np.float64)


def _check_values(task: TaskDeclaration, roles: Sequence[str], seen: Sequence[SeenOutput]) -> None:
    """Refuse outputs that are not what their roles say, by rank and range."""
    for at, (role, output) in enumerate(zip(roles, seen, strict=True)):
        problem = _problem(task, role, output)
        if problem:
            raise BadModel(
                f"output {at} ({output.title}) is declared as {role}, but {problem}",
                hint=WAY_OUT,
            )


def _problem(task: TaskDeclaration, role: str, output: SeenOutput) -> str:
    size = int(np.prod([each for each in output.row if each > 0]))
    if role == "boxes" and (len(output.row) < 2 or (task.form != "anchors" and output.row[-1] != BOX)):
        return f"one has the shape {list(output.row)}"
    if role == "count" and (size != 1 or (output.known and not output.whole)):
        return "it is not one whole number"
    if role == "classes" and output.known and not output.whole:
        return "its values are no whole numbers"
    if role == "points" and size % 2 and size % 3:
        return f"{size} values are neither pairs nor triples"
    return ""

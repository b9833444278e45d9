"""What a candidate is given of the sealed inputs, with the live model's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from device_client.ports.serving import ModelFile, SealedInput
from device_client.serving.interpreter_pool import InterpreterPool
from device_client.serving.trial.sealed_inputs import SealedInputs
from protocol.errors import FerryError

OpenPool = Callable[[ModelFile], InterpreterPool]


def answered_by(file: ModelFile) -> str:
    """The model as a sealed input names it."""
    return f"{file.version} {file.variant}"


def sealed_answers(
    sealed: SealedInputs, live: ModelFile, shadow: ModelFile, open_pool: OpenPool
) -> Iterator[SealedInput]:
    """Each with the answer of the live model, which is asked anew if another gave it.

    None for a shadow that answered them when it was live: then it is the previous
    model, and its successor was tried on them before the swap.
    """
    kept = sealed.all()
    if any(each.model == answered_by(shadow) for each in kept.values()):
        return
    pool = None
    for name, each in kept.items():
        if each.model != answered_by(live):
            pool = pool or open_pool(live)
            renewed = _renewed(each, pool)
            sealed.replace(name, renewed)
            if renewed is None:
                continue
            each = renewed
        yield each


def _renewed(sealed: SealedInput, pool: InterpreterPool) -> SealedInput | None:
    """None where this version cannot take the input."""
    form = pool.form
    try:
        outputs = form.row(pool.run(pool.prepare(list(sealed.inputs))), 0, 1)
    except FerryError:
        return None
    classes = form.task.groups(form.real(outputs))
    return replace(sealed, outputs=outputs, classes=classes, model=answered_by(pool.file))

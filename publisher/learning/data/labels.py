"""Reads and validates the names of classes. Imports neither numpy nor TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protocol.errors import BadInput, BadRecipe

LABELS_MAX: Final = 2_000  # of a manifest
HINT: Final = "give a file with one name a line, or the names with commas between: --labels cat,dog"


def read_labels(given: str) -> tuple[str, ...]:
    """Read `--labels`: a file of lines, or names with commas. Raises BadInput."""
    path = Path(given)
    try:
        listed = path.read_text(encoding="utf-8").splitlines() if path.is_file() else given.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--labels {given} cannot be read: {error}", hint=HINT) from error
    names = [name.strip() for name in listed]
    if len(names) == 1 and "," not in given and not path.is_file():
        raise BadInput(f"--labels: there is no file {given}, and it is no list", hint=HINT)
    while names and not names[-1]:
        names.pop()  # empty lines at the end
    try:
        return validate_labels(names, f"--labels {given}" if path.is_file() else "--labels")
    except BadRecipe as wrong:  # the same checks, but there is no recipe
        raise BadInput(wrong.message, hint=wrong.hint) from wrong


def validate_labels(given: object, where: str) -> tuple[str, ...]:
    """Class names that fit into a release; may be empty. Raises BadRecipe."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise BadRecipe(f"{where} is a {type(given).__name__}", hint='it is a list: ["cat", "dog"]')
    for label in given:
        if not isinstance(label, str) or not label:
            raise BadRecipe(f"{where} holds {label!r}", hint="each label is a text that is not empty")
    if len(set(given)) != len(given):
        twice = next(label for label in given if list(given).count(label) > 1)
        raise BadRecipe(f"{where} names {twice!r} twice", hint="give each class its own name")
    if len(given) > LABELS_MAX:
        raise BadRecipe(f"{where} has {len(given)} names", hint=f"at most {LABELS_MAX} fit in a release")
    return tuple(given)


def check_fit(labels: Sequence[str], output_shape: Sequence[int | None]) -> None:
    """Compare labels, if any, with a classifier's output shape. Raises BadInput."""
    if labels and len(output_shape) == 2 and output_shape[1] != len(labels):
        raise BadInput(
            f"{len(labels)} labels for a model that gives {output_shape[1]} classes", hint="name each class once"
        )

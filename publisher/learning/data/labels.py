"""Reads and validates the names of classes. Imports neither numpy nor TensorFlow.

A file has one name a line and is read as published: with a byte-order mark, any line
ends, names that occur twice, and blank lines for classes without a name.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protocol.content.label_file import LABELS_MAX
from protocol.errors import BadInput, BadRecipe

HINT: Final = "give a file with one name a line, or the names with commas between: --labels cat,dog"
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_INDEXED: Final = re.compile(r"\s*([0-9]{1,6})(?:\s*[:,]\s*|\s+)(\S.*)")


def read_labels(given: str) -> tuple[str, ...]:
    """Read `--labels`: a file of lines, or names with commas. Raises BadInput."""
    path = Path(given)
    if not _is_file(path):
        if "," not in given:
            raise BadInput(f"--labels: there is no file {given}, and it is no list", hint=HINT)
        return _checked([name.strip() for name in given.split(",")], "--labels")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"--labels {given} cannot be read: {error.strerror}", hint=HINT) from error
    try:
        return _checked(parse_labels(content), f"--labels {given}")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"--labels {given} is no text in UTF-8: {error.reason} at byte {error.start}", hint="save it as UTF-8"
        ) from error


def parse_labels(content: bytes) -> tuple[str, ...]:
    """The names of a label file, in the order of the classes.

    Where every line begins with its index, counting up from 0 (`0 person`, `1: dog`),
    the index is taken off and an index that is left out is a class without a name.
    Raises UnicodeDecodeError.
    """
    lines = [line.strip() for line in _LINE_END.split(_text(content))]
    while lines and not lines[-1]:
        lines.pop()
    return _without_indexes(lines) or tuple(lines)


def validate_labels(given: object, where: str) -> tuple[str, ...]:
    """A recipe's class names; may be empty. Raises BadRecipe."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise BadRecipe(f"{where} is a {type(given).__name__}", hint='it is a list: ["cat", "dog"]')
    for label in given:
        if not isinstance(label, str) or not label or len(label.splitlines()) > 1:
            raise BadRecipe(f"{where} holds {label!r}", hint="each label is a text of one line that is not empty")
    if len(set(given)) != len(given):
        twice = next(label for label in given if list(given).count(label) > 1)
        raise BadRecipe(f"{where} names {twice!r} twice", hint="give each class its own name")
    if len(given) > LABELS_MAX:
        raise BadRecipe(f"{where} has {len(given)} names", hint=f"at most {LABELS_MAX:,} fit in a release")
    return tuple(given)


def check_fit(labels: Sequence[str], output_shape: Sequence[int | None]) -> None:
    """Compare labels, if any, with a classifier's output shape. Raises BadInput."""
    if labels and len(output_shape) == 2 and output_shape[1] != len(labels):
        raise BadInput(
            f"{len(labels)} labels for a model that gives {output_shape[1]} classes", hint="name each class once"
        )


def fitting(labels: Sequence[str], output_shape: Sequence[int | None]) -> tuple[str, ...]:
    """Labels for a classifier: without blank lines, where only so they fit."""
    named = tuple(label for label in labels if label)
    lacks = len(output_shape) == 2 and output_shape[1] == len(named)
    return named if lacks else tuple(labels)


def found_labels(labels: Sequence[str], file: str, output_shape: Sequence[int | None]) -> tuple[tuple[str, ...], str]:
    """Labels that a model file carries, for want of others, and a line to report.

    None where they do not fit the model's output; `file` is where they stood.
    """
    if not labels:
        return (), ""
    try:
        check_fit(labels, output_shape)
    except BadInput as unlike:
        return (), f"the labels in the model file's {file} are not used: {unlike.message}; --labels gives others"
    return tuple(labels), f"the {len(labels):,} labels are those in the model file's {file}; --labels gives others"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a long list is no name of a file
        return False


def _text(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _without_indexes(lines: Sequence[str]) -> tuple[str, ...]:
    """The names without their indexes; () unless all lines have one, from 0 upwards."""
    found = [_INDEXED.fullmatch(line) for line in lines if line]
    indexes = [int(match[1]) for match in found if match]
    ascending = all(one < other for one, other in itertools.pairwise(indexes))
    if len(indexes) < 2 or len(indexes) != len(found) or indexes[0] != 0 or not ascending or indexes[-1] >= LABELS_MAX:
        return ()
    names = {index: match[2] for index, match in zip(indexes, found, strict=True) if match}
    return tuple(names.get(index, "") for index in range(indexes[-1] + 1))


def _checked(names: Sequence[str], where: str) -> tuple[str, ...]:
    if not any(names):
        raise BadInput(f"{where} names no class", hint=HINT)
    if len(names) > LABELS_MAX:
        raise BadInput(f"{where} has {len(names):,} names", hint=f"at most {LABELS_MAX:,} fit in a release")
    return tuple(names)

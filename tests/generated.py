"""Helpers of the modules that write documentation from the code: tables, attribute
docstrings, files that changed.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from tests.pages import PROJECT

WIDTH: Final = 88


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; a `|` in a cell is escaped."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n" for cells in (head, *rows)]
    return "".join((lines[0], f"|{'---|' * len(head)}\n", *lines[1:]))


def wrapped(markdown: str) -> str:
    """The same with its paragraphs wrapped; headings, tables and comments stay as they
    are.
    """
    blocks = markdown.split("\n\n")
    return "\n\n".join(block if block.lstrip("\n").startswith(("#", "|", "<!--")) else _fill(block) for block in blocks)


def _fill(paragraph: str) -> str:
    end = "\n" if paragraph.endswith("\n") else ""
    return textwrap.fill(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False) + end


def attribute_docstrings(kind: type) -> dict[str, str]:
    """The string literal below each annotated attribute of a class, by the attribute's
    name.
    """
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    return {
        attribute.target.id: inspect.cleandoc(text.value.value)
        for attribute, text in pairwise(node.body)
        if isinstance(attribute, ast.AnnAssign)
        and isinstance(attribute.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def write(documents: Mapping[str, str]) -> None:
    """Write the documents, by their path in the project, that changed, and print their
    paths.
    """
    for name, text in documents.items():
        path = PROJECT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{name}\n")

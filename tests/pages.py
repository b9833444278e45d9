"""Reads the project's Markdown: fenced blocks, tables, headings and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parent.parent
_FENCE: Final = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Fence:
    """A block between ``` lines. `info`: what stands behind the first of them."""

    page: str
    line: int
    info: str
    text: str


class Page:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(PROJECT).as_posix()
        self.text = path.read_text(encoding="utf-8")

    @cached_property
    def fences(self) -> list[Fence]:
        """Every fenced block."""
        return [
            Fence(self.name, self.text.count("\n", 0, found.start()) + 1, found["info"], found["text"])
            for found in _FENCE.finditer(self.text)
        ]

    @cached_property
    def prose(self) -> str:
        """All but the fenced blocks."""
        return _FENCE.sub("", self.text)

    @cached_property
    def headings(self) -> list[str]:
        """The texts of the headings."""
        return re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)

    @property
    def anchors(self) -> set[str]:
        """The headings as links name them."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in self.headings}

    @property
    def links(self) -> list[str]:
        """Where the page points to."""
        return _LINK.findall(self.prose)

    def table(self, *head: str) -> list[list[str]]:
        """The rows of the one table whose first columns are called so."""
        found = [table for table in _tables(self.prose) if table[0][: len(head)] == list(head)]
        assert len(found) == 1, f"{self.name} has {len(found)} tables with the columns {head}"
        return found[0][1:]

    def under(self, heading: str) -> list[list[str]]:
        """The rows of the first table under a heading."""
        _, found, rest = self.prose.partition(f"# {heading}\n")
        assert found, f"{self.name} has no heading {heading!r}"
        return _tables(rest)[0][1:]


def page(name: str) -> Page:
    """A page by its path in the project."""
    return Page(PROJECT / name)


def _tables(text: str) -> list[list[list[str]]]:
    """Every table, its head first, without the line of dashes."""
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    tables = [[_cells(line) for line in block.splitlines()] for block in blocks]
    return [[table[0], *table[2:]] for table in tables]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip()[1:-1].split("|")]


PAGES: Final = [Page(path) for path in (*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").rglob("*.md")))]

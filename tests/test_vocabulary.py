"""The vocabulary of the house, checked: names are the field's terms, and one class name
has one meaning.

The words come from a review of the whole tree; docs/ARCHITECTURE.md has the
glossary. A word that is still a term of the field somewhere (`link`, `memory`, `fleet`,
`trial`, `blobs`) is not in the list.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.test_architecture import PACKAGES, ROOT, modules_of

NOT_NAMES: Final = frozenset(
    re.findall(
        r"\w+",
        """
    allowance asked belief bell brought choice clerk climber codec complaint compressing continuing cuts desk
    exchange folder frameworks herald housekeeping keeper living loaded look making misbehaviour niceness
    office ownership pace patience patient pattern processor program questions quiet reception record refit
    replies room second_look sequential session sharing shelf shortening showing signing spread standing station
    steering supply surroundings timetable trial_words tune upkeep voice watching way why why_page windows
    wire witness workshop
    """,
    )
)
# Metaphors: not even as one word of a longer class name.
NOT_IN_CLASSES: Final = {
    "bell", "clerk", "climber", "desk", "herald", "housekeeping", "keeper", "office", "patience", "reception", "shelf",
    "station", "voice", "witness", "workshop",
}  # fmt: skip
# A port and the adapter behind it may share their name.
PORTS_AND_ADAPTERS: Final = {"Journal"}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip("_")).lower()


def named_in(path: Path) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, name, line) of the module, its classes, functions and methods."""
    yield "module", path.stem if path.stem != "__init__" else path.parent.name, 1
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            yield "class", node.name, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "function", node.name, node.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_names_are_terms_of_the_field(package: str) -> None:
    faults = []
    for path in modules_of(package):
        for kind, name, line in named_in(path):
            words = snake(name)
            if words in NOT_NAMES or (kind == "class" and NOT_IN_CLASSES & set(words.split("_"))):
                faults.append(f"{path.relative_to(ROOT)}:{line} {kind} {name}")
    assert faults == []


def test_one_class_name_has_one_meaning() -> None:
    homes = defaultdict(list)
    for path in modules_of(*PACKAGES):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                homes[node.name.strip("_")].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1 and name not in PORTS_AND_ADAPTERS} == {}


DIALECT: Final = re.compile(r"so-manieth|turned away|whoever|nobody (?:may|has)", re.IGNORECASE)


def test_no_page_or_module_is_written_in_dialect() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.json")]
    found = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()[:100]}"
        for path in [*modules_of(*PACKAGES), *sorted(pages)]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if DIALECT.search(line)
    ]
    assert found == []

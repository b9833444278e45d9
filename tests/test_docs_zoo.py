"""docs/ZOO.md, which the long run writes, tells of the files that are in the zoo."""

from __future__ import annotations

import re

from tests.pages import page
from tests.zoo.catalogue import ZOO
from tests.zoo.page import COMMAND, HEAD, PAGE
from tests.zoo.wheels import requirements


def test_the_page_tells_of_files_of_the_zoo_as_they_are() -> None:
    known = {file.name: [requirements()[file.wheel].replace("==", " "), file.kind] for file in ZOO if not file.lacks}
    rows = {row[0].strip("*"): row for row in page(PAGE).table(*HEAD)}
    assert all(row[1:3] == known.get(name) for name, row in rows.items()), f"type: {COMMAND}"
    assert len(rows) >= 25
    assert len({row[2] for row in rows.values()}) >= 8
    assert all(int(row[-1]) > 0 for row in rows.values())


def test_the_page_names_what_is_refused_and_why() -> None:
    rows = page(PAGE).table("file", "from", "what it is", "operation")
    assert [(row[0], row[3].strip("`")) for row in rows] == [(file.name, file.lacks) for file in ZOO if file.lacks]


def test_every_wheel_of_the_extra_is_used() -> None:
    assert requirements().keys() == {file.wheel for file in ZOO}
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", each) for each in requirements().values())

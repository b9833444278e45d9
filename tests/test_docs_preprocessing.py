"""docs/PREPROCESSING.md names every step and value; its file is one."""

from __future__ import annotations

import tomllib
from typing import Any, Final, get_args

from protocol.messages import preprocessing as messages
from publisher.learning.preprocessing.declaration import preprocessing_from
from tests.pages import page

PAGE: Final = page("docs/PREPROCESSING.md")


def records(kinds: Any) -> list[Any]:
    return list(get_args(get_args(kinds)[0]))


def test_every_step_and_raw_input_is_told_with_its_values() -> None:
    rows = {line.split("`")[1]: line for line in PAGE.text.splitlines() if line.startswith("| `")}
    for kinds, name in ((messages.Step, "step"), (messages.Raw, "kind")):
        for record in records(kinds):
            fields = dict(record.model_fields)
            row = rows[fields.pop(name).default]
            assert [field for field in fields if f"`{field}`" not in row] == []
    assert {*messages.STEP_NAMES} <= {*rows}


def test_the_file_on_the_page_is_a_preprocessing() -> None:
    (fence,) = (fence for fence in PAGE.fences if fence.info == "toml preprocessing")
    assert len(preprocessing_from(tomllib.loads(fence.text), "the page").inputs[0].steps) == 2

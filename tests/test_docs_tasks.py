"""docs/TASKS.md names every task, form, measure and role that there is."""

from __future__ import annotations

from pathlib import Path

from protocol.messages.contract import Contract, TaskDeclaration, Tensor
from protocol.tasks.selection import TASKS, task_of
from publisher.learning.tasks.declaration import FORMS, ROLES, parse_task

PAGE = (Path(__file__).parents[1] / "docs" / "TASKS.md").read_text(encoding="utf-8")


def test_every_task_form_and_measure_is_told() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    outputs = tuple(Tensor(name=name, shape=(1, 4, 4)) for name in "ab")
    for name in TASKS:
        assert f"`{name}`" in PAGE
        for form in FORMS.get(name, ("",)):
            assert not form or f"`{form}`" in PAGE, form
            declared = TaskDeclaration(name=name, form=form)
            task = task_of(Contract(inputs=outputs[:1], outputs=outputs, task=declared))
            assert task.measure in PAGE, form
    assert len(rows) >= len(TASKS)


def test_every_role_is_told() -> None:
    told = PAGE[PAGE.index("## Roles") : PAGE.index("## How alike")]
    assert {role for roles in ROLES.values() for role in roles} <= {word.strip("`,;") for word in told.split()}


def test_the_examples_are_tasks() -> None:
    given = [
        line.split("--task ")[1].split()[0] for line in PAGE.splitlines() if "--task " in line and "publisher" in line
    ]
    assert [parse_task(each).name for each in given] == ["classification", "detection"]

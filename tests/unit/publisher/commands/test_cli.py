"""The table of commands, and the common options before and after a command."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from protocol.host.command_line import LazyCommand
from publisher.cli import LazyPublisherCommand, make_group
from publisher.commands.common_options import NAMES


def commands() -> dict[str, LazyCommand]:
    """Every command by its path, such as `rollout show`."""
    found: dict[str, Any] = {}
    for name, command in make_group().commands.items():
        below = command.commands if isinstance(command, TyperGroup) else {}
        found |= {f"{name} {each}": lazy for each, lazy in below.items()} or {name: command}
    return {name: lazy for name, lazy in found.items() if isinstance(lazy, LazyCommand)}


@pytest.mark.parametrize(("name", "lazy"), commands().items(), ids=str)
def test_the_help_of_a_command_is_the_one_of_the_table(name: str, lazy: LazyCommand) -> None:
    assert lazy.command.help == lazy.help, name


@pytest.mark.parametrize("words", [("--json", "-v", "pin"), ("pin", "--json", "-v"), ("--json", "pin", "-v")])
def test_a_common_option_may_stand_before_and_after_the_command(words: tuple[str, ...]) -> None:
    group = make_group()
    outer = group.make_context("publisher", list(words))
    _, lazy, rest = group.resolve_command(outer, [*outer._protected_args, *outer.args])
    assert lazy is not None
    context = lazy.make_context("pin", [*rest, "digits", "1.0.0", "pi-1"], parent=outer)
    values = context.common_values()  # type: ignore[attr-defined] # a CommandContext
    assert (values["as_json"], values["verbose"], values["broker"]) == (True, True, None)
    assert not context.params.keys() & set(NAMES)


def test_a_command_that_cannot_be_imported_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        LazyPublisherCommand("lost", "no_such_module:lost", "").make_context("lost", [])
    assert "no_such_module" in capsys.readouterr().err

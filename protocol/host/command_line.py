"""Command lines whose commands are imported when invoked, and errors in plain words.

So `--help` is fast, and a command imports only what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from protocol.errors import FerryError


class LazyCommand(TyperCommand):
    """Stands for a command in `--help`, and imports it when it is invoked.

    `target`: its `module:attribute`; `attributes`: of the real command, for Typer.
    """

    def __init__(self, name: str, target: str, text: str, **attributes: Any) -> None:
        super().__init__(name, help=text)
        self._target, self._attributes = target, attributes

    @cached_property
    def command(self) -> Any:
        """The real command."""
        module, _, attribute = self._target.partition(":")
        app = typer.Typer(add_completion=False)
        app.command(self.name, **self._attributes)(getattr(import_module(module), attribute))
        return typer.main.get_command(app)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments with the real command, which the context then invokes."""
        return self.command.make_context(info_name, args, parent, **extra)


def command_group(
    text: str,
    options: Callable[..., None],
    commands: Iterable[LazyCommand],
    *,
    help_flags: list[str],
    **attributes: Any,
) -> TyperGroup:
    """A group of commands; the parameters of `options` are its own options."""
    app = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": help_flags}, **attributes)
    app.callback(help=text)(options)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)  # it has a callback
    for command in commands:
        group.add_command(command)
    return group


def plain_error(error: Exception, *, report: str) -> FerryError:
    """The error as a user reads it; `report`: what to do about a fault of ours."""
    if isinstance(error, FerryError):
        return error
    if isinstance(error, OSError):
        return FerryError(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    return FerryError(f"{type(error).__name__}: {error}", hint=f"this is a fault of EdgeFerry; {report}")


def print_error(error: FerryError) -> None:
    """Print the message and the hint on standard error."""
    typer.echo(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""), err=True)

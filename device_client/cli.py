"""The `device-client` command line: the table of its commands, and exit codes.

A command's module is imported when the command is invoked, so that `--help` needs
neither numpy nor the runtime.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from protocol.errors import FerryError

HELP: Final = "Keeps the models of this device up to date over MQTT, and answers for them."
COMMANDS: Final[Mapping[str, str]] = {
    "run": "Run this device until it is stopped with Ctrl-C or SIGTERM.",
    "status": "What this device runs, what it is about to do, and why. Needs no broker.",
    "why": "Why is this device not updating? What runs, what is asked, what stands in the way. Needs no broker.",
    "predict": "Ask the installed model about one row of a file. Needs no broker.",
    "doctor": "Try everything that this device needs; say what to type where something is not well."
    " Exit code 1 if it is bad.",
}
"""Each command with the first paragraph of its help.

Its module is `device_client.commands.NAME`, its function has the same name.
"""


class LazyDeviceCommand(TyperCommand):
    """Stands for a command in `--help`, and imports it when it is invoked."""

    def load(self) -> Any:
        """Import the command."""
        app = typer.Typer(add_completion=False)
        app.command(self.name)(getattr(import_module(f"device_client.commands.{self.name}"), str(self.name)))
        return typer.main.get_command(app)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments with the real command, which the context then invokes."""
        return self.load().make_context(info_name, args, parent, **extra)


def make_group() -> TyperGroup:
    """The command line, with no command imported."""
    app = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
    app.callback(help=HELP)(lambda: None)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)  # because of the callback
    for name, first_paragraph in COMMANDS.items():
        group.add_command(LazyDeviceCommand(name, help=first_paragraph))
    return group


def main() -> NoReturn:
    """Run a command; an error that a user can cause is one line and its exit code."""
    try:
        make_group()(standalone_mode=True)
    except FerryError as refused:
        typer.echo(f"error: {refused.message}", err=True)
        if refused.hint:
            typer.echo(f"hint: {refused.hint}", err=True)
        sys.exit(refused.exit_code)
    except BrokenPipeError:  # `device-client status | head`
        sys.exit(0)
    except OSError as failed:
        where = f": {failed.filename}" if failed.filename else ""
        typer.echo(f"error: {failed.strerror or failed}{where}", err=True)
        sys.exit(FerryError.exit_code)
    except Exception as bug:  # a sentence for the user; -v logs the traceback
        logging.getLogger(__name__).debug("unexpected error", exc_info=True)
        typer.echo(f"error: {type(bug).__name__}: {bug}", err=True)
        typer.echo("hint: this is a fault of EdgeFerry; please report it", err=True)
        sys.exit(FerryError.exit_code)
    sys.exit(0)

"""The `device-client` command line: the table of its commands, and exit codes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Final, NoReturn

from typer.core import TyperGroup

from protocol.errors import FerryError
from protocol.host.command_line import LazyCommand, command_group, plain_error, print_error

HELP: Final = "Keeps the models of this device up to date over MQTT, and answers for them."
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "run": ("run:run", "Run this device until it is stopped with Ctrl-C or SIGTERM."),
    "status": ("status:status", "What this device runs, what it is about to do, and why. Needs no broker."),
    "why": (
        "explain:explain",
        "Why is this device not updating? What runs, what is asked, what stands in the way. Needs no broker.",
    ),
    "predict": (
        "predict:predict",
        "Ask an installed model about one picture, or one row of a file. Needs no broker.",
    ),
    "doctor": (
        "doctor:doctor",
        "Try everything that this device needs; say what to type where something is not well."
        " Exit code 1 if it is bad.",
    ),
}
"""Each command: `module:function` in `commands`, first paragraph of its help."""


def make_group() -> TyperGroup:
    """The command line, with no command imported."""
    commands = (
        LazyCommand(name, f"device_client.commands.{target}", text) for name, (target, text) in COMMANDS.items()
    )
    return command_group(HELP, lambda: None, commands, help_flags=["-h", "--help"])


def main() -> NoReturn:
    """Run a command; an error that a user can cause is one line and its exit code."""
    try:
        make_group()(standalone_mode=True)
    except BrokenPipeError:  # `device-client status | head`
        sys.exit(0)
    except Exception as error:  # a sentence for the user; -v logs the traceback
        if not isinstance(error, FerryError | OSError):
            logging.getLogger(__name__).debug("unexpected error", exc_info=True)
        plain = plain_error(error, report="please report it")
        print_error(plain)
        sys.exit(plain.exit_code)
    sys.exit(0)

"""What commands share: common options, `CommandContext` for results, plain errors.

The common options may stand before or after the command's name. They are declared
once, as parameters of `common_options`; `PublisherCommand` adds them to every command.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console, RenderableType
from rich.text import Text
from typer.core import TyperCommand

from protocol.errors import FerryError, MissingPart, NoRoom
from protocol.host.command_line import plain_error, print_error
from publisher.commands.interrupt import interrupt_between_imports
from publisher.operations.progress import Progress
from publisher.settings import KEYS, Settings
from publisher.views.progress_bars import progress_for

INTERRUPTED: Final = 130
UNEXPECTED: Final = 1
BROKER_HELP: Final = "mqtt://user:password@host:port, or mqtts:// (default: mqtt://127.0.0.1:1883)"
NAMES: Final = (*KEYS, "as_json", "verbose")


def _option(flags: str, metavar: str | None, text: str) -> Any:
    return typer.Option(
        *flags.split(), help=text, metavar=metavar, rich_help_panel="Common options", show_default=False
    )


def common_options(
    broker: Annotated[str | None, _option("--broker", "URL", BROKER_HELP)] = None,
    registry: Annotated[str | None, _option("--registry", "FOLDER", "the registry (default: registry)")] = None,
    root: Annotated[
        str | None, _option("--root", "NAME", "root of all topics (default: the registry's own, fleet)")
    ] = None,
    wait: Annotated[
        str | None, _option("--wait", "SECONDS", "for another command that is at work (default: 300)")
    ] = None,
    ca: Annotated[str | None, _option("--ca", "FILE", "who vouches for the broker, in PEM")] = None,
    cert: Annotated[str | None, _option("--cert", "FILE", "our certificate for the broker, in PEM")] = None,
    key: Annotated[str | None, _option("--key", "FILE", "its private key")] = None,
    as_json: Annotated[bool, _option("--json", None, "print one JSON document")] = False,
    verbose: Annotated[bool, _option("--verbose -v", None, "tell everything, tracebacks too")] = False,
) -> None:
    """Declares the options. `CommandContext` reads their values."""


class CommandContext(typer.Context):
    settings: Settings
    as_json: bool
    verbose: bool

    def common_values(self) -> dict[str, Any]:
        """Take the common options out of `params`; the last on the line counts."""
        values = {name: self.params.pop(name) for name in NAMES}
        outer: Any = self.parent
        while outer is not None:
            values = {name: value or outer.params.get(name, value) for name, value in values.items()}
            outer = outer.parent
        return values

    def progress(self) -> Progress:
        return progress_for()

    def show(self, facts: Mapping[str, Any], text: Callable[[], RenderableType]) -> None:
        """Print a result on standard output: `facts` with --json, else `text`."""
        if self.as_json:
            sys.stdout.write(json.dumps(facts) + "\n")
            sys.stdout.flush()
            return
        shown = text()  # paths in sentences are left to the terminal to wrap
        Console(highlight=False, emoji=False, markup=False).print(shown, soft_wrap=isinstance(shown, Text))


class PublisherCommand(TyperCommand):
    """A command with the common options.

    Typer reads its own options from a function, which is called with them; or from a
    dataclass, for many of them, whose method `run(ctx)` is then called.
    """

    context_class = CommandContext

    def __init__(self, name: str | None, *, params: Any, **attributes: Any) -> None:
        super().__init__(name, params=[*params, *_common_params()], **attributes)

    def invoke(self, ctx: Any) -> None:
        values = ctx.common_values()
        ctx.as_json, ctx.verbose = values["as_json"], values["verbose"]
        with plain_errors(verbose=ctx.verbose):
            ctx.settings = Settings.read(values, os.environ)
            _start_logging(verbose=ctx.verbose)
            options = super().invoke(ctx)
            if options is not None:
                options.run(ctx)


@contextmanager
def plain_errors(*, verbose: bool) -> Iterator[None]:
    """Turn an exception of the block into one message, a hint, and an exit code."""
    try:
        with interrupt_between_imports():
            yield
    except KeyboardInterrupt:
        sys.stderr.write("error: stopped\n")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the flush at exit: the reader has gone
        raise typer.Exit(UNEXPECTED) from None
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:  # noqa: BLE001 - the last resort: the user gets a sentence, and -v the traceback
        if verbose:
            traceback.print_exception(error)
        plain = _plain_error(error)
        print_error(plain)
        raise typer.Exit(plain.exit_code) from None


def _plain_error(error: Exception) -> FerryError:
    if isinstance(error, ModuleNotFoundError):
        hint = "install what a publisher needs: pip install 'edgeferry[publisher]'"
        return MissingPart(f"the library {error.name} is not installed", hint=hint)
    plain = plain_error(error, report="run it again with -v and report what it says")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoom(plain.message, hint="free some space and run it again")
    return plain


def _common_params() -> list[Any]:
    app = typer.Typer(add_completion=False)
    app.callback()(common_options)
    return typer.main.get_command(app).params


def _start_logging(*, verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )

"""What all commands share: options that may stand anywhere on the line, one way to show results, one way to fail."""

from __future__ import annotations

import errno
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from protocol.errors import FerryError, MissingPart, NoRoom
from publisher.commands import interrupt as interruption
from publisher.settings import KEYS, Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from publisher.operations.progress import Progress

Command = Callable[..., None]
INTERRUPTED: Final = 130
UNFORESEEN: Final = 1
_PANEL: Final = "Common options"


def _option(*names: str, text: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=_PANEL, show_default=False)


_OPTIONS: Final[dict[str, Any]] = {
    "broker": Annotated[
        str | None, _option("--broker", metavar="URL", text="mqtt://user:password@host:port, or mqtts:// (default: mqtt://127.0.0.1:1883)")
    ],
    "registry": Annotated[str | None, _option("--registry", metavar="FOLDER", text="the registry (default: registry)")],
    "root": Annotated[
        str | None, _option("--root", metavar="NAME", text="root of all topics (default: the registry's own, fleet)")
    ],
    "wait": Annotated[
        str | None, _option("--wait", metavar="SECONDS", text="for another command that is at work (default: 300)")
    ],
    "ca": Annotated[str | None, _option("--ca", metavar="FILE", text="who vouches for the broker, in PEM")],
    "cert": Annotated[str | None, _option("--cert", metavar="FILE", text="our certificate for the broker, in PEM")],
    "key": Annotated[str | None, _option("--key", metavar="FILE", text="its private key")],
    "as_json": Annotated[bool, _option("--json", text="print one JSON document")],
    "verbose": Annotated[bool, _option("--verbose", "-v", text="tell everything, tracebacks too")],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Common:
    """What the common options say."""

    settings: Settings
    as_json: bool
    verbose: bool

    def progress(self) -> Progress:
        """Who tells on standard error how it goes."""
        from publisher.views.progress_bars import progress_for

        return progress_for()

    def show(self, facts: Mapping[str, Any], text: Callable[[], RenderableType]) -> None:
        """Print a result on standard output: `facts` as JSON where that is wanted, else `text`."""
        if self.as_json:
            sys.stdout.write(json.dumps(facts) + "\n")
            sys.stdout.flush()
            return
        from rich.console import Console
        from rich.text import Text

        shown = text()  # sentences with paths in them are left to the terminal to wrap
        Console(highlight=False, emoji=False, markup=False).print(shown, soft_wrap=isinstance(shown, Text))


def command(app: typer.Typer, name: str) -> Callable[[Command], Command]:
    """Register a function as a command. Its first argument is the `Common`; the others are typer's as usual."""

    def register(function: Command) -> Command:
        def run(ctx: typer.Context, **given: Any) -> None:
            told = _merged(ctx, given)
            with plainly(verbose=told["verbose"]):
                settings = Settings.read({key: told[key] for key in KEYS}, os.environ)
                _begin_logging(verbose=told["verbose"])
                function(Common(settings, told["as_json"], told["verbose"]), **given)

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        _dress(run, own, function.__doc__)
        app.command(name)(run)
        return function

    return register


def options_on(app: typer.Typer, text: str) -> None:
    """Let the common options stand before the command's name too."""

    def remember(ctx: typer.Context, **given: Any) -> None:
        ctx.obj = _merged(ctx, given)

    _dress(remember, [], text)
    app.callback()(remember)


@contextmanager
def plainly(*, verbose: bool) -> Iterator[None]:
    """End the command with one plain message and its exit code when something goes wrong in the block."""
    try:
        with interruption.between_imports():
            yield
    except FerryError as trouble:
        _fail(trouble.message, trouble.hint, trouble.exit_code, trouble if verbose else None)
    except KeyboardInterrupt:
        _fail("stopped", "", INTERRUPTED, None)
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the flush at exit: whoever read has gone
        raise typer.Exit(UNFORESEEN) from None
    except ModuleNotFoundError as missing:
        hint = "install what a publisher needs: pip install 'edgeferry[publisher]'"
        _fail(f"the library {missing.name} is not installed", hint, MissingPart.exit_code, missing if verbose else None)
    except OSError as trouble:
        full = trouble.errno in (errno.ENOSPC, errno.EDQUOT)
        what = trouble.strerror or str(trouble)
        where = f": {trouble.filename}" if trouble.filename else ""
        hint, code = ("free some space and run it again", NoRoom.exit_code) if full else ("", UNFORESEEN)
        _fail(f"{what}{where}", hint, code, trouble if verbose else None)
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as bug:  # noqa: BLE001 - the last door: a person gets a sentence, and -v the traceback
        hint = "this is a fault of EdgeFerry; run it again with -v and report what it says"
        _fail(f"{type(bug).__name__}: {bug}", hint, UNFORESEEN, bug if verbose else None)


def _fail(message: str, hint: str, exit_code: int, trouble: BaseException | None) -> None:
    if trouble is not None:
        import traceback

        traceback.print_exception(trouble)
    sys.stderr.write(f"error: {message}\n" + (f"hint: {hint}\n" if hint else ""))
    raise typer.Exit(exit_code) from None


def _merged(ctx: typer.Context, given: dict[str, Any]) -> dict[str, Any]:
    """Take the common options out of `given`; what stands later on the line counts."""
    earlier: dict[str, Any] = ctx.obj or {}
    told = {key: given.pop(key) for key in _OPTIONS}
    return {key: value or earlier.get(key, value) for key, value in told.items()}


def _dress(function: Any, own: list[inspect.Parameter], text: str | None) -> None:
    """Give a function the signature that typer reads."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    common = [
        inspect.Parameter(name, keyword, annotation=kind, default=False if name in ("as_json", "verbose") else None)
        for name, kind in _OPTIONS.items()
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *(parameter.replace(kind=keyword) for parameter in own), *common]
    function.__signature__ = inspect.Signature(parameters)
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    function.__doc__ = text


def _begin_logging(*, verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )

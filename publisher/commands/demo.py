"""demo: the whole road, told as a story."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from publisher.commands.common_options import Common, command

if TYPE_CHECKING:
    from publisher.demo.story import Findings

FOLD: Final = 76  # and two of indent: the story is told at 80 columns


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "demo")(demo)


def demo(
    common: Common,
    embedded: Annotated[bool, typer.Option("--embedded", help="use our own broker even where mosquitto is")] = False,
    stay: Annotated[bool, typer.Option("--stay", help="leave broker and devices running until Ctrl-C")] = False,
    keep: Annotated[
        Path | None, typer.Option(help="an empty folder to work in and leave as it is", show_default="a temporary one")
    ] = None,
) -> None:
    """Show it all on this machine: three devices, a good release, a better one, and a bad one refused."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="edgeferry-demo-") as folder:
            _tell_story(common, Path(folder), embedded=embedded, stay=stay)
        return
    _check_empty(keep)
    _tell_story(common, keep, embedded=embedded, stay=stay)


def _tell_story(common: Common, folder: Path, *, embedded: bool, stay: bool) -> None:
    from publisher.demo.story import tell_story

    def tell(text: str) -> None:
        """Stdout is the story, unless a program reads it."""
        stream = sys.stderr if common.as_json else sys.stdout
        stream.write(f"{text}\n")
        stream.flush()

    def show(found: Findings, url: str) -> None:
        if common.as_json:
            sys.stdout.write(json.dumps(found.as_dict()) + "\n")
            sys.stdout.flush()
        else:
            _show(found)
        if stay:
            tell(f"\nBroker {url} and the devices stay until Ctrl-C; their logs are in {folder}.")
            _until_interrupted()

    found = tell_story(folder, common.progress(), tell, embedded=embedded, show=show)
    raise typer.Exit(0 if found.came_true else 1)


def _show(found: Findings) -> None:
    from rich.console import Console

    from publisher.views.tables import fleet

    console = Console(highlight=False, emoji=False, markup=False)
    console.print("\nThe fleet, as `publisher status` shows it:")
    console.print(fleet(found.rows))
    for what, (topic, line) in (("A refusal", found.event), ("A window of feedback", found.feedback)):
        console.print(f"\n{what}, as it stood on {topic}:")
        text = line.decode()  # one line on the wire; folded here
        for at in range(0, len(text), FOLD):
            console.print(f"  {text[at : at + FOLD]}", soft_wrap=True)
    accuracies = [
        f"{version}: {accuracy:.1%}"
        for version, accuracy in (("1.0.0", found.accuracy_1_0_0), ("1.1.0", found.accuracy_1_1_0))
        if accuracy is not None
    ]
    console.print(
        f"\n{found.inferences:,} inferences, {found.failed_inferences} failed;"
        f" right where the truth was told: {', '.join(accuracies)}."
    )
    console.print("It all came true." if found.came_true else "It did NOT come true as told.", style="bold")


def _check_empty(folder: Path) -> None:
    from protocol.errors import BadInput

    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as refused:
        raise BadInput(f"{folder} cannot be used: {refused.strerror}", hint="choose another --keep") from None
    if taken:
        raise BadInput(f"{folder} is not empty", hint="choose another --keep")


def _until_interrupted() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        return

"""demo: a fleet on this machine, from the first release to a refused one."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from protocol.errors import BadInput
from publisher.commands.common_options import CommandContext
from publisher.demo.scenario import Findings, run_scenario
from publisher.views.tables import fleet_table

FOLD: Final = 76  # columns, beside an indent of two


def demo(
    ctx: CommandContext,
    embedded: Annotated[bool, typer.Option("--embedded", help="use our own broker even where mosquitto is")] = False,
    stay: Annotated[bool, typer.Option("--stay", help="leave broker and devices running until Ctrl-C")] = False,
    keep: Annotated[
        Path | None, typer.Option(help="an empty folder to work in and leave as it is", show_default="a temporary one")
    ] = None,
) -> None:
    """Run the demo in a temporary folder, or in `keep`."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="edgeferry-demo-") as folder:
            _run(ctx, Path(folder), embedded=embedded, stay=stay)
        return
    _check_empty(keep)
    _run(ctx, keep, embedded=embedded, stay=stay)


def _run(ctx: CommandContext, folder: Path, *, embedded: bool, stay: bool) -> None:
    def narrate(text: str) -> None:
        stream = sys.stderr if ctx.as_json else sys.stdout
        stream.write(f"{text}\n")
        stream.flush()

    def on_findings(findings: Findings, url: str) -> None:
        if ctx.as_json:
            sys.stdout.write(json.dumps(findings.as_dict()) + "\n")
            sys.stdout.flush()
        else:
            _show(findings)
        if stay:
            narrate(f"\nBroker {url} and the devices stay until Ctrl-C; their logs are in {folder}.")
            _until_interrupted()

    findings = run_scenario(folder, ctx.progress(), narrate, embedded=embedded, on_findings=on_findings)
    raise typer.Exit(0 if findings.came_true else 1)


def _show(findings: Findings) -> None:
    console = Console(highlight=False, emoji=False, markup=False)
    console.print("\nThe fleet, as `publisher status` shows it:")
    console.print(fleet_table(findings.rows))
    for what, (topic, line) in (("A refusal", findings.event), ("A window of feedback", findings.feedback)):
        console.print(f"\n{what}, as it stood on {topic}:")
        text = line.decode()  # one line on the wire; folded here
        for at in range(0, len(text), FOLD):
            console.print(f"  {text[at : at + FOLD]}", soft_wrap=True)
    accuracies = [
        f"{version}: {accuracy:.1%}"
        for version, accuracy in (("1.0.0", findings.accuracy_1_0_0), ("1.1.0", findings.accuracy_1_1_0))
        if accuracy is not None
    ]
    console.print(
        f"\n{findings.inferences:,} inferences, {findings.failed_inferences} failed;"
        f" accuracy where labels were given: {', '.join(accuracies)}."
    )
    console.print(
        "Everything happened as announced." if findings.came_true else "It did NOT happen as announced.", style="bold"
    )


def _check_empty(folder: Path) -> None:
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

"""serve, prune: restore what the broker lost, and clear what is no longer needed."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer
from rich.text import Text

from protocol.sizes import size_text
from publisher.commands.common_options import CommandContext
from publisher.commands.value_parsers import counted
from publisher.operations import prune as operation
from publisher.operations.context import open_context
from publisher.operations.serve.effects import ReconcileEffects
from publisher.operations.serve.service import Service


def serve(ctx: CommandContext) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    if not ctx.verbose:
        logging.getLogger().setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _raise_interrupt)
    with open_context(ctx.settings, ctx.progress(), broker=False) as context:
        service = Service(context, ReconcileEffects(context))
        logging.getLogger(__name__).info("serving %s", ctx.settings.registry)
        with suppress(KeyboardInterrupt):  # a normal end: unfinished work can be repeated
            service.run()
    counters = service.counters
    text = f"stopped; put {counted(counters.chunks, 'chunk')} and {counted(counters.announcements, 'announcement')}"
    ctx.show(asdict(counters), lambda: Text(text))


def prune(
    ctx: CommandContext,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be cleared")] = False,
) -> None:
    """Clear chunks and files that are not needed."""
    with open_context(ctx.settings, ctx.progress(), broker=True) as context:
        pruned = operation.prune(context, dry_run=dry_run)
    verb = "would clear" if dry_run else "cleared"
    files = f"{counted(pruned.blobs, 'file')} ({size_text(pruned.blob_bytes)}) from the registry"
    text = f"{verb} {counted(pruned.chunks, 'chunk')} from the broker and {files}"
    ctx.show(asdict(pruned), lambda: Text(text))


def _raise_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt

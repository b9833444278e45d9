"""serve, prune: what keeps a fleet's broker whole and tidy."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer

from publisher.commands.common_options import Common, command
from publisher.commands.value_parsers import counted


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "serve")(serve)
    command(app, "prune")(prune)


def serve(common: Common) -> None:
    """Stay, and keep the broker whole: put back what it lost, answer devices, renew signatures."""
    from rich.text import Text

    from publisher.operations.context import open_context
    from publisher.operations.serve.effects import ReconcileEffects
    from publisher.operations.serve.service import Service

    if not common.verbose:
        logging.getLogger().setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _stop)
    with open_context(common.settings, common.progress(), broker=False) as context:
        service = Service(context, ReconcileEffects(context))
        logging.getLogger(__name__).info("serving %s", common.settings.registry)
        with suppress(KeyboardInterrupt):  # a clean end: whatever was under way can be done again
            service.run()
    served = service.counters
    text = f"stopped; put {counted(served.chunks, 'chunk')} and {counted(served.announcements, 'announcement')}"
    common.show(asdict(served), lambda: Text(text))


def prune(
    common: Common,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be cleared")] = False,
) -> None:
    """Clear the broker of chunks, and the registry of files, that no plan or version needs."""
    from rich.text import Text

    from publisher.operations.context import open_context
    from publisher.operations.prune import prune as carry_out
    from publisher.views import tables

    with open_context(common.settings, common.progress(), broker=True) as context:
        pruned = carry_out(context, dry_run=dry_run)
    verb = "would clear" if dry_run else "cleared"
    files = f"{counted(pruned.blobs, 'file')} ({tables.size(pruned.blob_bytes)}) from the registry"
    text = f"{verb} {counted(pruned.chunks, 'chunk')} from the broker and {files}"
    common.show(asdict(pruned), lambda: Text(text))


def _stop(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt

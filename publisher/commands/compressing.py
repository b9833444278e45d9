"""compress: every way to make a model smaller, and what each costs, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publisher.commands.common import Common, command

RECIPE = "digits"
DISTILL_SEEDS = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "compress")(compress)


def compress(
    common: Common,
    out: Annotated[Path, typer.Option(help="a folder for the files, ladder.json and report.html", show_default=False)],
    recipe: Annotated[str, typer.Option(help="a built-in recipe or a .py file")] = RECIPE,
    rungs: Annotated[
        str | None, typer.Option(help="such as float32,int8,pruned-80-int8; float32 is always made", show_default="all")
    ] = None,
    sparsity: Annotated[
        list[int] | None, typer.Option(help="prune this many percent too, 1-99; may be repeated", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="of all that is random", show_default="the recipe's")] = None,
    epochs: Annotated[int | None, typer.Option(help="how long to train", show_default="the recipe's")] = None,
    distill_seeds: Annotated[
        int, typer.Option(help="compare the student with and without its teacher over so many seeds; 1 does not")
    ] = DISTILL_SEEDS,
) -> None:
    """Train a recipe, compress it in every way, and measure what each way costs. Releases nothing."""
    from publisher.operations.compress import Compression
    from publisher.operations.compress import compress as carry_out
    from publisher.views.ladder import ladder

    if common.verbose:
        from publisher.learning.quiet import be_verbose

        be_verbose()
    named = tuple(name.strip() for name in rungs.split(",") if name.strip()) if rungs else ()
    compression = Compression(recipe, named, tuple(sparsity or ()), seed, epochs, distill_seeds)
    made = carry_out(compression, out, common.voice())
    common.show({"files": [str(path) for path in made.files], **made.facts}, lambda: ladder(made.facts, out))

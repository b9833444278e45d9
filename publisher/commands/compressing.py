"""compress: every way to make a model smaller, and what each costs, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import BadInput
from publisher.commands.common import Common, command

if TYPE_CHECKING:  # it imports numpy
    from publisher.learning.continuing import Start

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
    from_version: Annotated[
        str | None,
        typer.Option("--from", metavar="VERSION", help="go on from this version", show_default="from scratch"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="whose version --from means", show_default="the recipe's name")
    ] = None,
    distill_seeds: Annotated[
        int,
        typer.Option(help="compare the student with and without its teacher over so many seeds; 1 and --from do not"),
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
    if model is not None and from_version is None:
        raise BadInput("--model goes with --from", hint="leave it out: a ladder has no name")
    start = _start(common, model, from_version, recipe) if from_version else None
    compression = Compression(recipe, named, tuple(sparsity or ()), seed, epochs, distill_seeds, start)
    made = carry_out(compression, out, common.voice())
    common.show({"files": [str(path) for path in made.files], **made.facts}, lambda: ladder(made.facts, out))


def _start(common: Common, model: str | None, version: str, recipe: str) -> Start:
    from publisher.adapters.registry import Registry
    from publisher.operations.history import start_from
    from publisher.operations.train import recipe_name

    name = recipe_name(recipe)
    with Registry.open(common.settings.registry) as registry:
        return start_from(registry, model or name, version, name)

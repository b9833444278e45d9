"""compress: every way to make a model smaller, and what each costs, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import BadInput
from publisher.commands.common_options import Common, command

if TYPE_CHECKING:  # it imports numpy
    from publisher.learning.training.warm_start import WarmStart

RECIPE = "digits"
DISTILL_SEEDS = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "compress")(compress)


def compress(
    common: Common,
    out: Annotated[Path, typer.Option(help="a folder for the files, ladder.json and report.html", show_default=False)],
    recipe: Annotated[str | None, typer.Option(help="a built-in recipe or a .py file", show_default=RECIPE)] = None,
    keras: Annotated[
        Path | None,
        typer.Option(help="a .h5 or .keras file or a SavedModel folder, instead of a recipe", show_default=False),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="an .npz for a Keras file: samples x and their classes y", show_default=False)
    ] = None,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="open a Keras file that holds Python code, which can do anything")
    ] = False,
    tflite: Annotated[Path | None, typer.Option(hidden=True)] = None,
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
    """Train a recipe or take a Keras file, compress it in every way, and measure what each costs. Releases nothing."""
    from publisher.operations.release.compress import Compression, KerasFile
    from publisher.operations.release.compress import compress as carry_out
    from publisher.views.ladder_table import ladder

    if common.verbose:
        from publisher.learning.quiet_tensorflow import show_tensorflow_output

        show_tensorflow_output()
    _check_one_source(
        {"--recipe": recipe, "--from": from_version, "--model": model},
        {"--data": data, "--trust-code": trust_code or None},
        keras,
        tflite,
    )
    if model is not None and from_version is None:
        raise BadInput("--model goes with --from", hint="leave it out: a ladder has no name")
    named = tuple(name.strip() for name in rungs.split(",") if name.strip()) if rungs else ()
    start = _start(common, model, from_version, recipe or RECIPE) if from_version else None
    brought = KerasFile(keras, data, trust_code) if keras and data else None
    compression = Compression(
        recipe or RECIPE, named, tuple(sparsity or ()), seed, epochs, distill_seeds, start, brought
    )
    made = carry_out(compression, out, common.progress())
    common.show({"files": [str(path) for path in made.files], **made.facts}, lambda: ladder(made.facts, out))


def _check_one_source(
    of_recipe: dict[str, object], of_file: dict[str, object], keras: Path | None, tflite: Path | None
) -> None:
    """Refuse flags that do not go together, by the values of those that go with one source alone."""
    if tflite is not None:
        raise BadInput(
            f"{tflite.name} has no layers that could be pruned, clustered or quantized: its ladder has one rung",
            hint="publisher release MODEL --version VERSION --tflite FILE --data FILE measures and ships it;"
            " for more rungs give the Keras file that it was made from, with --keras",
        )
    for flag, value in (of_file if keras is None else of_recipe).items():
        if value is not None:
            raise BadInput(
                f"{flag} goes with --keras" if keras is None else f"{flag} does not go with --keras",
                hint="a recipe loads its own data" if flag == "--data" else "leave it out",
            )
    if keras is not None and of_file["--data"] is None:
        raise BadInput("--keras needs --data", hint="an .npz of samples x and their classes y, to train and measure on")


def _start(common: Common, model: str | None, version: str, recipe: str) -> WarmStart:
    from publisher.adapters.registry import Registry
    from publisher.operations.release.train import recipe_name
    from publisher.operations.release.training_history import start_from

    name = recipe_name(recipe)
    with Registry.open(common.settings.registry) as registry:
        return start_from(registry, model or name, version, name)

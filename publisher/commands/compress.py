"""compress: every way to make a model smaller, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import BadInput
from publisher.adapters.registry import Registry
from publisher.commands.common_options import CommandContext
from publisher.commands.train import RECIPE, Epochs, FromVersion
from publisher.learning.quiet_tensorflow import show_tensorflow_output
from publisher.learning.training.warm_start import WarmStart
from publisher.operations.release.compress import Compression, KerasFile, compress
from publisher.operations.release.train import recipe_name
from publisher.operations.release.training_history import warm_start
from publisher.views.ladder_table import ladder


@dataclass(frozen=True, slots=True)
class Compress:
    out: Annotated[Path, typer.Option(help="a folder for the files, ladder.json and report.html", show_default=False)]
    recipe: Annotated[str | None, typer.Option(help="a built-in recipe or a .py file", show_default=RECIPE)] = None
    keras: Annotated[
        Path | None,
        typer.Option(help="a .h5 or .keras file or a SavedModel folder, instead of a recipe", show_default=False),
    ] = None
    data: Annotated[
        Path | None, typer.Option(help="an .npz for a Keras file: samples x and their classes y", show_default=False)
    ] = None
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="open a Keras file that holds Python code, which can do anything")
    ] = False
    tflite: Annotated[Path | None, typer.Option(hidden=True)] = None
    rungs: Annotated[
        str | None, typer.Option(help="such as float32,int8,pruned-80-int8; float32 is always made", show_default="all")
    ] = None
    sparsity: Annotated[
        list[int] | None, typer.Option(help="prune this many percent too, 1-99; may be repeated", show_default=False)
    ] = None
    seed: Annotated[int | None, typer.Option(help="of all that is random", show_default="the recipe's")] = None
    epochs: Epochs = None
    from_version: FromVersion = None
    model: Annotated[str | None, typer.Option(help="whose version --from means", show_default="the recipe's name")] = (
        None
    )
    distill_seeds: Annotated[
        int,
        typer.Option(help="compare the student with and without its teacher over so many seeds; 1 and --from do not"),
    ] = 5

    def run(self, ctx: CommandContext) -> None:
        self._check()
        if ctx.verbose:
            show_tensorflow_output()
        compression = Compression(
            self.recipe or RECIPE,
            tuple(name.strip() for name in (self.rungs or "").split(",") if name.strip()),
            tuple(self.sparsity or ()),
            self.seed,
            self.epochs,
            self.distill_seeds,
            self._start(ctx),
            KerasFile(self.keras, self.data, self.trust_code) if self.keras and self.data else None,
        )
        made = compress(compression, self.out, ctx.progress())
        ctx.show({"files": [str(path) for path in made.files], **made.facts}, lambda: ladder(made.facts, self.out))

    def _check(self) -> None:
        if self.tflite is not None:
            raise BadInput(
                f"{self.tflite.name} has no layers that could be pruned, clustered or quantized:"
                " its ladder has one rung",
                hint="publisher release MODEL --version VERSION --tflite FILE --data FILE measures and ships it;"
                " for more rungs give the Keras file that it was made from, with --keras",
            )
        of_recipe = {"--recipe": self.recipe, "--from": self.from_version, "--model": self.model}
        of_file = {"--data": self.data, "--trust-code": self.trust_code or None}
        for flag, value in (of_file if self.keras is None else of_recipe).items():
            if value is not None:
                raise BadInput(
                    f"{flag} goes with --keras" if self.keras is None else f"{flag} does not go with --keras",
                    hint="a recipe loads its own data" if flag == "--data" else "leave it out",
                )
        if self.keras is not None and self.data is None:
            raise BadInput(
                "--keras needs --data", hint="an .npz of samples x and their classes y, to train and measure on"
            )
        if self.model is not None and self.from_version is None:
            raise BadInput("--model goes with --from", hint="leave it out: a ladder has no name")

    def _start(self, ctx: CommandContext) -> WarmStart | None:
        if not self.from_version:
            return None
        recipe = recipe_name(self.recipe or RECIPE)
        with Registry.open(ctx.settings.registry) as registry:
            return warm_start(registry, self.model or recipe, self.from_version, recipe)

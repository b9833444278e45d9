"""train; and the options of `train` and `release` for training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from publisher.commands.common_options import CommandContext
from publisher.learning.quiet_tensorflow import show_tensorflow_output
from publisher.operations.release import train as operation
from publisher.operations.release.train import Training, continued
from publisher.operations.release.training_history import open_history

Model = Annotated[str, typer.Argument(help="the model's name, such as digits", show_default=False)]
Epochs = Annotated[int | None, typer.Option(help="how long to train", show_default="the recipe's")]
Seed = Annotated[int | None, typer.Option(help="of all that is random in training", show_default="the recipe's")]
ScrambleLabels = Annotated[bool, typer.Option("--scramble-labels", hidden=True)]
FromVersion = Annotated[
    str | None, typer.Option("--from", metavar="VERSION", help="go on from this version", show_default="from scratch")
]
NewCalibration = Annotated[
    bool, typer.Option("--new-calibration", help="draw new samples for int8, not those of the version before")
]
RECIPE: Final = "digits"


def train(
    ctx: CommandContext,
    model: Model,
    recipe: Annotated[str, typer.Option(help="a built-in recipe or a .py file")] = RECIPE,
    epochs: Epochs = None,
    seed: Seed = None,
    from_version: FromVersion = None,
    new_calibration: NewCalibration = False,
    out: Annotated[Path | None, typer.Option(help="a folder", show_default="the model's name")] = None,
    scramble_labels: ScrambleLabels = False,
) -> None:
    """Train a recipe, and write its variants and metrics to a folder."""
    if ctx.verbose:
        show_tensorflow_output()
    progress, training = ctx.progress(), Training(recipe, epochs, seed, scramble_labels or None)
    with open_history(ctx.settings.registry, progress, required=from_version is not None) as registry:
        if registry is not None:
            training = continued(training, registry, model, from_version, new_calibration=new_calibration)
        trained = operation.train(model, training, out or Path(model), progress, registry)
    facts = {"files": [str(path) for path in trained.files], "training": trained.number, **trained.metrics}
    facts["repeats"] = trained.repetition.facts() if trained.repetition else None
    measure = trained.metrics["measure"]
    lines = [
        f"{name}: {numbers['size_bytes']:,} bytes, {measure} {numbers.get('accuracy', float('nan')):.3f}"
        for name, numbers in trained.metrics["variants"].items()
    ]
    ctx.show(facts, lambda: Text("\n".join([*lines, *(f"wrote {path}" for path in trained.files)])))

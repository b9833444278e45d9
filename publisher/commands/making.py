"""init, train, release: from nothing to a version that the fleet is offered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from protocol.errors import BadInput
from publisher.commands.common import Common, command
from publisher.commands.options import counted, duration_s, share

if TYPE_CHECKING:
    from publisher.operations.release import Make, Released

Model = Annotated[str, typer.Argument(help="the model's name, such as digits", show_default=False)]
Epochs = Annotated[int | None, typer.Option(help="how long to train", show_default="the recipe's")]
Seed = Annotated[int | None, typer.Option(help="of all that is random in training", show_default="the recipe's")]
Scrambled = Annotated[bool, typer.Option("--scramble-labels", hidden=True)]
RECIPE = "digits"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "init")(init)
    command(app, "train")(train)
    command(app, "release")(release)


def init(common: Common) -> None:
    """Make a registry: its folder, its keys, its root of trust."""
    from rich.text import Text

    from publisher.operations.init import init as found
    from publisher.operations.office import utc_now
    from publisher.settings import TOPIC_ROOT

    founded = found(common.settings.registry, topic_root=common.settings.root or TOPIC_ROOT, now=utc_now())
    facts = {
        "registry": str(founded.folder),
        "keys": [str(path) for path in founded.keys],
        "topic_root": founded.topic_root,
        "root_expires": founded.root_expires.isoformat(),
    }
    text = (
        f"made the registry {founded.folder}\n"
        f"keys: {', '.join(path.name for path in founded.keys)} in {founded.folder / 'keys'}\n"
        "Back the folder up now, the keys above all: who has them speaks to your fleet,\n"
        "and without them nobody does. root.pem is needed only to replace keys: best kept\n"
        "away from this machine.\n"
        "next: publisher enroll DEVICE --out FOLDER\n"
        "      publisher release digits --version 1.0.0"
    )
    common.show(facts, lambda: Text(text))


def train(
    common: Common,
    model: Model,
    recipe: Annotated[str, typer.Option(help="a built-in recipe or a .py file")] = RECIPE,
    epochs: Epochs = None,
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="a folder", show_default="the model's name")] = None,
    scramble_labels: Scrambled = False,
) -> None:
    """Train a recipe and keep its variants and their numbers in a folder. Releases nothing."""
    from rich.text import Text

    from publisher.operations.train import Training
    from publisher.operations.train import train as carry_out

    _loudness(common)
    training = Training(recipe, epochs, seed, scramble_labels or None)
    trained = carry_out(model, training, out or Path(model), common.voice())
    facts = {"files": [str(path) for path in trained.files], **trained.metrics}
    lines = [
        f"{name}: {numbers['size_bytes']:,} bytes, accuracy {numbers.get('accuracy', float('nan')):.3f}"
        for name, numbers in trained.metrics["variants"].items()
    ]
    common.show(facts, lambda: Text("\n".join([*lines, *(f"wrote {path}" for path in trained.files)])))


def release(
    common: Common,
    model: Model,
    version: Annotated[str, typer.Option(help="such as 1.0.0; it never changes afterwards", show_default=False)],
    recipe: Annotated[str | None, typer.Option(help="a built-in recipe or a .py file", show_default="digits")] = None,
    tflite: Annotated[Path | None, typer.Option(help="a model file, instead of a recipe", show_default=False)] = None,
    data: Annotated[
        Path | None, typer.Option(help="an .npz for --tflite: samples x, and perhaps their classes y")
    ] = None,
    to: Annotated[str, typer.Option(help="all, a share such as 10%, or group:NAME")] = "all",
    urgent: Annotated[bool, typer.Option("--urgent", help="devices do not wait for comfort")] = False,
    spread: Annotated[str, typer.Option(help="each device begins at its own moment within this time")] = "0s",
    notes: Annotated[str, typer.Option(help="what is new", show_default=False)] = "",
    min_accuracy: Annotated[float | None, typer.Option(help="a gate, 0-1", show_default="none")] = None,
    max_accuracy_drop: Annotated[
        float | None, typer.Option(help="a gate: under the version before, 0-1", show_default="0.02")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="release it past its gates; the manifest tells")] = False,
    epochs: Epochs = None,
    seed: Seed = None,
    scramble_labels: Scrambled = False,
) -> None:
    """Make a version, sign it, upload it, and offer it to the fleet."""
    from publisher.core.audience import Audience
    from publisher.core.gates import MAX_DROP, Gates
    from publisher.operations.office import an_office
    from publisher.operations.release import Order, check_order
    from publisher.operations.release import release as carry_out

    make = _maker(recipe, tflite, data, epochs=epochs, seed=seed, scramble_labels=scramble_labels)
    drop = share(max_accuracy_drop, "--max-accuracy-drop")
    order = Order(
        model=model,
        version=version,
        audience=Audience.parse(to),
        urgency="urgent" if urgent else "routine",
        spread_s=duration_s(spread, "--spread"),
        notes=notes,
        gates=Gates(share(min_accuracy, "--min-accuracy"), MAX_DROP if drop is None else drop),
        force=force,
    )
    _loudness(common)
    with an_office(common.settings, common.voice(), broker=False) as office:
        check_order(office, order)
    with an_office(common.settings, common.voice(), broker=True) as office:
        _show(common, carry_out(office, order, make), str(order.audience))


def _maker(
    recipe: str | None,
    tflite: Path | None,
    data: Path | None,
    *,
    epochs: int | None,
    seed: int | None,
    scramble_labels: bool,
) -> Make:
    """What makes the variants; flags that do not go together are refused."""
    if tflite is None:
        if data is not None:
            raise BadInput("--data goes with --tflite", hint="a recipe loads its own data")
        return _from_recipe(recipe or RECIPE, epochs, seed, scramble_labels=scramble_labels)
    trained = {"--recipe": recipe, "--epochs": epochs, "--seed": seed, "--scramble-labels": scramble_labels or None}
    for flag, value in trained.items():
        if value is not None:
            raise BadInput(f"{flag} does not go with --tflite, which trains nothing", hint="leave one of them out")
    return _from_file(tflite, data)


def _from_recipe(recipe: str, epochs: int | None, seed: int | None, *, scramble_labels: bool) -> Make:
    from publisher.operations.train import Training, make

    return lambda on_progress: make(Training(recipe, epochs, seed, scramble_labels or None), on_progress)


def _from_file(tflite: Path, data: Path | None) -> Make:
    def make(on_progress: Any) -> Any:
        from publisher.learning.making import make_from_tflite

        return make_from_tflite(tflite, data=data, on_progress=on_progress)

    return make


def _show(common: Common, released: Released, audience: str) -> None:
    from rich.console import Group
    from rich.text import Text

    from publisher.views import facts, tables

    manifest, sent = released.manifest, released.sent
    told = {
        **facts.of_manifest(manifest),
        "accuracy": released.accuracy,
        "audience": audience,
        "plan_sequence": released.plan.sequence,
        "uploaded_chunks": sent.chunks,
        "uploaded_bytes": sent.size_bytes,
        "missed_gates": list(released.missed_gates),
    }
    head = f"released {manifest.model} {manifest.version} to {audience} (plan {released.plan.sequence})"
    tail = (
        f"{counted(sent.chunks, 'chunk')} uploaded, {tables.size(sent.size_bytes)}; watch it: publisher status --watch"
    )
    common.show(told, lambda: Group(Text(head), tables.variants(manifest), Text(tail)))


def _loudness(common: Common) -> None:
    if common.verbose:
        from publisher.learning.quiet import be_verbose

        be_verbose()

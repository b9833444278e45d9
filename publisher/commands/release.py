"""init, train, release: from nothing to a version that the fleet is offered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import BadInput
from publisher.commands.common_options import Common, command
from publisher.commands.model_file_options import ModelFileOptions
from publisher.commands.value_parsers import counted, duration_s, share

if TYPE_CHECKING:
    from publisher.adapters.registry import Registry
    from publisher.learning.data.calibration import KeptCalibration
    from publisher.learning.training.warm_start import WarmStart
    from publisher.operations.release.release import Make, Released
    from publisher.operations.release.train import Training

Model = Annotated[str, typer.Argument(help="the model's name, such as digits", show_default=False)]
Epochs = Annotated[int | None, typer.Option(help="how long to train", show_default="the recipe's")]
Seed = Annotated[int | None, typer.Option(help="of all that is random in training", show_default="the recipe's")]
Scrambled = Annotated[bool, typer.Option("--scramble-labels", hidden=True)]
From = Annotated[
    str | None, typer.Option("--from", metavar="VERSION", help="go on from this version", show_default="from scratch")
]
NewCalibration = Annotated[
    bool, typer.Option("--new-calibration", help="draw the samples for int8 anew, not those of the version before")
]
RECIPE = "digits"
AUTO = "auto"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "init")(init)
    command(app, "train")(train)
    command(app, "release")(release)


def init(common: Common) -> None:
    """Make a registry: its folder, its keys, its root of trust."""
    from rich.text import Text

    from publisher.operations.context import utc_now
    from publisher.operations.init import init as found
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
    from_version: From = None,
    new_calibration: NewCalibration = False,
    out: Annotated[Path | None, typer.Option(help="a folder", show_default="the model's name")] = None,
    scramble_labels: Scrambled = False,
) -> None:
    """Train a recipe and keep its variants and their numbers in a folder. Releases nothing."""
    from rich.text import Text

    from publisher.operations.release.train import Training
    from publisher.operations.release.train import train as carry_out
    from publisher.operations.release.training_history import a_history

    _loudness(common)
    with a_history(common.settings.registry, common.progress(), needed=from_version is not None) as registry:
        start = _start(registry, model, from_version, recipe) if registry and from_version else None
        kept = None if registry is None else _calibration(registry, model, from_version, new=new_calibration)
        start = replace(start, calibration=None) if start and new_calibration else start
        training = Training(recipe, epochs, seed, scramble_labels or None, start, kept)
        trained = carry_out(model, training, out or Path(model), common.progress(), registry)
    facts = {"files": [str(path) for path in trained.files], "training": trained.number, **trained.metrics}
    facts["repeats"] = trained.repetition.facts() if trained.repetition else None
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
    keras: Annotated[
        Path | None, typer.Option(help="a .h5 or .keras file or a SavedModel folder, likewise", show_default=False)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="an .npz for a model file: samples x, and perhaps their classes y")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="the classes of a model file: a file with one name a line, or a,b,c", show_default="unknown"),
    ] = None,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="open a Keras file that holds Python code, which can do anything")
    ] = False,
    variants: Annotated[
        str | None,
        typer.Option(help="rungs of the ladder, or auto: the best of all", show_default="float32,int8"),
    ] = None,
    to: Annotated[str, typer.Option(help="all, a share such as 10%, or group:NAME")] = "all",
    urgent: Annotated[bool, typer.Option("--urgent", help="devices do not wait for comfort")] = False,
    spread: Annotated[str, typer.Option(help="each device begins at its own moment within this time")] = "0s",
    notes: Annotated[str, typer.Option(help="what is new", show_default=False)] = "",
    min_accuracy: Annotated[float | None, typer.Option(help="a gate, 0-1", show_default="none")] = None,
    max_accuracy_drop: Annotated[
        float | None, typer.Option(help="a gate: under the version before, 0-1", show_default="0.02")
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="a gate: on the wire", show_default="none")] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(min=0, help="a gate: of one sample, here, p95", show_default="none")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="release it past its gates; the manifest tells")] = False,
    epochs: Epochs = None,
    seed: Seed = None,
    from_version: From = None,
    new_calibration: NewCalibration = False,
    scramble_labels: Scrambled = False,
) -> None:
    """Make a version, sign it, upload it, and offer it to the fleet."""
    from publisher.core.release.gates import MAX_DROP, Gates
    from publisher.core.rollout.audience import Audience
    from publisher.operations.context import open_context
    from publisher.operations.release.release import ReleaseRequest, check_order, selecting
    from publisher.operations.release.release import release as carry_out
    from publisher.operations.release.train import Training

    brought = ModelFileOptions(tflite, keras, data, labels, trust_code)
    trained = {
        "--recipe": recipe, "--epochs": epochs, "--seed": seed, "--from": from_version,
        "--scramble-labels": scramble_labels or None,
        "--new-calibration": (new_calibration and tflite is not None) or None,
    }  # fmt: skip
    brought.check(trained, variants)
    drop = share(max_accuracy_drop, "--max-accuracy-drop")
    order = ReleaseRequest(
        model=model,
        version=version,
        audience=Audience.parse(to),
        urgency="urgent" if urgent else "routine",
        spread_s=duration_s(spread, "--spread"),
        notes=notes,
        gates=Gates(
            share(min_accuracy, "--min-accuracy"), MAX_DROP if drop is None else drop, max_bytes, max_latency_ms
        ),
        force=force,
    )
    named = _variants(variants)
    _loudness(common)
    with open_context(common.settings, common.progress(), broker=False) as context:
        check_order(context, order)
        start = _start(context.registry, model, from_version, recipe or RECIPE) if from_version else None
        kept = _calibration(context.registry, model, from_version, new=new_calibration)
    start = replace(start, calibration=None) if start and new_calibration else start
    training = Training(recipe or RECIPE, epochs, seed, scramble_labels or None, start, kept, named)
    with open_context(common.settings, common.progress(), broker=True) as context:
        choose = selecting(context, order) if variants == AUTO else None
        make = brought.make(named, choose, kept) or _from_recipe(replace(training, choose=choose))
        _show(common, carry_out(context, order, make), str(order.audience))


def _variants(text: str | None) -> tuple[str, ...]:
    """The rungs that `--variants` names; all of them for auto, none where it is not given. Raises BadInput."""
    from publisher.learning.variants.variant_spec import RUNGS, VariantSpec

    if text is None:
        return ()
    names = RUNGS if text == AUTO else tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise BadInput("--variants names none", hint="such as float32,int8, or auto")
    return tuple(VariantSpec.parse(name).name for name in names)


def _from_recipe(training: Training) -> Make:
    from publisher.operations.release.train import make

    return lambda on_progress: make(training, on_progress)


def _start(registry: Registry, model: str, version: str, recipe: str) -> WarmStart:
    from publisher.operations.release.train import recipe_name
    from publisher.operations.release.training_history import start_from

    return start_from(registry, model, version, recipe_name(recipe))


def _calibration(registry: Registry, model: str, version: str | None, *, new: bool) -> KeptCalibration | None:
    """The set of the version that is gone on from, or of the last one; None where a new one is asked for."""
    from publisher.operations.release.training_history import kept_calibration

    return None if new else kept_calibration(registry, model, version)


def _show(common: Common, released: Released, audience: str) -> None:
    from rich.console import Group
    from rich.text import Text

    from publisher.views import json_output as facts
    from publisher.views import tables

    manifest, uploaded = released.manifest, released.uploaded
    told = {
        **facts.of_manifest(manifest),
        "accuracy": released.accuracy,
        "audience": audience,
        "plan_sequence": released.plan.sequence,
        "uploaded_chunks": uploaded.chunks,
        "uploaded_bytes": uploaded.size_bytes,
        "missed_gates": list(released.missed_gates),
    }
    head = f"released {manifest.model} {manifest.version} to {audience} (plan {released.plan.sequence})"
    sent = f"{counted(uploaded.chunks, 'chunk')} uploaded, {tables.size(uploaded.size_bytes)}"
    tail = f"{sent}; watch it: publisher status --watch"
    common.show(told, lambda: Group(Text(head), tables.variants(manifest), Text(tail)))


def _loudness(common: Common) -> None:
    if common.verbose:
        from publisher.learning.quiet_tensorflow import show_tensorflow_output

        show_tensorflow_output()

"""release: from a recipe or a model file to a version that is offered to the fleet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Group
from rich.text import Text

from protocol.errors import BadInput
from protocol.sizes import size_text
from publisher.commands.common_options import CommandContext
from publisher.commands.model_file_options import ModelFileOptions
from publisher.commands.train import RECIPE, Epochs, FromVersion, Model, NewCalibration, ScrambleLabels, Seed
from publisher.commands.value_parsers import counted, duration_s, named_paths, share
from publisher.core.release.gates import MAX_DROP, Gates
from publisher.core.rollout.audience import Audience
from publisher.learning.quiet_tensorflow import show_tensorflow_output
from publisher.learning.variants.variant_spec import RUNGS, VariantSpec
from publisher.operations.context import open_context
from publisher.operations.release.release import (
    Released,
    ReleaseRequest,
    RolloutRequest,
    check_request,
    newest_version,
    release,
    selecting,
)
from publisher.operations.release.stored_files import FilesRequest
from publisher.operations.release.train import Training, build_version, continued
from publisher.views import json_output, tables

AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class Release:
    model: Model
    version: Annotated[str, typer.Option(help="such as 1.0.0; it never changes afterwards", show_default=False)]
    recipe: Annotated[str | None, typer.Option(help="a built-in recipe or a .py file", show_default="digits")] = None
    tflite: Annotated[Path | None, typer.Option(help="a model file, instead of a recipe", show_default=False)] = None
    keras: Annotated[
        Path | None, typer.Option(help="a .h5 or .keras file or a SavedModel folder, likewise", show_default=False)
    ] = None
    data: Annotated[
        Path | None, typer.Option(help="an .npz for a model file: samples x, and perhaps their truths y")
    ] = None
    labels: Annotated[
        str | None,
        typer.Option(help="the classes of a model file: a file with one name a line, or a,b,c", show_default="unknown"),
    ] = None
    task: Annotated[
        str | None,
        typer.Option(
            help="what a model file is for, such as detection or classification:multi_label@0.3",
            show_default="as before, or guessed",
        ),
    ] = None
    roles: Annotated[
        str | None, typer.Option(help="of its outputs, such as boxes,classes,scores,count", show_default="guessed")
    ] = None
    signature: Annotated[
        str | None,
        typer.Option(help="of several in a .tflite file", show_default="as before, or the first"),
    ] = None
    free_size: Annotated[
        list[str] | None,
        typer.Option(
            help="[INPUT:]DIMENSION=LOW-HIGH of a size that a .tflite file leaves free; may be given again",
            show_default="as before, or what can be run",
        ),
    ] = None
    unmeasured: Annotated[
        bool, typer.Option("--unmeasured", help="do not run the file here: only a delegate of the devices can")
    ] = False
    file: Annotated[
        list[str] | None,
        typer.Option(help="NAME=PATH: a file that travels with the model; may be given again", show_default=False),
    ] = None
    drop_file: Annotated[
        list[str] | None,
        typer.Option(help="a file of the version before that this one lacks; may be given again", show_default=False),
    ] = None
    preprocessing: Annotated[
        str | None,
        typer.Option(
            help="of a .tflite file, done on the device: a .toml or .json file, metadata, or none",
            show_default="as before",
        ),
    ] = None
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="open a Keras file that holds Python code, which can do anything")
    ] = False
    variants: Annotated[
        str | None, typer.Option(help="rungs of the ladder, or auto: the best of all", show_default="float32,int8")
    ] = None
    to: Annotated[str, typer.Option(help="all, a share such as 10%, or group:NAME")] = "all"
    urgent: Annotated[bool, typer.Option("--urgent", help="devices do not wait for comfort")] = False
    spread: Annotated[str, typer.Option(help="each device begins at its own moment within this time")] = "0s"
    notes: Annotated[str, typer.Option(help="what is new", show_default=False)] = ""
    min_accuracy: Annotated[float | None, typer.Option(help="a gate, 0-1", show_default="none")] = None
    max_accuracy_drop: Annotated[
        float | None, typer.Option(help="a gate: under the version before, 0-1", show_default="0.02")
    ] = None
    max_bytes: Annotated[int | None, typer.Option(min=1, help="a gate: on the wire", show_default="none")] = None
    max_latency_ms: Annotated[
        float | None, typer.Option(min=0, help="a gate: of one sample, here, p95", show_default="none")
    ] = None
    force: Annotated[bool, typer.Option("--force", help="release it past its gates; the manifest tells")] = False
    epochs: Epochs = None
    seed: Seed = None
    from_version: FromVersion = None
    new_calibration: NewCalibration = False
    scramble_labels: ScrambleLabels = False

    def run(self, ctx: CommandContext) -> None:
        """Check everything that needs no broker, then release."""
        file = ModelFileOptions(
            self.tflite,
            self.keras,
            self.data,
            self.labels,
            self.trust_code,
            self.task,
            self.roles,
            self.preprocessing,
            self.signature,
            tuple(self.free_size or ()),
            self.unmeasured,
        )
        file.check(self._training_flags(), self.variants)
        request, training = self._request(), self._training()
        if ctx.verbose:
            show_tensorflow_output()
        with open_context(ctx.settings, ctx.progress(), broker=False) as context:
            check_request(context, request)
            training = continued(
                training, context.registry, self.model, self.from_version, new_calibration=self.new_calibration
            )
            before = newest_version(context.registry, self.model)
        with open_context(ctx.settings, ctx.progress(), broker=True) as context:
            if self.variants == AUTO:
                training = replace(training, choose=selecting(context, request))
            released = release(context, request, file.build(training, before) or partial(build_version, training))
        _show(ctx, released, str(request.rollout.audience))

    def _request(self) -> ReleaseRequest:
        drop = share(self.max_accuracy_drop, "--max-accuracy-drop")
        return ReleaseRequest(
            self.model,
            self.version,
            RolloutRequest(
                Audience.parse(self.to), "urgent" if self.urgent else "routine", duration_s(self.spread, "--spread")
            ),
            Gates(
                share(self.min_accuracy, "--min-accuracy"),
                MAX_DROP if drop is None else drop,
                self.max_bytes,
                self.max_latency_ms,
            ),
            self.notes,
            self.force,
            FilesRequest(named_paths(self.file or (), "--file"), tuple(self.drop_file or ()), self.from_version),
        )

    def _training(self) -> Training:
        return Training(
            self.recipe or RECIPE,
            self.epochs,
            self.seed,
            self.scramble_labels or None,
            variants=_variant_names(self.variants),
        )

    def _training_flags(self) -> dict[str, Any]:
        return {
            "--recipe": self.recipe,
            "--epochs": self.epochs,
            "--seed": self.seed,
            "--from": self.from_version,
            "--scramble-labels": self.scramble_labels or None,
            "--new-calibration": (self.new_calibration and self.tflite is not None) or None,
        }


def _variant_names(text: str | None) -> tuple[str, ...]:
    """The rungs of `--variants`: all for auto, none if not given. Raises BadInput."""
    if text is None:
        return ()
    names = RUNGS if text == AUTO else tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise BadInput("--variants names none", hint="such as float32,int8, or auto")
    return tuple(VariantSpec.parse(name).name for name in names)


def _show(ctx: CommandContext, released: Released, audience: str) -> None:
    manifest, uploaded = released.manifest, released.uploaded
    facts = {
        **json_output.of_manifest(manifest, released.labels),
        "accuracy": released.accuracy,
        "audience": audience,
        "plan_sequence": released.plan.sequence,
        "uploaded_chunks": uploaded.chunks,
        "uploaded_bytes": uploaded.size_bytes,
        "missed_gates": list(released.missed_gates),
    }
    head = f"released {manifest.model} {manifest.version} to {audience} (plan {released.plan.sequence})"
    sent = f"{counted(uploaded.chunks, 'chunk')} uploaded, {size_text(uploaded.size_bytes)}"
    tail = f"{sent}; watch it: publisher status --watch"
    task = [Text(line) for line in (*tables.task_lines(manifest.contract), *tables.contract_lines(manifest))]
    ctx.show(facts, lambda: Group(Text(head), *task, tables.variant_table(manifest), Text(tail)))

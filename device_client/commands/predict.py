"""`device-client predict`: one prediction of the installed model, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from device_client.commands.options import HERE, Config, Json, ModelName, models_of
from device_client.diagnostics.installed_model import predict_once
from device_client.replay import Recording
from device_client.settings.loader import load
from protocol.errors import BadInput


def predict(
    data: Annotated[Path, typer.Argument(help="An .npz with inputs as x.")],
    config: Config = HERE,
    model: ModelName = None,
    row: Annotated[int, typer.Option(min=0, help="Which row of x.")] = 0,
    as_json: Json = False,
) -> None:
    """Ask the installed model about one row of a file. Needs no broker."""
    settings = load(config)
    recording = Recording.read(data)
    if row >= len(recording.x):
        raise BadInput(f"{data} has {len(recording.x)} rows; there is no row {row}")
    found = predict_once(settings, models_of(settings, model)[0], recording.x[row])
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    sure = f", {found['confidence']:.0%} sure" if found["confidence"] is not None else ""
    says = found["label"] or found["top"]
    typer.echo(f"{found['model']} {found['version']} ({found['variant']}) says {says}{sure}")

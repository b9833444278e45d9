"""`device-client predict`: one prediction of an installed model, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from device_client.commands.options import HERE, Config, Json, ModelName, models_of
from device_client.diagnostics.installed_model import facts_of, opened
from device_client.diagnostics.picture_file import order_for, read_picture
from device_client.replay import Recording
from device_client.serving.live_serving import LiveServing
from device_client.settings.loader import load
from protocol.errors import BadInput

SHOWN_MAX: Final = 5  # values of each part of an answer


def predict(
    data: Annotated[Path | None, typer.Argument(help="An .npz with inputs as x.")] = None,
    config: Config = HERE,
    model: ModelName = None,
    row: Annotated[int, typer.Option(min=0, help="Which row of x.")] = 0,
    image: Annotated[Path | None, typer.Option(help="A picture file instead; needs Pillow.")] = None,
    version: Annotated[str | None, typer.Option(help="An installed version; the live one if not said.")] = None,
    as_json: Json = False,
) -> None:
    """Ask an installed model about one picture, or one row of a file. Needs no
    broker.
    """
    if (data is None) == (image is None):
        raise BadInput("give either an .npz or --image FILE", hint="device-client predict --image cat.jpg")
    settings = load(config)
    recorded = _row(data, row) if data is not None else None
    name = models_of(settings, model)[0]
    with opened(settings, name, version) as (chosen, serving):
        x: Any = recorded if image is None else _picture(image, serving)
        found = facts_of(name, chosen, serving.predict(x))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(f"{found['model']} {found['version']} ({found['variant']}) says {_says(found)}")


def _row(data: Path, row: int) -> Any:
    recording = Recording.read(data)
    if row >= len(recording.x):
        raise BadInput(f"{data} has {len(recording.x)} rows; there is no row {row}")
    return recording.x[row]


def _picture(image: Path, serving: LiveServing) -> Any:
    contract = serving.contract
    return read_picture(image, order_for(serving.preprocessing, contract) if contract else "RGB")


def _says(found: dict[str, Any]) -> str:
    if found["top"] is None and isinstance(found["answer"], dict):
        return ", ".join(f"{part} {_short(value)}" for part, value in found["answer"].items())
    sure = f", {found['confidence']:.0%} sure" if found["confidence"] is not None else ""
    return f"{found['label'] or found['top']}{sure}"


def _short(value: Any) -> str:
    """The first values of a part of an answer, and how many there are."""
    if isinstance(value, list):
        shown = ", ".join(_short(each) for each in value[:SHOWN_MAX])
        return f"[{shown}{f', … {len(value)}' if len(value) > SHOWN_MAX else ''}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

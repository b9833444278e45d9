"""`device-client why`: what keeps the device from updating."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from device_client.adapters.sensors.device_sensors import DeviceSensors
from device_client.commands.options import HERE, Config, Json, models_of, text_width
from device_client.diagnostics import explanation
from device_client.diagnostics.explanation_text import lines
from device_client.diagnostics.inspection import snapshot
from device_client.settings.loader import load


def explain(
    model: Annotated[str | None, typer.Argument(help="Which model; all of them if not said.")] = None,
    config: Config = HERE,
    as_json: Json = False,
) -> None:
    """Why is this device not updating? What runs, what is asked, what stands in the
    way. Needs no broker.

    Exit code 10 when something keeps it from updating, 0 when it is up to date or on
    its way.
    """
    settings = load(config)
    names = models_of(settings, model)
    zone = settings.strategy.local_zone()
    sensors = DeviceSensors(settings.state, settings.probe_file, sources=settings.probes, zone=zone)
    readings, now = sensors.read(), datetime.now(UTC)
    answers = [explanation.explain(snapshot(settings, name, readings, now)) for name in names]
    if as_json:
        document = {"device": settings.device, "models": [answer.as_dict() for answer in answers]}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        pages = ("\n".join(lines(settings.device, answer, now, zone, text_width())) for answer in answers)
        typer.echo("\n\n".join(pages))
    raise typer.Exit(explanation.STUCK if any(answer.stuck for answer in answers) else 0)

"""`device-client status`: what every model of the device runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, tzinfo
from typing import Any

import typer

from device_client.commands.options import HERE, Config, Json, ModelName, models_of, text_width
from device_client.diagnostics.explanation_text import in_words, labelled
from device_client.diagnostics.inspection import summary
from device_client.settings.loader import load


def status(config: Config = HERE, model: ModelName = None, as_json: Json = False) -> None:
    """What this device runs, what it is about to do, and why. Needs no broker."""
    settings = load(config)
    facts = [summary(settings, name) for name in models_of(settings, model)]
    if as_json:
        typer.echo(json.dumps({"device": settings.device, "models": facts}, indent=2))
        return
    for fact in facts:
        _print(settings.device, fact, settings.strategy.local_zone())


def _print(device: str, fact: dict[str, Any], zone: tzinfo) -> None:
    def row(label: str, text: str) -> None:
        typer.echo("\n".join(labelled(label, text, text_width())))

    installed = f"{fact['installed_version']} ({fact['variant']})" if fact["installed_version"] else "nothing"
    typer.echo(f"{device} / {fact['model']}: {fact['state']}")
    row("installed", installed)
    row("wanted", fact["latest_version"] or "nothing: no plan names this device")
    if fact["previous_version"]:
        row("way back", fact["previous_version"])
    row("why", fact["reason"])
    if fact["next_check"]:
        row("next check", in_words(datetime.fromisoformat(fact["next_check"]), datetime.now(UTC), zone))
    for refusal in fact["refused"]:
        row("refused", f"{refusal['version']}: {refusal['reason']}")

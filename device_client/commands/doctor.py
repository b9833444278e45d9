"""`device-client doctor`: tests everything that the device needs."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from device_client.commands.options import HERE, Broker, Config, Json
from device_client.diagnostics.doctor import examine
from device_client.settings.loader import load


def doctor(config: Config = HERE, broker: Broker = None, as_json: Json = False) -> None:
    """Try everything that this device needs; say what to type where something is not
    well. Exit code 1 if it is bad.
    """
    checks = []
    for check in examine(load(config, broker=broker)):
        checks.append(check)
        if not as_json:
            typer.echo(f"{check.level:4}  {check.name}: {check.found}")
            if check.level != "ok" and check.fix:
                typer.echo(f"      -> {check.fix}")
    well = all(check.level != "bad" for check in checks)
    if as_json:
        typer.echo(json.dumps({"well": well, "checks": [asdict(check) for check in checks]}, indent=2))
    raise typer.Exit(0 if well else 1)

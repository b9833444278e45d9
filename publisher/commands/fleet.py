"""enroll, status, show: the devices of the fleet, and the models of the registry."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from protocol.errors import BadInput
from protocol.topics import Topics
from publisher.adapters.broker_client import BrokerClient
from publisher.adapters.registry import Registry, is_registry
from publisher.commands.common_options import CommandContext
from publisher.core.fleet.fleet_table import Row
from publisher.operations import enroll as operation
from publisher.operations.context import ROOT_SETTING, open_context
from publisher.operations.enroll import Enrolment
from publisher.operations.fleet_status import FleetStatus, FleetStatusReader
from publisher.operations.show import ModelShown, show_model, show_version
from publisher.settings import TOPIC_ROOT
from publisher.views import json_output, tables
from publisher.views.lineage_text import lines

_PASSWORD_MAX_CHARS = 1_000


def enroll(
    ctx: CommandContext,
    device: Annotated[str, typer.Argument(help="the device's name, such as pi-1", show_default=False)],
    out: Annotated[Path, typer.Option(help="a folder to copy to the device", show_default=False)],
    group: Annotated[list[str] | None, typer.Option(help="may be given again", show_default=False)] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="may be given again", show_default="those in the registry")
    ] = None,
    user: Annotated[str | None, typer.Option(help="the device's name at the broker", show_default=False)] = None,
    password_file: Annotated[Path | None, typer.Option(help="a file with its password", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite another root of trust")] = False,
) -> None:
    """Write the folder that a device needs to belong to this fleet."""
    url = ctx.settings.broker
    password = _password(password_file) if password_file else None if user else url.password
    enrolment = Enrolment(device, tuple(group or ()), tuple(model or ()), user or url.user, password, force)
    with open_context(ctx.settings, ctx.progress(), broker=False) as context:
        enrolled = operation.enroll(context, enrolment, out)
    facts = {
        "device": enrolled.device,
        "folder": str(enrolled.folder),
        "models": list(enrolled.models),
        "groups": list(enrolled.groups),
        "has_password": enrolled.has_password,
    }
    text = (
        f"wrote {out}/device.toml and {out}/root.json for {device}: {', '.join(enrolled.models)}\n"
        f"copy the folder to the device, then there: device-client run --config {out}/device.toml"
    )
    ctx.show(facts, lambda: Text(text))


def status(
    ctx: CommandContext, watch: Annotated[bool, typer.Option("--watch", help="go on until Ctrl-C")] = False
) -> None:
    """Show every device: what it runs, what it should run, and why it does not."""
    settings, root = ctx.settings, ctx.settings.root
    devices: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    if is_registry(settings.registry):  # without one, only devices that have reported are shown
        with Registry.open(settings.registry) as registry:
            root = root or registry.settings.get(ROOT_SETTING)
            devices = tuple(device.name for device in registry.devices.all())
            models = tuple(registry.versions.models())
    with BrokerClient.connect(settings.broker, tls=settings.tls) as broker:
        reader = FleetStatusReader(broker, Topics(root or TOPIC_ROOT), devices, models)
        now = reader.read()
        _show_status(ctx, now)
        if watch:
            _follow(ctx, reader, now)


def show(
    ctx: CommandContext,
    model: Annotated[str, typer.Argument(help="the model's name", show_default=False)],
    version: Annotated[str | None, typer.Argument(help="one of its versions", show_default=False)] = None,
) -> None:
    """Show a model, or one of its versions."""
    with open_context(ctx.settings, ctx.progress(), broker=False) as context:
        if version is None:
            _show_model(ctx, show_model(context, model))
            return
        found = show_version(context, model, version)
    facts = {
        **json_output.of_manifest(found.manifest, found.labels),
        "audience": list(found.audience),
        "lineage": found.lineage,
    }
    ctx.show(
        facts,
        lambda: Group(tables.manifest_view(found.manifest, found.labels, found.audience), Text(lines(found.lineage))),
    )


def _show_model(ctx: CommandContext, shown: ModelShown) -> None:
    facts = {
        "plan": None if shown.plan is None else json_output.of_plan(shown.plan),
        "versions": [json_output.of_manifest(*version) for version in zip(shown.versions, shown.labels, strict=True)],
        "trainings": [
            json_output.of_training(record, shown.released_as.get(record.number)) for record in shown.trainings
        ],
    }
    none = Text(
        f"no version of {shown.model} is released: publisher release {shown.model} --version VERSION --recipe FILE"
    )
    released = none if shown.plan is None else tables.version_table(shown.versions, shown.plan)
    trained = (Text(), tables.training_table(shown.trainings, shown.released_as)) if shown.trainings else ()
    ctx.show(facts, lambda: Group(released, *trained))


def _password(path: Path) -> str:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"the password file {path} cannot be read", hint="one line of text") from None
    password = text.rstrip("\r\n")
    if not password or "\n" in password or len(password) > _PASSWORD_MAX_CHARS:
        raise BadInput(f"the password file {path} holds no password", hint="one line of text")
    return password


def _show_status(ctx: CommandContext, fleet: FleetStatus) -> None:
    facts = {**json_output.of_fleet(fleet.rows), "at": fleet.at.isoformat(), "unreadable_messages": fleet.unreadable}
    ctx.show(facts, lambda: tables.fleet_table(fleet.rows))


def _follow(ctx: CommandContext, reader: FleetStatusReader, shown: FleetStatus) -> None:
    """Redraw the table on a terminal; else print it again when it has changed."""
    if sys.stdout.isatty() and not ctx.as_json:
        _redraw(reader.follow())
        return
    for fleet in reader.follow():
        if _without_ages(fleet) != _without_ages(shown):
            _show_status(ctx, fleet)
            shown = fleet


def _without_ages(fleet: FleetStatus) -> list[Row]:
    return [replace(row, age_s=None) for row in fleet.rows]


def _redraw(fleets: Iterator[FleetStatus]) -> None:
    console = Console(highlight=False, emoji=False, markup=False)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for fleet in fleets:
            live.update(tables.fleet_table(fleet.rows), refresh=True)

"""rollback, pin, unpin, rollout: edits of a plan."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from protocol.topics import check_name
from publisher.commands.common_options import CommandContext
from publisher.commands.value_parsers import counted
from publisher.core.rollout import plan_edits
from publisher.core.rollout.audience import Audience
from publisher.operations.announce.plan_announcement import PlanEdit, current_plan, edit
from publisher.operations.context import open_context, utc_now
from publisher.views import json_output, tables

Model = Annotated[str, typer.Argument(help="the model's name", show_default=False)]
Devices = Annotated[list[str], typer.Argument(help="names of devices", show_default=False)]


def rollback(
    ctx: CommandContext,
    model: Model,
    version: Annotated[str | None, typer.Option(help="go back to this one", show_default="the one before")] = None,
) -> None:
    """Recall the newest version: the whole fleet goes back, urgently."""
    _edit(ctx, model, lambda plan: plan_edits.roll_back(plan, version, utc_now()))


def pin(
    ctx: CommandContext,
    model: Model,
    version: Annotated[str, typer.Argument(help="what they shall run", show_default=False)],
    devices: Devices,
) -> None:
    """Have some devices run a version, whatever the rest of the fleet does."""
    _edit(ctx, model, lambda plan: plan_edits.pin(plan, version, tuple(devices), utc_now()))


def unpin(ctx: CommandContext, model: Model, devices: Devices) -> None:
    """Have pinned devices follow the fleet again."""
    _edit(ctx, model, lambda plan: plan_edits.unpin(plan, tuple(devices), utc_now()))


def show(ctx: CommandContext, model: Model) -> None:
    """Show a model's plan: who runs what, and how it came to that. Asks no broker."""
    with open_context(ctx.settings, ctx.progress(), broker=False) as context:
        plan = current_plan(context, model)
    ctx.show(json_output.of_plan(plan), lambda: tables.plan_view(plan))


def hold(ctx: CommandContext, model: Model) -> None:
    """Stop a rollout: devices that have not swapped yet wait."""
    _edit(ctx, model, lambda plan: plan_edits.hold(plan, utc_now()))


def resume(ctx: CommandContext, model: Model) -> None:
    """Let a held rollout go on."""
    _edit(ctx, model, lambda plan: plan_edits.resume(plan, utc_now()))


def advance(
    ctx: CommandContext,
    model: Model,
    to: Annotated[str, typer.Option(help="all, a share such as 50%, or group:NAME")] = "all",
) -> None:
    """Offer the newest version to more devices."""
    audience = Audience.parse(to)
    _edit(ctx, model, lambda plan: plan_edits.advance(plan, audience, utc_now()))


def _edit(ctx: CommandContext, model: str, change: PlanEdit) -> None:
    check_name(model, "model")
    with open_context(ctx.settings, ctx.progress(), broker=True) as context:
        done = edit(context, model, change)
    what = done.plan.history[-1].what
    facts = {**json_output.of_plan(done.plan), "what": what, "uploaded_chunks": done.uploaded.chunks}
    text = f"{model}: {what} (plan {done.plan.sequence}); {counted(done.uploaded.chunks, 'chunk')} uploaded"
    ctx.show(facts, lambda: Text(text))

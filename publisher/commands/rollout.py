"""rollback, pin, unpin, rollout: edits of a plan. They sign and announce, and move no chunk that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from publisher.commands.common_options import Common, command
from publisher.commands.value_parsers import counted

if TYPE_CHECKING:
    from publisher.operations.announce.plan_announcement import PlanEdit

Model = Annotated[str, typer.Argument(help="the model's name", show_default=False)]
Devices = Annotated[list[str], typer.Argument(help="names of devices", show_default=False)]


def register(app: typer.Typer, rollout_app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "rollback")(rollback)
    command(app, "pin")(pin)
    command(app, "unpin")(unpin)
    command(rollout_app, "show")(show)
    command(rollout_app, "hold")(hold)
    command(rollout_app, "resume")(resume)
    command(rollout_app, "advance")(advance)


def rollback(
    common: Common,
    model: Model,
    version: Annotated[str | None, typer.Option(help="go back to this one", show_default="the one before")] = None,
) -> None:
    """Recall the newest version: the whole fleet goes back, urgently."""
    from publisher.core.rollout import plan_edits as planning
    from publisher.operations.context import utc_now

    _edit(common, model, lambda plan: planning.roll_back(plan, version, utc_now()))


def pin(
    common: Common,
    model: Model,
    version: Annotated[str, typer.Argument(help="what they shall run", show_default=False)],
    devices: Devices,
) -> None:
    """Have some devices run a version, whatever the rest of the fleet does."""
    from publisher.core.rollout import plan_edits as planning
    from publisher.operations.context import utc_now

    _edit(common, model, lambda plan: planning.pin(plan, version, tuple(devices), utc_now()))


def unpin(common: Common, model: Model, devices: Devices) -> None:
    """Have pinned devices follow the fleet again."""
    from publisher.core.rollout import plan_edits as planning
    from publisher.operations.context import utc_now

    _edit(common, model, lambda plan: planning.unpin(plan, tuple(devices), utc_now()))


def show(common: Common, model: Model) -> None:
    """Show a model's plan: who runs what, and how it came to that. Asks no broker."""
    from publisher.operations.announce.plan_announcement import current_plan
    from publisher.operations.context import open_context
    from publisher.views import json_output as facts
    from publisher.views import tables

    with open_context(common.settings, common.progress(), broker=False) as context:
        plan = current_plan(context, model)
    common.show(facts.of_plan(plan), lambda: tables.plan(plan))


def hold(common: Common, model: Model) -> None:
    """Stop a rollout: devices that have not swapped yet wait."""
    from publisher.core.rollout import plan_edits as planning
    from publisher.operations.context import utc_now

    _edit(common, model, lambda plan: planning.hold(plan, utc_now()))


def resume(common: Common, model: Model) -> None:
    """Let a held rollout go on."""
    from publisher.core.rollout import plan_edits as planning
    from publisher.operations.context import utc_now

    _edit(common, model, lambda plan: planning.resume(plan, utc_now()))


def advance(
    common: Common,
    model: Model,
    to: Annotated[str, typer.Option(help="all, a share such as 50%, or group:NAME")] = "all",
) -> None:
    """Offer the newest version to more devices."""
    from publisher.core.rollout import plan_edits as planning
    from publisher.core.rollout.audience import Audience
    from publisher.operations.context import utc_now

    audience = Audience.parse(to)
    _edit(common, model, lambda plan: planning.advance(plan, audience, utc_now()))


def _edit(common: Common, model: str, change: PlanEdit) -> None:
    from rich.text import Text

    from protocol.topics import check_name
    from publisher.operations.announce.plan_announcement import edit
    from publisher.operations.context import open_context
    from publisher.views import json_output as facts

    check_name(model, "model")
    with open_context(common.settings, common.progress(), broker=True) as context:
        done = edit(context, model, change)
    what = done.plan.history[-1].what
    told = {**facts.of_plan(done.plan), "what": what, "uploaded_chunks": done.uploaded.chunks}
    text = f"{model}: {what} (plan {done.plan.sequence}); {counted(done.uploaded.chunks, 'chunk')} uploaded"
    common.show(told, lambda: Text(text))

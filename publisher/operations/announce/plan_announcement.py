"""Signs a plan, stores it and announces it: the way of every change to the devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.errors import UnknownVersion
from protocol.messages.plan import Plan
from publisher.adapters.registry import Staged
from publisher.operations.announce.crash_recovery import locked
from publisher.operations.announce.topic_ownership import check_topic_is_ours
from publisher.operations.announce.upload import Uploaded, announce
from publisher.operations.context import PublisherContext

PlanEdit = Callable[[Plan], Plan]


@dataclass(frozen=True, slots=True)
class PlanAnnouncement:
    plan: Plan
    uploaded: Uploaded


def stage(context: PublisherContext, plan: Plan) -> Staged:
    """Sign and store a plan, under the lock. Raises UnknownVersion, BadInput."""
    registry = context.registry
    manifests = [registry.versions.manifest(plan.model, version) for version in plan.versions()]
    authority, bundle = context.authority().publish(plan, manifests, plan.created)
    return registry.announcements.stage(plan.model, plan, bundle, authority.metadata)


def edit(context: PublisherContext, model: str, change: PlanEdit) -> PlanAnnouncement:
    """Apply `change` to the current plan of a model, and announce the result."""
    with locked(context):
        plan = change(current_plan(context, model))
        check_topic_is_ours(context, model)
        return PlanAnnouncement(plan, announce(context, stage(context, plan)))


def current_plan(context: PublisherContext, model: str) -> Plan:
    """The plan of a model. Raises UnknownVersion."""
    plan = context.registry.announcements.plan(model)
    if plan is None:
        models = ", ".join(context.registry.versions.models()) or "none yet"
        raise UnknownVersion(f"no version of {model!r} is released", hint=f"released are: {models}")
    return plan

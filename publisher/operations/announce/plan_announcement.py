"""Signs a plan, stores it, and announces it: the one way in which anything gets to the fleet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.errors import UnknownVersion
from protocol.messages.plan import Plan
from publisher.adapters.registry import Staged
from publisher.operations.announce.topic_ownership import check_ours
from publisher.operations.announce.upload import Sent, announce
from publisher.operations.context import PublisherContext

Change = Callable[[Plan], Plan]


@dataclass(frozen=True, slots=True)
class PlanAnnouncement:
    """What was announced."""

    before: Plan | None
    plan: Plan
    sent: Sent


def stage(office: PublisherContext, plan: Plan) -> Staged:
    """Sign a plan and store it with its bundle, to be announced. Call it under the lock.

    Raises UnknownVersion when it names a version that is not here, BadInput when the bundle would be too long.
    """
    manifests = [office.registry.manifest(plan.model, version) for version in plan.versions()]
    authority, bundle = office.authority().publish(plan, manifests, plan.created)
    return office.registry.stage_bundle(plan.model, plan, bundle, authority.metadata)


def edit(office: PublisherContext, model: str, change: Change) -> PlanAnnouncement:
    """Change the plan that stands, and announce it."""
    with office.lock():
        plan = standing(office, model)
        after = change(plan)
        check_ours(office, model)
        return PlanAnnouncement(plan, after, announce(office, stage(office, after)))


def standing(office: PublisherContext, model: str) -> Plan:
    """The plan of a model. Raises UnknownVersion."""
    plan = office.registry.plan(model)
    if plan is None:
        models = ", ".join(office.registry.models()) or "none yet"
        raise UnknownVersion(f"no version of {model!r} is released", hint=f"released are: {models}")
    return plan

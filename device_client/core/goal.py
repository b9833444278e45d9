"""From a plan to a goal: the version that the plan names for this device, if any.

First step of the decision whether to begin an update; `admission` takes the others.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_client.core.policy import Policy
from device_client.core.state import Device, Installed
from protocol.messages.plan import Assignment, Plan


@dataclass(frozen=True, slots=True)
class Goal:
    """What the plan asks of this device.

    `running`: what is live, where it is this version. `other_variant`: another variant
    of that is wanted. `urgent`: comfort conditions and the slot of a spread do not
    delay it.
    """

    plan: Plan
    wanted: Assignment
    running: Installed | None
    other_variant: bool
    urgent: bool

    @property
    def version(self) -> str:
        """The version that the plan names."""
        return self.wanted.version


def goal_of(policy: Policy, device: Device) -> Goal | None:
    """Return the goal, or None without a plan or where no rule matches."""
    plan, live = device.plan, device.live
    wanted = plan.assign(policy.device, policy.groups) if plan else None
    if plan is None or wanted is None:
        return None
    return Goal(
        plan=plan,
        wanted=wanted,
        running=live if live is not None and live.version == wanted.version else None,
        other_variant=bool(device.refit),
        # an empty device has no comfort to lose; another variant is never urgent
        urgent=(plan.urgency == "urgent" or live is None) and not device.refit,
    )

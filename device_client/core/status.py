"""The status message, computed from the state alone."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from device_client.core.policy import Policy
from device_client.core.state import Phase, State
from protocol.messages.device import Status

IN_PROGRESS: Final = frozenset({Phase.FETCHING, Phase.PROVING, Phase.SHADOWING, Phase.PROBATION})


def status_of(policy: Policy, state: State, *, at: datetime, next_check: datetime | None, trouble: str = "") -> Status:
    """Return the status. `trouble`: why the state cannot be saved; or empty."""
    device, moment = state.device, state.moment
    wanted = device.plan.assign(policy.device, policy.groups) if device.plan else None
    notice = f"the last bundle was not taken: {moment.notice}" if moment.notice else ""
    reason = "; ".join(part for part in (trouble, device.reason, moment.lost, notice) if part)
    return Status(
        state=device.phase.value,
        installed_version=device.live.version if device.live else None,
        latest_version=wanted.version if wanted else None,
        in_progress=device.phase in IN_PROGRESS,
        update_percentage=round(moment.download.percent, 1) if moment.download else None,
        reason=reason,
        next_check=next_check,
        device=policy.device,
        model=policy.model,
        variant=device.live.variant.name if device.live else None,
        previous_version=device.previous.version if device.previous else None,
        plan_sequence=device.plan.sequence if device.plan else 0,
        at=at,
    )

"""From a plan to a goal: the version that it names, and what the device has of it."""

from __future__ import annotations

from dataclasses import dataclass

from device_client.core.policy import Policy
from device_client.core.state import Device, Finding, Installed
from protocol.messages.manifest import Manifest, Variant
from protocol.messages.plan import Plan


@dataclass(frozen=True, slots=True)
class Goal:
    """What the plan asks of this device, and what is here already."""

    plan: Plan
    version: str
    attempt: int
    rule: str
    manifest: Manifest
    live: Installed | None
    running: Installed | None  # what is live, where it is this version with all its files
    way_back: Installed | None  # the previous version, where it is this one and was committed
    files: frozenset[str]  # SHA-256 of all that is installed
    findings: tuple[Finding, ...]
    committed: bool
    other_variant: bool  # another variant of `running` is wanted
    urgent: bool  # does not wait for comfort conditions

    def runs(self, variant: Variant) -> bool:
        return self.running is not None and self.running.variant.sha256 == variant.sha256


def goal_of(policy: Policy, device: Device) -> Goal | None:
    """Return the goal, or None without a plan or where no rule matches."""
    plan, live, previous = device.plan, device.live, device.previous
    wanted = plan.assign(policy.device, policy.groups) if plan else None
    manifest = device.manifests.get(wanted.version) if wanted else None
    if plan is None or wanted is None or manifest is None:
        return None
    version, committed = wanted.version, wanted.version in device.committed
    return Goal(
        plan=plan,
        version=version,
        attempt=wanted.attempt,
        rule=wanted.rule,
        manifest=manifest,
        live=live,
        # an older client may have installed it without its files
        running=live
        if live is not None and live.version == version and live.manifest.files == manifest.files
        else None,
        way_back=previous if previous is not None and previous.version == version and committed else None,
        files=frozenset[str]().union(*(installed.files() for installed in device.installed())),
        findings=device.found(version, wanted.attempt),
        committed=committed,
        other_variant=bool(device.refit),
        # an empty device has no comfort to lose; another variant is never urgent
        urgent=(plan.urgency == "urgent" or live is None) and not device.refit,
    )

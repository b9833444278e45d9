"""Explains why a device does not update: state, status log, new readings.

Pure. The core evaluates the conditions, so the limits shown are those in force.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from device_client.core.admission import HELD, needs
from device_client.core.conditions.conditions import COMFORT, SAFETY, Condition, ConditionQuery, Needs
from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.goal import goal_of
from device_client.core.log_entry import LogEntry
from device_client.core.policy import Policy
from device_client.core.state import ON_TRIAL, Device, Phase
from device_client.core.status import IN_PROGRESS
from device_client.core.variants.selection import VariantSelection, select
from device_client.diagnostics.remedies import remedy_for
from protocol.messages.plan import Assignment

NOT_ASKED: Final = Unknown("only the running client measures it")
STUCK: Final = 10  # exit code
PASSED: Final = "every condition holds by now; it is looked at again at the next check"
UNFIT: Final = "in device.toml, under [[models]], allow more: variant, memory_budget_mb, latency_budget_ms"
SILENT: Final = timedelta(minutes=5)  # a check this late without an entry is overdue


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known about one model from outside the device's process."""

    policy: Policy
    device: Device
    entry: LogEntry | None
    readings: Readings
    runs: str  # the process that holds the journal, or empty
    now: datetime


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """One condition with the new readings; `waived`: its objection does not count."""

    condition: str
    holds: bool
    kind: str
    reason: str
    waived: bool = False
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One sentence, the facts by label, every condition, and what a person can do."""

    model: str
    stuck: bool
    headline: str
    facts: dict[str, str]
    times: dict[str, datetime]
    conditions: tuple[ConditionResult, ...]
    advice: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"times": {name: at.isoformat() for name, at in self.times.items()}}


def explain(snapshot: Snapshot) -> Explanation:
    plan, policy = snapshot.device.plan, snapshot.policy
    wanted = plan.assign(policy.device, policy.groups) if plan else None
    pending = wanted is not None and not _settled(snapshot, wanted)
    results = _conditions(snapshot) if pending else ()
    obstacle, advice = _obstacle(snapshot, wanted, results)
    headline = obstacle or _on_course(snapshot, wanted)
    return Explanation(
        model=policy.model,
        stuck=bool(obstacle),
        headline=headline,
        facts=_facts(snapshot, wanted, headline),
        times=_times(snapshot),
        conditions=results,
        advice=advice,
    )


def _settled(snapshot: Snapshot, wanted: Assignment) -> bool:
    """Whether no update is pending: the version runs, or was rejected."""
    device = snapshot.device
    runs_it = device.live is not None and device.live.version == wanted.version and not device.refit
    return runs_it or device.refused(wanted.version, wanted.attempt) is not None


def _obstacle(
    snapshot: Snapshot, wanted: Assignment | None, results: tuple[ConditionResult, ...]
) -> tuple[str, tuple[str, ...]]:
    """What keeps the device from updating, and remedies; empty if nothing does."""
    device, entry, model = snapshot.device, snapshot.entry, snapshot.policy.model
    objections = tuple(each.remedy for each in results if each.remedy)
    if not snapshot.runs and entry is None and device.plan is None:
        return "device-client has never run here", ("device-client run",)
    if not snapshot.runs:
        return "device-client does not run here, so nothing is updated", ("device-client run", *objections)
    if entry is not None and not entry.link_up and device.phase not in ON_TRIAL:  # a trial needs no broker
        trouble = f": {entry.link_trouble}" if entry.link_trouble else ""
        return f"there is no link to the broker{trouble}", ("device-client doctor",)
    if entry is not None and entry.notice:
        return f"the last bundle was not taken: {entry.notice}", _notice_remedies(entry.notice)
    if device.plan is None:
        return "no plan has arrived from the broker", (f"publisher rollout show {model}", "device-client doctor")
    if wanted is None:
        return "", ()
    refusal = device.refused(wanted.version, wanted.attempt)
    if refusal is not None:
        pin = f"publisher pin {model} {wanted.version} {snapshot.policy.device}"
        advice = ("release a better version", f"to have it tried once more all the same: {pin}")
        return f"{wanted.version} was refused here: {refusal.reason}", advice
    if device.phase is Phase.DEFERRED and device.reason == HELD:
        return HELD, (f"publisher rollout resume {model}",)
    waits = f"{wanted.version} waits: {device.reason}"
    if device.phase is Phase.STALLED:
        return waits, ("publisher serve",)
    if device.phase is Phase.DEFERRED:
        unfit = device.reason.startswith(f"no variant of {wanted.version}")
        return waits, (UNFIT,) if unfit else objections or (PASSED,)
    return "", ()


def _notice_remedies(notice: str) -> tuple[str, ...]:
    expired = ("have the publisher sign again: publisher serve", "check the clock: timedatectl")
    return expired if "expired" in notice else ("look at what the broker holds: publisher status",)


def _on_course(snapshot: Snapshot, wanted: Assignment | None) -> str:
    device = snapshot.device
    sequence = device.plan.sequence if device.plan else 0
    if wanted is None:
        return f"nothing is asked of it: plan {sequence} names no version for this device"
    if device.phase in IN_PROGRESS or device.phase is Phase.ASSIGNED:
        return f"{wanted.version} is on its way: {device.reason}"
    return f"it is up to date: {device.reason}"


def _conditions(snapshot: Snapshot) -> tuple[ConditionResult, ...]:
    """Every condition, with the limits for the pending update."""
    device, policy, entry = snapshot.device, snapshot.policy, snapshot.entry
    goal = goal_of(policy, device)
    choice = select(policy, goal, snapshot.readings) if goal else ""
    measured = (entry.round_trip_ms, entry.throughput_bytes_s) if entry else (None, None)
    round_trip_ms, throughput_bytes_s = (NOT_ASKED if each is None else each for each in measured)
    readings = replace(snapshot.readings, round_trip_ms=round_trip_ms, throughput_bytes_s=throughput_bytes_s)
    needed = needs(goal, choice) if goal and isinstance(choice, VariantSelection) else Needs()
    query = ConditionQuery(readings, policy.thresholds, needed, frozenset(entry.crossed if entry else ()))
    urgent = goal is not None and goal.urgent
    safety = [_evaluate(condition, "safety", query, waived=False) for condition in SAFETY]
    return (*safety, *(_evaluate(condition, "comfort", query, waived=urgent) for condition in COMFORT))


def _evaluate(condition: Condition, kind: str, query: ConditionQuery, *, waived: bool) -> ConditionResult:
    verdict, name = condition(query), condition.__name__
    if verdict.allowed:
        return ConditionResult(name, True, kind, verdict.reason)
    remedy = "" if waived else remedy_for(name, query.thresholds, unknown=" is unknown: " in verdict.reason)
    return ConditionResult(name, False, kind, verdict.reason, waived, remedy)


def _facts(snapshot: Snapshot, wanted: Assignment | None, headline: str) -> dict[str, str]:
    """The state by label; `_times` has times under the same labels."""
    device, entry, plan = snapshot.device, snapshot.entry, snapshot.device.plan
    facts = {"runs": "nothing yet"}
    if device.live is not None:
        facts["runs"] = f"{device.live.version} ({device.live.variant.name})"
    if device.previous is not None:
        facts["way back"] = device.previous.version
    if plan is not None:
        asks = f"{wanted.version} ({wanted.rule})" if wanted else "nothing of this device"
        traits = ("urgent" if plan.urgency == "urgent" else "", "held" if plan.hold else "",
                  f"spread over {plan.spread_s} s" if plan.spread_s else "")  # fmt: skip
        facts["plan"] = ", ".join([f"number {plan.sequence} asks for {asks}", *filter(None, traits)])
    reason = entry.status.reason if entry is not None and entry.status.state == device.phase else device.reason
    facts["state"] = device.phase.value + ("" if reason in headline else f": {reason}")
    if entry is not None and snapshot.runs:
        facts["link"] = "up" if entry.link_up else f"down: {entry.link_trouble or 'not tried yet'}"
    if entry is not None and entry.status.next_check is not None and snapshot.runs:
        facts["next check"] = "the device looks again by itself"
        if snapshot.now > entry.status.next_check + SILENT:
            facts["next check"] = "overdue, or not written down"
    for refusal in device.refusals[-3:]:
        facts[f"refused {refusal.version}"] = refusal.reason
    for finding in device.findings[-3:]:
        facts[f"refused {finding.version} {finding.variant}"] = finding.reason
    facts["client"] = f"process {snapshot.runs}" if snapshot.runs else "does not run"
    return facts


def _times(snapshot: Snapshot) -> dict[str, datetime]:
    """Since when, or at what time, by the labels of `_facts`."""
    entry = snapshot.entry
    if entry is None:
        return {}
    known = {
        "runs": entry.live_since if snapshot.device.live else None,
        "plan": entry.plan_since if snapshot.device.plan else None,
        "state": entry.state_since,
        "link": entry.link_since if snapshot.runs else None,
        "next check": entry.status.next_check if snapshot.runs else None,
    }
    return {label: at for label, at in known.items() if at is not None}

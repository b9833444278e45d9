"""Why is this device not updating? What is remembered, the logbook and one fresh look, put together as an answer.

Pure: it is handed all that it tells, and says it in sentences; `why_page` lays them out. The conditions are asked of
the core's own functions, so that no other limit is told than the one that decides.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from device_client.core.conditions.conditions import COMFORT, SAFETY, Condition, ConditionQuery, Needs
from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.log_entry import LogEntry
from device_client.core.phases.assignment import HELD, needs
from device_client.core.policy import Policy
from device_client.core.state import ON_TRIAL, Device, Moment, Phase, State
from device_client.core.status import IN_PROGRESS
from device_client.core.variants.selection import VariantSelection
from device_client.core.variants.switching import choice_for
from device_client.diagnostics.remedies import against
from protocol.messages.plan import Assignment

NOT_ASKED: Final = Unknown("only the running client measures it")
STUCK: Final = 10  # exit code
PASSED: Final = "every condition holds by now; it is looked at again at the next check"
UNFIT: Final = "in device.toml, under [[models]], allow more: variant, memory_budget_mb, latency_budget_ms"
SILENT: Final = timedelta(minutes=5)  # so long after a promised check nothing was written: told as odd


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that can be known of one model from outside. `runs`: the process that holds the journal, or empty."""

    policy: Policy
    device: Device
    entry: LogEntry | None
    readings: Readings
    runs: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """One condition and its answer by now. `waived`: it objects, and does not count."""

    condition: str
    holds: bool
    kind: str
    reason: str
    waived: bool = False
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer: its one sentence, the facts by label, every condition, and what a person can do."""

    model: str
    stuck: bool
    headline: str
    facts: dict[str, str]
    times: dict[str, datetime]
    conditions: tuple[Asked, ...]
    advice: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self) | {"times": {name: at.isoformat() for name, at in self.times.items()}}


def explain(look: Snapshot) -> Explanation:
    """The answer for one model."""
    wanted = look.device.plan.assign(look.policy.device, look.policy.groups) if look.device.plan else None
    pending = wanted is not None and not _settled(look, wanted)
    asked = _conditions(look, wanted) if pending else ()
    why, advice = _obstacle(look, wanted, asked)
    headline = why or _well(look, wanted)
    return Explanation(
        model=look.policy.model,
        stuck=bool(why),
        headline=headline,
        facts=_facts(look, wanted, headline),
        times=_times(look),
        conditions=asked,
        advice=advice,
    )


def _settled(look: Snapshot, wanted: Assignment) -> bool:
    """Whether no update is pending: the version runs, or was refused."""
    device = look.device
    runs_it = device.live is not None and device.live.version == wanted.version and not device.refit
    return runs_it or device.refused(wanted.version, wanted.attempt) is not None


def _obstacle(look: Snapshot, wanted: Assignment | None, asked: tuple[Asked, ...]) -> tuple[str, tuple[str, ...]]:
    """What keeps the device from updating, and what to do about it; empty when nothing does."""
    device, entry, model = look.device, look.entry, look.policy.model
    objections = tuple(each.remedy for each in asked if each.remedy)
    if not look.runs and entry is None and device.plan is None:
        return "device-client has never run here", ("device-client run",)
    if not look.runs:
        return "device-client does not run here, so nothing is updated", ("device-client run", *objections)
    if entry is not None and not entry.link_up and device.phase not in ON_TRIAL:  # a trial needs no broker
        trouble = f": {entry.link_trouble}" if entry.link_trouble else ""
        return f"there is no link to the broker{trouble}", ("device-client doctor",)
    if entry is not None and entry.notice:
        return f"the last bundle was not taken: {entry.notice}", _about_a_notice(entry.notice)
    if device.plan is None:
        return "no plan has been heard from the broker", (f"publisher rollout show {model}", "device-client doctor")
    if wanted is None:
        return "", ()
    refusal = device.refused(wanted.version, wanted.attempt)
    if refusal is not None:
        again = f"publisher pin {model} {wanted.version} {look.policy.device}"
        return f"{wanted.version} was refused here: {refusal.reason}", (
            "release a better version",
            f"to have it tried once more all the same: {again}",
        )
    if device.phase is Phase.DEFERRED and device.reason == HELD:
        return HELD, (f"publisher rollout resume {model}",)
    if device.phase is Phase.DEFERRED and device.reason.startswith(f"no variant of {wanted.version}"):
        return f"{wanted.version} waits: {device.reason}", (UNFIT,)
    if device.phase is Phase.DEFERRED:
        return f"{wanted.version} waits: {device.reason}", objections or (PASSED,)
    if device.phase is Phase.STALLED:
        return f"{wanted.version} waits: {device.reason}", ("publisher serve",)
    return "", ()


def _about_a_notice(notice: str) -> tuple[str, ...]:
    expired = ("have the publisher sign anew: publisher serve", "check the clock: timedatectl")
    return expired if "expired" in notice else ("look at what the broker holds: publisher status",)


def _well(look: Snapshot, wanted: Assignment | None) -> str:
    device = look.device
    sequence = device.plan.sequence if device.plan else 0
    if wanted is None:
        return f"nothing is asked of it: plan {sequence} names no version for this device"
    if device.phase in IN_PROGRESS or device.phase is Phase.ASSIGNED:
        return f"{wanted.version} is on its way: {device.reason}"
    return f"it is up to date: {device.reason}"


def _conditions(look: Snapshot, wanted: Assignment | None) -> tuple[Asked, ...]:
    """Every condition as it stands by now, with the limits that the update in question sets."""
    device, policy, entry = look.device, look.policy, look.entry
    plan = device.plan
    urgent = plan is not None and (plan.urgency == "urgent" or device.live is None) and not device.refit
    state = State(device, Moment(readings=look.readings))
    choice = choice_for(policy, state, wanted) if wanted and wanted.version in device.manifests else ""
    question = ConditionQuery(
        replace(
            look.readings,
            round_trip_ms=entry.round_trip_ms if entry and entry.round_trip_ms is not None else NOT_ASKED,
            throughput_bytes_s=entry.throughput_bytes_s
            if entry and entry.throughput_bytes_s is not None
            else NOT_ASKED,
        ),
        policy.thresholds,
        needs(state, choice) if isinstance(choice, VariantSelection) else Needs(),
        frozenset(entry.crossed if entry else ()),
    )
    safety = [_ask(condition, "safety", question, waived=False) for condition in SAFETY]
    return (*safety, *(_ask(condition, "comfort", question, waived=urgent) for condition in COMFORT))


def _ask(condition: Condition, kind: str, question: ConditionQuery, *, waived: bool) -> Asked:
    verdict, name = condition(question), condition.__name__
    if verdict.allowed:
        return Asked(name, True, kind, verdict.reason)
    remedy = "" if waived else against(name, question.thresholds, unknown=" is unknown: " in verdict.reason)
    return Asked(name, False, kind, verdict.reason, waived, remedy)


def _facts(look: Snapshot, wanted: Assignment | None, headline: str) -> dict[str, str]:
    """What stands, label by label; times stand in `_times` under the same labels."""
    device, entry, plan = look.device, look.entry, look.device.plan
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
    told = entry.status.reason if entry is not None and entry.status.state == device.phase else device.reason
    facts["state"] = device.phase.value + ("" if told in headline else f": {told}")
    if entry is not None and look.runs:
        facts["link"] = "up" if entry.link_up else f"down: {entry.link_trouble or 'not tried yet'}"
    if entry is not None and entry.status.next_check is not None and look.runs:
        facts["next check"] = "the device looks again by itself"
        if look.now > entry.status.next_check + SILENT:
            facts["next check"] = "overdue, or not written down"
    for refusal in device.refusals[-3:]:
        facts[f"refused {refusal.version}"] = refusal.reason
    for finding in device.findings[-3:]:
        facts[f"refused {finding.version} {finding.variant}"] = finding.reason
    facts["client"] = f"process {look.runs}" if look.runs else "does not run"
    return facts


def _times(look: Snapshot) -> dict[str, datetime]:
    """Since when, or at what time, for the labels of `_facts`."""
    entry = look.entry
    if entry is None:
        return {}
    known = {
        "runs": entry.live_since if look.device.live else None,
        "plan": entry.plan_since if look.device.plan else None,
        "state": entry.state_since,
        "link": entry.link_since if look.runs else None,
        "next check": entry.status.next_check if look.runs else None,
    }
    return {label: at for label, at in known.items() if at is not None}

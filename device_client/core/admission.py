"""May this device begin this variant of this version now? The one place to decide it.

`may_begin` goes through plan, readings, variant, conditions and strategy; each step
hands on a record: `Goal`, `Readings`, `VariantSelection`, `Verdict`, `Decision`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from device_client.core.conditions.conditions import ConditionQuery, Needs, judge
from device_client.core.conditions.readings import Readings
from device_client.core.goal import Goal
from device_client.core.policy import Policy, Smart
from device_client.core.state import CheckHistory, Installed, Moment, Target
from device_client.core.strategy.quality_score import Score, score
from device_client.core.strategy.strategies import Occasion, decide, pause_min_s
from device_client.core.variants.selection import VariantSelection, select

NO_VARIANT_RECHECK_S: Final = 600.0
HELD: Final = "the publisher holds this release"


@dataclass(frozen=True, slots=True)
class Begin:
    """Fetch the target now. `note`: ends the reason, where the live model is bad."""

    target: Target
    note: str = ""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Not now. `next_check_s`: None where only a new plan helps."""

    reason: str
    next_check_s: float | None


@dataclass(frozen=True, slots=True)
class ReadSensors:
    """The readings are too old to decide."""


@dataclass(frozen=True, slots=True)
class KeepVariant:
    """Another variant was wanted, and the live one is the best again."""

    live: Installed


Admission = Begin | NotYet | ReadSensors | KeepVariant


def may_begin(policy: Policy, goal: Goal, moment: Moment, now_s: float) -> tuple[Admission, CheckHistory]:
    """Return the decision, and what the next check must know of this one."""
    history, plan, seen = moment.history, goal.plan, moment.seen
    if plan.hold:
        return NotYet(HELD, None), history
    slot_s = (moment.assigned.at_s if moment.assigned else 0.0) + plan.start_delay_s(policy.device)
    if now_s < slot_s and plan.urgency != "urgent":
        return NotYet(f"starts in its own slot of the {plan.spread_s} s spread", slot_s), history

    fresh_s = min(policy.readings_fresh_s, pause_min_s(policy.strategy))
    if seen.at_s is None or now_s >= seen.at_s + fresh_s:
        return ReadSensors(), history
    readings = seen.readings.after(now_s - seen.at_s)

    selection = select(policy, goal, readings)
    running = goal.running if goal.other_variant else None
    if running is not None and (isinstance(selection, str) or goal.runs(selection.variant)):
        return KeepVariant(running), history
    if isinstance(selection, str):
        return NotYet(selection, now_s + NO_VARIANT_RECHECK_S), history

    quality = _score(policy, goal, readings)
    badly = _reason_to_hurry(policy, goal, quality)
    query = ConditionQuery(readings, policy.thresholds, needs(goal, selection), history.crossed)
    because = "the live model does badly" if badly else "urgent"
    verdict = judge(query, urgent=goal.urgent or bool(badly), because=because)
    since_s = history.allowed_since_s if history.allowed_since_s is not None else now_s
    history = replace(history, crossed=verdict.crossed, allowed_since_s=since_s if verdict.allowed else None)

    occasion = Occasion(
        verdict=verdict,
        now_s=now_s,
        local_time=readings.local_time,
        checked_at_s=history.checked_at_s,
        allowed_since_s=history.allowed_since_s,
        urgent=goal.urgent,
        score=quality,
        interval_s=history.interval_s,
    )
    decision = decide(policy.strategy, occasion)
    checked_at_s = now_s if decision.checked else history.checked_at_s
    history = replace(history, interval_s=decision.interval_s, checked_at_s=checked_at_s)
    if not decision.begin:
        return NotYet(decision.reason, decision.next_check_s), history
    return Begin(_target(goal, selection), f"; comfort is waived: {badly}" if badly else ""), history


def needs(goal: Goal, selection: VariantSelection) -> Needs:
    """What the update takes: briefly, encoding and file are both on the disk."""
    variant, files = selection.variant, goal.manifest.files
    sizes = {
        sha256: encoding.tree.size_bytes + size_bytes
        for sha256, size_bytes, encoding in (
            (variant.sha256, variant.size_bytes, selection.encoding),
            *((each.sha256, each.size_bytes, way) for each, way in zip(files, selection.file_encodings, strict=True)),
        )
    }
    live = goal.running if goal.other_variant else None
    return Needs(
        disk_bytes=sum(size_bytes for sha256, size_bytes in sizes.items() if sha256 not in goal.files),
        memory_bytes=variant.requires.memory_bytes,
        relieves=live is not None and live.takes_more_memory_than(variant),
    )


def _score(policy: Policy, goal: Goal, readings: Readings) -> Score | None:
    """None where the strategy does not depend on it."""
    if not isinstance(policy.strategy, Smart):
        return None
    expected = goal.live.variant.measured.accuracy if goal.live else None
    return score(policy.strategy, readings.quality, expected)


def _reason_to_hurry(policy: Policy, goal: Goal, quality: Score | None) -> str:
    """The figures of a live model so bad that they waive comfort; empty otherwise."""
    if goal.urgent or quality is None or not isinstance(policy.strategy, Smart):
        return ""
    return quality.figures if quality.value < policy.strategy.comfort_score else ""


def _target(goal: Goal, selection: VariantSelection) -> Target:
    return Target(
        manifest=goal.manifest,
        variant=selection.variant,
        encoding=selection.encoding,
        golden_encoding=selection.golden_encoding,
        attempt=goal.attempt,
        plan_sequence=goal.plan.sequence,
        choice=selection.reason,
        file_encodings=selection.file_encodings,
        recalled=goal.committed and not goal.other_variant,
    )

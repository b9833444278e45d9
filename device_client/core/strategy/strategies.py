"""When to begin an allowed update: periodic, in windows, conditional or smart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from device_client.core.conditions.conditions import Verdict
from device_client.core.conditions.readings import Unknown
from device_client.core.conditions.time_windows import is_open, opening, until_open_s
from device_client.core.policy import Conditional, Periodic, Smart, Strategy
from device_client.core.strategy.quality_score import Score, interval_s, score

GROWTH: Final = 2.0  # limit of a smart interval's growth from check to check; it shrinks at once
WAITING_AGE_MAX_S: Final = 300.0
SOON_S: Final = 60.0
BLINK_S: Final = 0.1  # readings are never stale at once


@dataclass(frozen=True, slots=True)
class Decision:
    """Begin now, or check again at `next_check_s`, and why."""

    begin: bool
    reason: str
    next_check_s: float
    checked: bool = True  # the check was due and counts as one
    interval_s: float | None = None  # for the next occasion, where the strategy varies it


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a strategy decides on. All times are of one clock."""

    verdict: Verdict
    now_s: float
    local_time: datetime | Unknown
    checked_at_s: float | None
    allowed_since_s: float | None
    urgent: bool
    score: Score | None = None  # of the live model, for a smart device
    interval_s: float | None = None  # its last


def decide(strategy: Strategy, occasion: Occasion) -> Decision:
    """Return the decision; outside the hours for updates, check when they begin."""
    decision, opens_in_s = _decide(strategy, occasion), occasion.verdict.opens_in_s
    if decision.begin or opens_in_s is None:
        return decision
    intervals_s = [each_s for each_s in (decision.interval_s, occasion.interval_s) if each_s is not None]
    due_s = min(decision.next_check_s, occasion.now_s + opens_in_s)
    return replace(decision, checked=False, next_check_s=due_s, interval_s=min(intervals_s, default=None))


def _decide(strategy: Strategy, occasion: Occasion) -> Decision:
    match strategy:
        case Periodic(windows=()):
            return _periodic(strategy, occasion)
        case Periodic():
            return _in_windows(strategy, occasion)
        case Conditional():
            return _conditional(strategy, occasion)
        case Smart():
            return _smart(strategy, occasion, occasion.score or score(strategy, None))


def waiting_age_max_s(strategy: Strategy, *, by_the_clock: bool = False) -> float | None:
    """The age at which readings are taken again before a check is due, or None."""
    match strategy:
        case Periodic(windows=windows):
            return WAITING_AGE_MAX_S if windows or by_the_clock else None  # a wall clock may jump
        case Smart(interval_min_s=shortest_s):
            return min(WAITING_AGE_MAX_S, shortest_s)  # a model's quality may drop
        case _:
            return None


def pause_min_s(strategy: Strategy) -> float:
    """The shortest time between two checks, each of which needs new readings."""
    match strategy:
        case Periodic(every_s=every_s, windows=windows):
            pause_s = min(SOON_S, every_s) if windows else every_s
        case Conditional(recheck_s=recheck_s):
            pause_s = recheck_s
        case Smart(interval_min_s=shortest_s):
            pause_s = shortest_s
    return max(BLINK_S, pause_s)


def _in_windows(strategy: Periodic, occasion: Occasion) -> Decision:
    verdict, now_s = occasion.verdict, occasion.now_s
    pause_s = min(SOON_S, strategy.every_s)  # inside a window the next check comes soon
    if occasion.urgent:
        return Decision(verdict.allowed, verdict.reason, now_s + pause_s)
    if isinstance(occasion.local_time, Unknown):
        reason = f"the local time is unknown: {occasion.local_time.reason}"
        return Decision(False, reason, now_s + SOON_S, checked=False)
    if not is_open(strategy.windows, occasion.local_time):
        opens = opening(strategy.windows, occasion.local_time)
        reason = f"outside the update windows; the next opens at {opens:%H:%M} local time"
        return Decision(False, reason, now_s + until_open_s(strategy.windows, occasion.local_time), checked=False)
    return Decision(verdict.allowed, verdict.reason, now_s + pause_s)


def _periodic(strategy: Periodic, occasion: Occasion) -> Decision:
    verdict, now_s = occasion.verdict, occasion.now_s
    if occasion.urgent:
        return Decision(verdict.allowed, verdict.reason, now_s + min(SOON_S, strategy.every_s))
    if occasion.checked_at_s is not None and now_s < (due_s := occasion.checked_at_s + strategy.every_s):
        return Decision(False, _while_waiting(verdict, f"looks every {_span(strategy.every_s)}"), due_s, checked=False)
    return Decision(verdict.allowed, verdict.reason, now_s + strategy.every_s)


def _conditional(strategy: Conditional, occasion: Occasion) -> Decision:
    now_s = occasion.now_s
    if not occasion.verdict.allowed:
        return Decision(False, occasion.verdict.reason, now_s + strategy.recheck_s)
    since_s = occasion.allowed_since_s if occasion.allowed_since_s is not None else now_s
    ready_s = since_s + strategy.hold_s
    if now_s < ready_s and not occasion.urgent:
        reason = f"conditions hold; waiting until they have held for {_span(strategy.hold_s)}"
        return Decision(False, reason, min(ready_s, now_s + strategy.recheck_s))
    return Decision(True, occasion.verdict.reason, now_s)


def _smart(strategy: Smart, occasion: Occasion, model: Score) -> Decision:
    verdict, now_s, last_s = occasion.verdict, occasion.now_s, occasion.interval_s
    goal_s = interval_s(strategy, model.value)
    pause_s = goal_s if last_s is None else min(goal_s, last_s)
    if not occasion.urgent and occasion.checked_at_s is not None and now_s < (due_s := occasion.checked_at_s + pause_s):
        reason = _while_waiting(verdict, f"looks every {_span(pause_s)}: {model.figures}")
        return Decision(False, reason, due_s, checked=False, interval_s=pause_s)
    pause_s = goal_s if last_s is None else min(goal_s, last_s * GROWTH)
    if verdict.allowed:
        return Decision(True, f"{verdict.reason}; {model.figures}", now_s + pause_s, interval_s=pause_s)
    reason = f"{verdict.reason}; looks every {_span(pause_s)}: {model.figures}"
    return Decision(False, reason, now_s + (min(SOON_S, pause_s) if occasion.urgent else pause_s), interval_s=pause_s)


def _while_waiting(verdict: Verdict, reason: str) -> str:
    return reason if verdict.allowed else f"{verdict.reason}; {reason}"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3600:.1f} h"

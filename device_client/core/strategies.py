"""When to begin an update that the conditions allow: every so often, in windows, or as soon as they have held."""

from __future__ import annotations

from dataclasses import dataclass

from device_client.core.conditions import Verdict
from device_client.core.policy import Conditional, Periodic, Strategy

MINUTES_A_DAY = 1_440


@dataclass(frozen=True, slots=True)
class Decision:
    """Begin now, or look again at `next_check_s`, and why. `looked`: the conditions were asked, for it was time."""

    begin: bool
    reason: str
    next_check_s: float
    looked: bool = True


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a strategy weighs: the verdict on the conditions, and when things last happened (seconds of one clock)."""

    verdict: Verdict
    now_s: float
    local_minute: int
    checked_at_s: float | None
    allowed_since_s: float | None
    urgent: bool


def decide(strategy: Strategy, occasion: Occasion) -> Decision:
    """Say whether to begin."""
    match strategy:
        case Periodic():
            return _periodic(strategy, occasion)
        case Conditional():
            return _conditional(strategy, occasion)


def _periodic(strategy: Periodic, occasion: Occasion) -> Decision:
    now_s = occasion.now_s
    if not occasion.urgent:
        if strategy.windows and not any(window.holds(occasion.local_minute) for window in strategy.windows):
            wait = min((window.start_minute - occasion.local_minute) % MINUTES_A_DAY for window in strategy.windows)
            reason = f"outside the update windows; the next opens in {_span(wait * 60)}"
            return Decision(False, reason, now_s + wait * 60, looked=False)
        if not strategy.windows and occasion.checked_at_s is not None:
            due_s = occasion.checked_at_s + strategy.every_s
            if now_s < due_s:
                return Decision(False, f"looks every {_span(strategy.every_s)}", due_s, looked=False)
    # inside a window the next look comes soon; without windows, after the period
    pause_s = min(60.0, strategy.every_s) if strategy.windows or occasion.urgent else strategy.every_s
    return Decision(occasion.verdict.allowed, occasion.verdict.reason, now_s + pause_s)


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


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3600:.1f} h"

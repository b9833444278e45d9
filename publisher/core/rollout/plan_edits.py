"""Edits of a plan: each takes the current plan and returns the next one.

The rules of a plan go from special to general: pinned devices, the audience of the
newest release, then every other device.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from protocol.errors import BadInput, BadName, UnknownVersion
from protocol.messages.base import first_error
from protocol.messages.plan import Plan, RolloutStage, Rule, Urgency
from protocol.topics import check_name
from publisher.core.rollout.audience import Audience

VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
DEVICES_PINNED_MAX: Final = 1_000  # in one rule
HISTORY_KEPT: Final = 30  # stages; the bundle has 64 KB


def check_version(version: str) -> str:
    """Return `version` if it is a valid name of a version. Raises BadName."""
    if not VERSION.fullmatch(version):
        raise BadName(
            f"{version[:80]!r} cannot be a version", hint="such as 1.0.0: up to 64 of a-z, A-Z, 0-9 and . + _ -"
        )
    return version


def release(
    plan: Plan | None, model: str, version: str, audience: Audience, now: datetime, *, urgency: Urgency, spread_s: int
) -> Plan:
    """Offer a version to an audience; other devices keep theirs. Raises BadInput."""
    check_version(version)
    rules = [*_pins(plan), _rule_for(audience, model, version)]
    if not audience.everybody:
        rules += [rule for rule in _general(plan) if rule.version != version]
    what = f"{version} to {audience}"
    return _next(plan, model, rules, now, what, version=version, urgency=urgency, spread_s=spread_s, hold=False)


def advance(plan: Plan, audience: Audience, now: datetime) -> Plan:
    """Widen the newest version's audience. Raises BadInput if it is as wide already."""
    newest = newest_version(plan)
    current = [rule for rule in _general(plan) if rule.version == newest]
    others = [rule for rule in _general(plan) if rule.version != newest]
    rule = _rule_for(audience, plan.model, newest)
    if audience.everybody:
        rules = [rule]
    else:
        _check_wider(plan, newest, current, audience)
        # a larger share includes the smaller one; a group is an audience of its own
        kept = [old for old in current if old.groups or audience.group is not None]
        rules = [rule, *(old for old in kept if old != rule), *others]
    return _next(plan, plan.model, [*_pins(plan), *rules], now, f"{newest} to {audience}", version=newest)


def roll_back(plan: Plan, version: str | None, now: datetime) -> Plan:
    """Recall the newest version, and pins on it. Raises UnknownVersion, BadInput."""
    newest = newest_version(plan)
    back = check_version(version) if version is not None else predecessor(plan, newest)
    if back is None:
        raise UnknownVersion(
            f"{plan.model} has no version before {newest}", hint="pass --version to say which one to go back to"
        )
    if back == newest:
        raise BadInput(f"{newest} is what {plan.model} spreads now", hint="pass an older --version")
    rules = [*(rule for rule in _pins(plan) if rule.version != newest), Rule(version=back)]
    what = f"rolled back from {newest} to {back}"
    # without a spread: a delayed recall leaves a bad model running
    return _next(plan, plan.model, rules, now, what, version=back, urgency="urgent", spread_s=0, hold=False)


def pin(plan: Plan, version: str, devices: tuple[str, ...], now: datetime) -> Plan:
    """Have some devices run a version, also one that they have rejected before."""
    check_version(version)
    if len(devices) > DEVICES_PINNED_MAX:
        raise BadInput(f"{len(devices)} devices at once", hint=f"at most {DEVICES_PINNED_MAX}; use a group instead")
    devices = tuple(dict.fromkeys(check_name(device, "device") for device in devices))
    rule = Rule(version=version, devices=devices, attempt=plan.sequence + 1)
    rules = [rule, *_without(plan, devices)]
    return _next(plan, plan.model, rules, now, f"pinned {', '.join(devices)} to {version}"[:400])


def unpin(plan: Plan, devices: tuple[str, ...], now: datetime) -> Plan:
    """Have pinned devices follow the fleet again. Raises BadInput for others."""
    pinned = {device for rule in _pins(plan) for device in rule.devices}
    unpinned = sorted(set(devices) - pinned)
    if unpinned:
        raise BadInput(f"{', '.join(unpinned)} is not pinned in the plan of {plan.model}")
    return _next(plan, plan.model, _without(plan, devices), now, f"unpinned {', '.join(devices)}"[:400])


def hold(plan: Plan, now: datetime) -> Plan:
    """Have devices that have not swapped yet wait."""
    return _next(plan, plan.model, list(plan.rules), now, "held", hold=True)


def resume(plan: Plan, now: datetime) -> Plan:
    return _next(plan, plan.model, list(plan.rules), now, "resumed", hold=False)


def newest_version(plan: Plan) -> str:
    """The version of the first general rule. Raises UnknownVersion without one."""
    general = _general(plan)
    if not general:
        raise UnknownVersion(f"the plan of {plan.model} names no version for the fleet")
    return general[0].version


def predecessor(plan: Plan, version: str) -> str | None:
    """What the fleet ran before `version` was first released; None without any."""
    before: str | None = None
    for stage in plan.history:
        if stage.version == version:
            break
        before = stage.version or before
    others = [rule.version for rule in _general(plan) if rule.version != version]
    return others[-1] if others else before


def _pins(plan: Plan | None) -> list[Rule]:
    return [rule for rule in plan.rules if rule.devices] if plan else []


def _general(plan: Plan | None) -> list[Rule]:
    return [rule for rule in plan.rules if not rule.devices] if plan else []


def _check_wider(plan: Plan, newest: str, current: list[Rule], audience: Audience) -> None:
    """Refuse an audience that takes the version from a device: only a rollback may."""
    percent = max((rule.percent for rule in current if rule.percent is not None and not rule.groups), default=0.0)
    everybody = any(rule.percent is None and not rule.groups for rule in current)
    if everybody or (audience.percent is not None and audience.percent < percent):
        now = "every device" if everybody else f"{percent:g} % of the fleet"
        raise BadInput(
            f"{plan.model} {newest} goes to {now} already, and {audience} is no more",
            hint=f"an audience only grows; to recall it: publisher rollback {plan.model}",
        )


def _without(plan: Plan, devices: tuple[str, ...]) -> list[Rule]:
    rules = []
    for rule in plan.rules:
        left = tuple(device for device in rule.devices if device not in devices)
        if left or not rule.devices:
            rules.append(rule.model_copy(update={"devices": left}))
    return rules


def _rule_for(audience: Audience, model: str, version: str) -> Rule:
    groups = (audience.group,) if audience.group else ()
    salt = f"{model} {version}" if audience.percent is not None else ""
    return Rule(version=version, percent=audience.percent, groups=groups, salt=salt)


def _next(
    plan: Plan | None,
    model: str,
    rules: list[Rule],
    now: datetime,
    what: str,
    *,
    version: str | None = None,
    urgency: Urgency | None = None,
    spread_s: int | None = None,
    hold: bool | None = None,
) -> Plan:
    sequence = plan.sequence + 1 if plan else 1
    history = plan.history if plan else ()
    try:
        return Plan(
            model=model,
            sequence=sequence,
            rules=tuple(rules),
            hold=hold if hold is not None else bool(plan and plan.hold),
            urgency=urgency or (plan.urgency if plan else "routine"),
            spread_s=spread_s if spread_s is not None else (plan.spread_s if plan else 0),
            created=now,
            history=_shortened((*history, RolloutStage(sequence=sequence, at=now, what=what, version=version))),
        )
    except ValidationError as refused:
        raise BadInput(f"no such plan can be made for {model}: {first_error(refused)}") from None


def _shortened(history: tuple[RolloutStage, ...]) -> tuple[RolloutStage, ...]:
    """The newest stages. Holds and pins go first, as rollbacks need the releases."""
    surplus = len(history) - HISTORY_KEPT
    idle = [stage for stage in history[:-1] if stage.version is None][: max(0, surplus)]
    return tuple(stage for stage in history if stage not in idle)[-HISTORY_KEPT:]

"""Every road that the device's table opens: each kind of state met with each kind of event, until nothing new comes.

The core is asked, not read: `roads()` is what it does. States that differ only in the time, the link or a sequence
number count as one. What is written from this is docs/STATES.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from device_client.core import events as happened
from device_client.core.device import Device, Phase, State
from device_client.core.policy import Conditional, DownloadLimits, TrialLimits
from device_client.core.updater import step
from protocol.plan import Plan
from tests.builders import a_hash, a_manifest, a_plan, a_policy, a_rule, a_state, a_tally, fit_readings

OLD, NEW = "1.0.0", "2.0.0"
Roads = dict[tuple[Phase, type], frozenset[Phase]]

LONG_S: Final = 4_000.0  # longer than any deadline
CHUNK: Final = a_hash("a chunk")
MANIFESTS: Final = {version: a_manifest(version) for version in (OLD, NEW)}
POLICY: Final = a_policy(
    trial=TrialLimits(restarts_max=1),
    download=DownloadLimits(barren_rounds_max=1, retry_min_s=0.0),
    strategy=Conditional(hold_s=1.0, recheck_s=10.0),  # waits too, and then begins without another look
)
PLANS: Final[tuple[dict[str, Any], ...]] = (
    {"version": None},
    {"version": OLD},
    {"version": NEW},
    {"version": NEW, "hold": True},
    {"version": NEW, "urgency": "urgent"},
    {"rules": [a_rule(NEW, attempt=2)]},
)
ANYTIME: Final[tuple[tuple[happened.Event, float], ...]] = (
    (happened.Started(), 0.0),
    (happened.LinkUp(), 0.0),
    (happened.LinkDown("a tree fell on the mast"), 0.0),
    (happened.PlanRefused("signed by a stranger"), 0.0),
    (happened.ReadingsTaken(fit_readings()), 0.0),
    (happened.ReadingsTaken(fit_readings(battery_percent=3.0)), 0.0),
    (happened.TimePassed(), 1.0),
    (happened.TimePassed(), 5.0),
    (happened.TimePassed(), LONG_S),
    (happened.TallyTaken(a_tally()), LONG_S),
    (happened.TallyTaken(a_tally(agreed=0, live_errors=50, shadow_errors=50)), LONG_S),
    (happened.TallyTaken(a_tally(0)), 1.0),
)


@cache
def roads() -> Roads:
    """To which phases each event leads from each phase, those that it leaves as they are included."""
    found: dict[tuple[Phase, type], set[Phase]] = {}
    start = a_state(link_up=True)
    seen, todo = {_kind(start)}, deque([(start, 0.0)])
    while todo:
        state, now_s = todo.popleft()
        for event, after_s in _events(state):
            before = a_state(state.device) if isinstance(event, happened.Started) else state
            after, _ = step(POLICY, before, event, now_s + after_s)
            found.setdefault((state.device.phase, type(event)), set()).add(after.device.phase)
            if _kind(after) not in seen and not isinstance(event, happened.LinkDown):
                seen.add(_kind(after))
                todo.append((after.with_moment(link_up=True), now_s + after_s))
    return {at: frozenset(phases) for at, phases in found.items()}


def _events(state: State) -> Iterator[tuple[happened.Event, float]]:
    """All that can happen to it, and after how many seconds."""
    device, download = state.device, state.moment.download
    yield from ANYTIME
    sequence = device.plan.sequence + 1 if device.plan else 1
    for wanted in PLANS:
        yield _trusted(a_plan(sequence=sequence, **wanted)), 0.0
    if download:
        blob = download.sha256
        yield happened.BlobOpened(blob, (), 1, 1), 0.0
        yield happened.BlobOpened(blob, (CHUNK,), 0, 1), 0.0
        yield happened.BlobReady(blob), 0.0
        yield happened.BlobBroken(blob, "unpacks to other bytes than were signed"), 0.0
        yield happened.DiskFailed("the disk is full"), 0.0
        yield happened.ChunkKept(CHUNK), 0.0
        yield happened.ChunkLied(CHUNK), 0.0
        yield happened.ChunksSwept((CHUNK,)), 0.0
    if device.target:
        file = device.target.variant.sha256
        yield happened.ProofEnded(file, True, "reproduced its golden outputs"), 0.0
        yield happened.ProofEnded(file, False, "output 3 differs by 0.4"), 0.0
        yield happened.ModelFailed(file, "truncated"), 0.0
    for installed in device.installed():
        yield happened.ModelFailed(installed.variant.sha256, "truncated"), 0.0


def _trusted(plan: Plan) -> happened.PlanTrusted:
    return happened.PlanTrusted(plan, {version: MANIFESTS[version] for version in plan.versions()})


def _kind(state: State) -> tuple[object, ...]:
    """What two states must have in common to be one of a kind."""
    device, download = state.device, state.moment.download
    return (
        device.phase,
        tuple(installed and installed.version for installed in (device.live, device.previous)),
        _goal(device),
        frozenset(device.committed),
        frozenset((refusal.version, refusal.attempt) for refusal in device.refusals),
        download and (download.sha256, download.nothing_missing),
    )


def _goal(device: Device) -> tuple[object, ...]:
    """What the plan wants, and what the device is on its way to."""
    plan, target = device.plan, device.target
    return (
        plan and (plan.rules, plan.hold, plan.urgency),
        target and (target.version, target.attempt, target.recalled, min(target.restarts, 2)),
    )

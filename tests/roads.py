"""All transitions of the device's table: each kind of state with each kind of event.

`roads()` runs the core until nothing new comes. States that differ only in time, link
or sequence number count as one. docs/STATES.md is written from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from device_client.core import events as happened
from device_client.core.policy import Conditional, DownloadLimits, TrialLimits
from device_client.core.state import Connection, Device, Installed, Phase, State
from device_client.core.state_machine import step
from protocol.messages.manifest import Manifest, Requirements
from protocol.messages.plan import Plan
from tests.builders import (
    a_device,
    a_hash,
    a_manifest,
    a_plan,
    a_policy,
    a_rule,
    a_state,
    a_tally,
    a_variant,
    fit_readings,
)

OLD, NEW = "1.0.0", "2.0.0"
Roads = dict[tuple[Phase, type], frozenset[Phase]]
Wishes = tuple[dict[str, Any], ...]  # what a publisher may plan, as `a_plan` is told
Happening = tuple[happened.Event, float]  # after so many seconds
Happenings = tuple[Happening, ...]

LONG_S: Final = 4_000.0  # longer than any deadline
CHUNK: Final = a_hash("a chunk")
SCARCE_BYTES: Final = 300_000_000  # of free memory: the smaller variant of two fits
SCARCE: Final = (happened.ReadingsTaken(fit_readings(memory_free_bytes=SCARCE_BYTES)), LONG_S)
MEMORY_BYTES: Final = {"float32": 400_000_000, "int8": 10_000_000}
POLICY: Final = a_policy(
    trial=TrialLimits(restarts_max=1),
    download=DownloadLimits(barren_rounds_max=1, retry_min_s=0.0),
    strategy=Conditional(hold_s=1.0, recheck_s=10.0),  # waits too, and then begins without another look
)
BACK: Final[dict[str, Any]] = {"version": OLD}
NEWER: Final[dict[str, Any]] = {"version": NEW}
HELD: Final[dict[str, Any]] = NEWER | {"hold": True}
PLANS: Final[Wishes] = (
    {"version": None},
    BACK,
    NEWER,
    HELD,
    NEWER | {"urgency": "urgent"},
    {"rules": [a_rule(NEW, attempt=2)]},
)
ANYTIME: Final[Happenings] = (
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


def _manifest(version: str) -> Manifest:
    """Two variants, of which one needs a device with much memory."""
    variants = [
        a_variant(name, of=version, accuracy=accuracy, requires=Requirements(memory_bytes=MEMORY_BYTES[name]))
        for name, accuracy in (("float32", 0.95), ("int8", 0.94))
    ]
    return a_manifest(version, variants=variants)


MANIFESTS: Final = {version: _manifest(version) for version in (OLD, NEW)}


@cache
def roads() -> Roads:
    """The phases to which each event leads from each phase, itself included.

    Another variant (`variants.switching`) is explored by itself: together is too slow.
    """
    settled = a_device(Phase.COMMITTED, plan=_plan(1, NEWER), committed=(OLD, NEW))
    settled = settled.becomes(live=_installed(NEW), previous=_installed(OLD), manifests=MANIFESTS)
    journeys = (
        _explore(a_device(), PLANS, ANYTIME),
        _explore(settled, (NEWER, HELD), (*ANYTIME, SCARCE)),
        _explore(settled, (BACK,), (*ANYTIME, SCARCE)),
    )
    events = {at for journey in journeys for at in journey}
    return {at: frozenset().union(*(journey.get(at, ()) for journey in journeys)) for at in events}


def _explore(device: Device, wishes: Wishes, anytime: Happenings) -> Roads:
    found: dict[tuple[Phase, type], set[Phase]] = {}
    start = a_state(device, link_up=True)
    seen, todo = {_kind(start)}, deque([(start, 0.0)])
    while todo:
        state, now_s = todo.popleft()
        for event, after_s in (*anytime, *_plans(state, wishes), *_files(state)):
            before = a_state(state.device) if isinstance(event, happened.Started) else state
            after, _ = step(POLICY, before, event, now_s + after_s)
            found.setdefault((state.device.phase, type(event)), set()).add(after.device.phase)
            if _kind(after) not in seen and not isinstance(event, happened.LinkDown):
                seen.add(_kind(after))
                todo.append((after.with_moment(link=Connection(up=True)), now_s + after_s))
    return {at: frozenset(phases) for at, phases in found.items()}


def _plans(state: State, wishes: Wishes) -> Iterator[Happening]:
    known = state.device.plan
    for wish in wishes:
        plan = _plan(known.sequence + 1 if known else 1, wish)
        yield happened.PlanTrusted(plan, {version: MANIFESTS[version] for version in plan.versions()}), 0.0


def _files(state: State) -> Iterator[Happening]:
    """Events about files that it has and fetches."""
    device, download = state.device, state.moment.download
    if download:
        blob = download.sha256
        yield happened.BlobOpened(blob, (), 1, 1), 0.0
        yield happened.BlobOpened(blob, (CHUNK,), 0, 1), 0.0
        yield happened.BlobReady(blob), 0.0
        yield happened.BlobBroken(blob, "unpacks to other bytes than were signed"), 0.0
        yield happened.DiskFailed("the disk is full"), 0.0
        yield happened.ChunkKept(CHUNK), 0.0
        yield happened.ChunkCorrupt(CHUNK), 0.0
        yield happened.ChunksSwept((CHUNK,)), 0.0
    if device.target:
        file = device.target.variant.sha256
        yield happened.ProofEnded(file, True, "reproduced its golden outputs"), 0.0
        yield happened.ProofEnded(file, False, "output 3 differs by 0.4"), 0.0
        yield happened.ProofNotTried(file, "Too many open files"), 0.0
        yield happened.ModelFailed(file, "truncated"), 0.0
    for installed in device.installed():
        yield happened.ModelFailed(installed.variant.sha256, "truncated"), 0.0
        yield happened.ModelFailed(installed.variant.sha256, "truncated", damaged=True), 0.0


def _plan(sequence: int, wish: dict[str, Any]) -> Plan:
    return a_plan(sequence=sequence, **wish)


def _installed(version: str) -> Installed:
    return Installed(manifest=MANIFESTS[version], variant=MANIFESTS[version].variants[0])


def _kind(state: State) -> tuple[object, ...]:
    """What two states must have in common to be one of a kind.

    Of what was committed and refused only what bears on the installed and the wanted
    version counts; all of it takes five times as long and finds the same roads.
    """
    device, download = state.device, state.moment.download
    plan, target = device.plan, device.target
    wanted = plan.assign(POLICY.device) if plan else None
    versions = [each and each.version for each in (device.live, device.previous, wanted)]
    return (
        device.phase,
        tuple(each and (each.version, each.variant.name) for each in (device.live, device.previous, device.behind)),
        plan and (plan.rules, plan.hold, plan.urgency),
        target and (target.version, target.attempt, target.recalled, min(target.restarts, 2)),
        bool(device.refit),
        (state.moment.recheck.preferred, state.moment.seen.readings.memory_free_bytes == SCARCE_BYTES),
        tuple(version in device.committed for version in versions),
        wanted and bool(device.refused(wanted.version, wanted.attempt)),
        download and (download.sha256, download.nothing_missing),
    )

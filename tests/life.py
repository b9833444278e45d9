"""One device's core, driven event by event, with its state and effects after each.

No adapters, no clock of its own. Each step checks that the state survives its JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from device_client.core.effects import Announce, Effect, Effects, TakeReadings
from device_client.core.events import (
    BlobOpened,
    BlobReady,
    Event,
    LinkUp,
    PlanTrusted,
    ProofEnded,
    ReadingsTaken,
    Started,
    TallyTaken,
    TimePassed,
)
from device_client.core.policy import Policy
from device_client.core.state import Device, Phase, State
from device_client.core.state_machine import step, wake_s
from device_client.core.status import status_of
from protocol.messages.device import Status
from protocol.messages.manifest import Manifest
from protocol.messages.plan import Plan
from tests.builders import NOON, a_device, a_hash, a_manifest, a_plan, a_policy, a_state, a_tally, fit_readings

E = TypeVar("E", bound=Effect)
LATENCY_MS: Final = 1.0  # of every proof
LONG_S: Final = 4_000.0  # longer than any deadline of a trial
ROAD: Final = (Phase.ASSIGNED, Phase.FETCHING, Phase.PROVING, Phase.SHADOWING, Phase.PROBATION, Phase.COMMITTED)


class Life:
    """A connected device. `asked`: all effects; `told`: every status that differed."""

    def __init__(self, device: Device | None = None, policy: Policy | None = None) -> None:
        self.policy = policy or a_policy()
        self.now_s = 1_000.0
        self.state: State = a_state(device or a_device(), link_up=True)
        self.asked: list[Effect] = []
        self.told: list[Status] = []
        self.manifest: Callable[[str], Manifest] = a_manifest  # of the versions that a plan names

    @property
    def device(self) -> Device:
        """The saved part of the state."""
        return self.state.device

    @property
    def phase(self) -> Phase:
        """The phase."""
        return self.state.device.phase

    @property
    def live(self) -> str | None:
        """The live version."""
        return self.device.live.version if self.device.live else None

    @property
    def previous(self) -> str | None:
        """The previous version."""
        return self.device.previous.version if self.device.previous else None

    @property
    def outcomes(self) -> list[tuple[str, str, int]]:
        """Announced outcomes: outcome, version, attempt."""
        return [(said.outcome, said.version, said.attempt) for said in self.asked if isinstance(said, Announce)]

    def sees(self, event: Event, *, after_s: float = 0.0) -> Effects:
        """Step through an event; return the effects."""
        self.now_s += after_s
        before = self.device
        self.state, effects = step(self.policy, self.state, event, self.now_s)
        self.asked += effects
        status = status_of(self.policy, self.state, at=NOON, next_check=None)
        if not self.told or status != self.told[-1]:
            self.told.append(status)
        if self.device != before:
            assert 0 < len(self.device.reason) <= 500
            saved = self.device.model_dump_json()  # rounds the figures of the evidence
            assert Device.model_validate_json(saved).model_dump_json() == saved
        return effects

    def plans(self, version: str | None, *, sequence: int | None = None, **more: Any) -> Effects:
        """A newer plan is trusted."""
        known = self.device.plan.sequence if self.device.plan else 0
        return self.trusts(a_plan(version, sequence=sequence or known + 1, **more))

    def trusts(self, plan: Plan) -> Effects:
        """This very plan is trusted."""
        return self.sees(PlanTrusted(plan, {version: self.manifest(version) for version in plan.versions()}))

    def reads(self, **readings: Any) -> Effects:
        """The sensors are read."""
        return self.sees(ReadingsTaken(fit_readings(**readings)))

    def waits(self, seconds: float | None = None) -> Effects:
        """Time passes: this long, or until the next check."""
        if seconds is None:
            due_s = wake_s(self.policy, self.state)
            assert due_s is not None, f"nothing is waited for in {self.phase}: {self.device.reason}"
            seconds = max(0.0, due_s - self.now_s)
        return self.sees(TimePassed(), after_s=seconds)

    def restarts(self) -> Effects:
        """The process ends and comes back with what was saved; the link is up again."""
        self.state = a_state(Device.model_validate_json(self.device.model_dump_json()))
        return (*self.sees(Started()), *self.sees(LinkUp()))

    def proves(self, *, passed: bool = True, reason: str = "reproduced its golden outputs") -> Effects:
        """The child process ends."""
        target = self.device.target
        sha256 = target.variant.sha256 if target else a_hash("nothing")
        return self.sees(ProofEnded(sha256, passed, reason, samples=16, max_error=0.001, latency_ms_p50=LATENCY_MS))

    def counts(self, *, after_s: float = LONG_S, held: str = "", **tally: Any) -> Effects:
        """The counts are read, after every deadline by default."""
        return self.sees(TallyTaken(a_tally(**tally), held), after_s=after_s)

    def goes_to(self, phase: Phase, version: str = "2.0.0") -> Life:
        """The good road from rest to `phase`, or one of its lay-bys."""
        if phase in {Phase.DEFERRED, Phase.STALLED}:
            return self._turns_off_to(phase, version)
        for stop in ROAD[: ROAD.index(phase) + 1]:
            if stop is not Phase.SHADOWING or self.live is not None:
                self._goes_on_to(stop, version)
        assert self.phase is phase
        return self

    def _turns_off_to(self, phase: Phase, version: str) -> Life:
        self.goes_to(Phase.ASSIGNED if phase is Phase.DEFERRED else Phase.FETCHING, version)
        if phase is Phase.DEFERRED:
            self.reads(battery_percent=5.0)
        else:
            self.misses("a chunk")
            while self.phase is Phase.FETCHING:
                if only(TakeReadings, self.waits()):
                    self.reads()
        assert self.phase is phase
        return self

    def misses(self, *chunks: str) -> Effects:
        """The store reports these chunks of the blob as missing."""
        download = self.state.moment.download
        assert download is not None
        names = tuple(a_hash(chunk) for chunk in chunks)
        return self.sees(BlobOpened(download.sha256, names, 0, len(names)))

    def gets_blob(self) -> Effects:
        """The blob under way is whole."""
        download = self.state.moment.download
        assert download is not None
        return self.sees(BlobReady(download.sha256))

    def _goes_on_to(self, phase: Phase, version: str) -> None:
        match phase:
            case Phase.ASSIGNED:
                self.plans(version)
            case Phase.FETCHING:
                self.reads()
            case Phase.PROVING:
                while self.phase is Phase.FETCHING:
                    self.gets_blob()
            case Phase.SHADOWING:
                self.proves()
            case Phase.PROBATION:
                self.counts() if self.phase is Phase.SHADOWING else self.proves()
            case Phase.COMMITTED:
                self.counts()


def only(kind: type[E], effects: Effects | list[Effect]) -> list[E]:
    """The effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]

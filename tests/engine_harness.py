"""One engine over adapters in memory that fail on request, with a diary of calls.

Store and journal are the simulation's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from device_client.core.conditions.model_quality import Quality
from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.events import ChunksSwept, Event
from device_client.core.policy import Policy
from device_client.core.state import Phase
from device_client.core.trial.tally import Tally
from device_client.engine.engine import Engine
from device_client.feedback.window import FeedbackWindow
from device_client.ports.context import Adapters, Clock, LinkOutput
from device_client.ports.proof import NotTried, Proof, ProofOrder
from device_client.ports.serving import ModelFile, Swapped
from protocol.errors import BadModel, FerryError, SignatureRefused
from protocol.messages.device import Outcome, Status
from protocol.messages.plan import Plan
from protocol.topics import Kind, Topics
from protocol.trust.verification import Accepted
from tests.builders import NOON, a_plan, a_policy, a_tally, fit_readings
from tests.simulation.device import Disk, MemoryJournal, MemoryStore, Power
from tests.simulation.publisher import SimRegistry
from tests.simulation.world import World

Diary = list[str]


class StandingClock:
    """Does not move unless a test moves it."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def clock(self) -> Clock:
        return Clock(lambda: self.now_s, self.utc)

    def utc(self) -> datetime:
        return NOON + timedelta(seconds=self.now_s - 1_000.0)


class DiaryJournal(MemoryJournal):
    """Fails to write while `failure` is set, and to read while `unreadable` is."""

    def __init__(self, disk: Disk, diary: Diary) -> None:
        super().__init__(disk, Power(World(0)), self._call)
        self._diary = diary
        self.failure: FerryError | OSError | None = None
        self.log_failure: FerryError | OSError | None = None
        self.unreadable: FerryError | OSError | None = None

    def _call(self, name: str) -> None:
        failure = {"save_log_entry": self.log_failure, "waiting": self.unreadable}.get(name, self.failure)
        if failure is not None:
            raise failure
        if name in ("save", "enqueue", "delivered"):
            self._diary.append(name)


class DiaryStore(MemoryStore):
    """Fails in the calls that `failures` names."""

    def __init__(self, disk: Disk, diary: Diary) -> None:
        super().__init__(disk, Power(World(0)), self._call)
        self._diary = diary
        self.failures: dict[str, FerryError | OSError] = {}

    def _call(self, name: str) -> None:
        if name in self.failures:
            raise self.failures[name]
        self._diary.append(name)


class DiaryServing:
    """The Serving port; models in `broken` cannot be opened."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary
        self.broken: set[str] = set()
        self.live: ModelFile | None = None
        self.shadow: ModelFile | None = None
        self.share = 0.0
        self.counts = a_tally()
        self.windows: list[FeedbackWindow] = []
        self.of_late: Quality | None = None

    def swap(self, model: ModelFile) -> None:
        self.live = self._opened("swap", model)

    def start_shadow(self, model: ModelFile, share: float) -> None:
        self.share = share
        self.shadow = self._opened("shadow", model)

    def stop_shadow(self) -> None:
        self.shadow = None

    def tally(self) -> Tally:
        return self.counts

    def take_window(self, *, at_least: int) -> FeedbackWindow | None:
        return self.windows.pop(0) if self.windows and self.windows[0].sums.inferences >= at_least else None

    def drift_states(self) -> bytes | None:
        return b"[]"

    def quality(self) -> Quality | None:
        return self.of_late

    def _opened(self, what: str, model: ModelFile) -> ModelFile:
        if model.version in self.broken:
            raise BadModel(f"{model.version} is no model", hint="")
        self._diary.append(f"{what} {model.version}")
        return model


class DiaryProver:
    """The Prover port; ends when the test says so."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary
        self.order: ProofOrder | None = None
        self._done: Callable[[Proof | NotTried], None] | None = None

    def start(self, order: ProofOrder, done: Callable[[Proof | NotTried], None]) -> None:
        self._diary.append("prove")
        self.order, self._done = order, done

    def stop(self) -> None:
        self._done = None

    def ends(self, *, passed: bool = True, reason: str = "reproduced its golden outputs", **more: Any) -> None:
        """Pass the proof's result on."""
        assert self._done is not None, "nothing is being proved"
        self._done(Proof(passed, reason, samples=16, max_error=0.0, **more))

    def cannot(self, reason: str) -> None:
        """The device cannot run the proof."""
        assert self._done is not None, "nothing is being proved"
        self._done(NotTried(reason))


class StillSensors:
    def __init__(self) -> None:
        self.readings = fit_readings()

    def read(self) -> Readings:
        return self.readings

    def hold_reason(self) -> str:
        return self.readings.held


class EngineHarness:
    """An engine, versions 1.0.0 and 2.0.0 of its model, and methods that feed it."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        model: str = "digits",
        disk: Disk | None = None,
        output: LinkOutput | None = None,
        clock: StandingClock | None = None,
    ) -> None:
        self.policy = policy or a_policy(model=model)
        self.time = clock or StandingClock()
        self.disk = disk or Disk()
        self.registry = SimRegistry()
        for version in ("1.0.0", "2.0.0"):
            self.registry.add(version, leaves=3)
        self.diary: Diary = []
        self.said: list[tuple[str, bytes, bool]] = []
        self.swept: list[str] = []
        self.swaps: list[Swapped] = []
        self.refusal: FerryError | None = None  # of every bundle
        self.looks = 0  # at bundles
        self.round_trip_ms: float | Unknown = 12.0
        self._output = output or LinkOutput(
            self._say, self._sweep, lambda: self.diary.append("flush"), self._round_trip_ms
        )
        self.topics = Topics()
        self.sensors, self.prover, self.serving = StillSensors(), DiaryProver(self.diary), DiaryServing(self.diary)
        self.boot()

    def boot(self) -> None:
        """Recreate everything that is not on the disk."""
        self.journal, self.store = DiaryJournal(self.disk, self.diary), DiaryStore(self.disk, self.diary)
        adapters = Adapters(
            store=self.store,
            prover=self.prover,
            serving=self.serving,
            sensors=self.sensors,
            journal=self.journal,
            verify=self._verify,
            output=self._output,
            clock=self.time.clock(),
            on_swap=self.swaps.append,
        )
        self.engine = Engine(self.policy, adapters, self.topics, self.post)

    def post(self, event: Event) -> None:
        """There is one thread here."""
        self.engine.handle(event)

    @property
    def phase(self) -> Phase:
        return self.engine.state.device.phase

    @property
    def statuses(self) -> list[Status]:
        """Every published status."""
        topic = self.topics.of_device(Kind.STATUS, self.policy.device, self.policy.model)
        return [Status.from_line(payload) for said, payload, _ in self.said if said == topic]

    @property
    def outcomes(self) -> list[Outcome]:
        """Every report in the outbox."""
        return [Outcome.from_line(entry.payload) for entry in self.disk.outbox.values()]

    def starts(self) -> None:
        """Start the process and connect."""
        self.engine.start()
        self.engine.link_up()

    def plans(self, version: str, *, sequence: int = 1) -> None:
        """Deliver a bundle that assigns this version to every device."""
        self.engine.bundle_arrived(f"{version} {sequence}".encode())

    def sends_chunks(self) -> None:
        """Deliver every requested chunk, until no more are requested."""
        while self.swept:
            topic = self.swept.pop(0)
            sha256 = topic.rsplit("/", 1)[1]
            self.engine.chunk_arrived(sha256, self.registry.chunks[sha256])
            self.engine.handle(ChunksSwept((sha256,)))

    def goes_live(self, version: str, *, sequence: int = 1) -> None:
        """Update to this version, up to probation."""
        self.plans(version, sequence=sequence)
        self.sends_chunks()
        self.prover.ends()
        if self.phase is Phase.SHADOWING:
            self.waits(4_000.0)

    def commits(self, version: str, *, sequence: int = 1) -> None:
        """Update to this version, and end its probation."""
        self.goes_live(version, sequence=sequence)
        self.waits(4_000.0)
        assert self.phase is Phase.COMMITTED, self.engine.state.device.reason

    def waits(self, seconds: float) -> None:
        self.time.now_s += seconds
        self.engine.tick()

    def _verify(self, bundle: bytes, trusted: Mapping[str, bytes]) -> Accepted:
        self.looks += 1
        if self.refusal is not None:
            raise self.refusal
        if bundle == b"a lie":
            raise SignatureRefused("signed by a stranger", hint="nothing was changed")
        version, _, sequence = bundle.decode().partition(" ")
        plan: Plan = a_plan(version, model=self.policy.model, sequence=int(sequence))
        after = {"timestamp.json": bundle}
        manifests = {version: self.registry.manifests[version]}
        return Accepted(plan, manifests, after, NOON, True, after != dict(trusted))

    def _say(self, topic: str, payload: bytes, retained: bool) -> None:
        self.diary.append(f"say {topic.rsplit('/', 1)[1]}")
        self.said.append((topic, payload, retained))

    def _sweep(self, topics: tuple[str, ...]) -> None:
        self.diary.append("sweep")
        self.swept += topics

    def _round_trip_ms(self) -> float | Unknown:
        return self.round_trip_ms

    def path(self, version: str) -> Path:
        return self.store.path(self.sha256(version))

    def sha256(self, version: str) -> str:
        return self.registry.manifests[version].variants[0].sha256

"""A simulated device: the real loop, engine and core, and adapters in memory.

Its `Disk` survives a power cut, which may come before or after any write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from device_client.core.conditions.readings import Readings
from device_client.core.outbox_entry import OutboxEntry
from device_client.core.policy import Policy
from device_client.core.trial.tally import Tally
from device_client.engine.engine import Engine
from device_client.feedback.window import FeedbackWindow
from device_client.ports.context import Adapters, Clock, LinkOutput, Verify
from device_client.ports.proof import NotTried, Proof, ProofOrder
from device_client.ports.serving import ModelFile
from device_client.ports.storage import Held, VersionFolder
from device_client.reporting.feedback_reporter import FeedbackReporter
from device_client.service.event_loop import EventLoop, Inbound, Posted
from device_client.service.presence import Identity, RoundTrip
from protocol.content.chunks import check, children
from protocol.errors import BlobDamaged
from protocol.messages.manifest import MODEL_FILE, Encoding, Tree
from protocol.topics import Topics
from tests.simulation.world import Broker, SimLink, World

START = datetime(2026, 6, 1, tzinfo=UTC)


class PowerCut(BaseException):
    """Power is lost during a call. Not an Exception, so that nothing catches it."""


@dataclass
class Disk:
    """What survives a power cut."""

    files: set[str] = field(default_factory=set)
    partials: dict[str, dict[str, bytes]] = field(default_factory=dict)
    state: bytes | None = None
    trusted: dict[str, bytes] = field(default_factory=dict)
    outbox: dict[str, OutboxEntry] = field(default_factory=dict)
    ever_announced: set[str] = field(default_factory=set)
    current: str = ""
    sessions: int = 0
    noted: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Power:
    """Fails with some probability at each write, before or after it."""

    world: World
    cut_probability: float = 0.0

    def risk(self) -> None:
        """A moment at which power may be lost."""
        if self.cut_probability and self.world.rng.random() < self.cut_probability:
            raise PowerCut


def unobserved(_call: str) -> None:
    pass


class MemoryJournal:
    """The Journal port. `before` is called with the method's name, and may raise."""

    def __init__(self, disk: Disk, power: Power, before: Callable[[str], None] = unobserved) -> None:
        self._disk, self._power, self._before = disk, power, before

    def load(self, model: str) -> bytes | None:
        return self._disk.state

    def trusted(self, model: str) -> dict[str, bytes]:
        return dict(self._disk.trusted)

    def save(
        self,
        model: str,
        state_json: bytes,
        outbox: Sequence[OutboxEntry] = (),
        trusted: Mapping[str, bytes] | None = None,
    ) -> None:
        self._before("save")
        self._power.risk()
        self._disk.state = state_json
        if trusted is not None:
            self._disk.trusted = dict(trusted)
        self._put(outbox)
        self._power.risk()

    def save_log_entry(self, model: str, entry: bytes) -> None:
        self._before("save_log_entry")
        self._disk.noted[model] = entry

    def load_log_entry(self, model: str) -> bytes | None:
        return self._disk.noted.get(model)

    def enqueue(self, entries: Sequence[OutboxEntry], drift_states: Mapping[str, bytes] | None = None) -> None:
        self._before("enqueue")
        self._put(entries)

    def waiting(self) -> list[OutboxEntry]:
        self._before("waiting")
        return list(self._disk.outbox.values())

    def mark_sent(self, event_ids: Collection[str]) -> frozenset[str]:
        """Nothing is merged here."""
        return frozenset(self._disk.outbox).intersection(event_ids)

    def delivered(self, event_id: str) -> None:
        self._before("delivered")
        self._power.risk()
        self._disk.outbox.pop(event_id, None)

    def _put(self, entries: Sequence[OutboxEntry]) -> None:
        for entry in entries:
            if entry.event_id not in self._disk.ever_announced or entry.event_id in self._disk.outbox:
                self._disk.outbox[entry.event_id] = entry
            self._disk.ever_announced.add(entry.event_id)


class MemoryStore:
    """The Store port. `before` is called with the method's name, and may raise."""

    def __init__(self, disk: Disk, power: Power, before: Callable[[str], None] = unobserved) -> None:
        self._disk, self._power, self._before = disk, power, before
        self._open: Tree | None = None

    def open_partial(self, tree: Tree, *, decoded_bytes: int = 0) -> Held:
        self._before("open_partial")
        self._open = tree
        self._disk.partials.setdefault(tree.root, {})
        return self.held()

    def keep(self, sha256: str, payload: bytes) -> bool:
        self._before("keep")
        check(sha256, payload)
        if self._open is None or sha256 in self._disk.partials[self._open.root]:
            return False
        self._power.risk()
        self._disk.partials[self._open.root][sha256] = payload
        return True

    def held(self) -> Held:
        """List chunks first, then the leaves they name."""
        self._before("held")
        assert self._open is not None
        kept = self._disk.partials[self._open.root]
        level = [self._open.root]
        for _ in range(self._open.depth):
            if missing := [sha256 for sha256 in level if sha256 not in kept]:
                return Held(tuple(missing), len(kept), len(kept) + len(missing))
            level = [child for sha256 in level for child in children(kept[sha256])]
        missing = [sha256 for sha256 in dict.fromkeys(level) if sha256 not in kept]
        return Held(tuple(missing), len(kept), len(kept) + len(missing))

    def finish(self, encoding: Encoding, sha256: str, size_bytes: int) -> None:
        self._before("finish")
        kept = self._disk.partials[encoding.tree.root]
        level = [encoding.tree.root]
        for _ in range(encoding.tree.depth):
            level = [child for node in level for child in children(kept[node])]
        self._power.risk()
        if hashlib.sha256(b"".join(kept[leaf] for leaf in level)).hexdigest() != sha256:
            raise BlobDamaged("joined to other bytes")
        self._disk.files.add(sha256)
        self._power.risk()
        self._disk.partials.pop(encoding.tree.root)
        self._open = None

    def has(self, sha256: str) -> bool:
        self._before("has")
        return sha256 in self._disk.files

    def path(self, sha256: str) -> Path:
        """Other fakes only need the name."""
        return Path(sha256)

    def make_folder(self, version: VersionFolder) -> Path:
        return Path(version.name)

    def make_current(self, version: VersionFolder) -> None:
        self._before("make_current")
        self._power.risk()
        self._disk.current = version.links[MODEL_FILE]

    def keep_only(self, sha256s: Collection[str]) -> None:
        self._before("keep_only")
        self._power.risk()
        self._disk.files &= set(sha256s)
        open_root = self._open.root if self._open else ""
        self._disk.partials = {root: kept for root, kept in self._disk.partials.items() if root == open_root}

    def close_partial(self) -> None:
        self._before("close_partial")
        self._open = None


Quality = Mapping[str, str]
"""By version: `good`, `weak` (wrong), `broken` (no proof), `sour` (fails when live)."""


class ScriptedProver:
    """The Prover port: a result after a while, unless stopped."""

    def __init__(self, world: World, quality: Quality, versions: Mapping[str, str]) -> None:
        self._world, self._quality, self._versions = world, quality, versions
        self._run = 0

    def start(self, order: ProofOrder, done: Callable[[Proof | NotTried], None]) -> None:
        self._run += 1
        run, passed = self._run, self._quality[self._versions[order.model.name]] != "broken"

        def answer() -> None:
            if run == self._run:
                done(Proof(passed, "as scripted", samples=16, max_error=0.0))

        self._world.after(self._world.rng.uniform(0.5, 5.0), answer)

    def stop(self) -> None:
        self._run += 1


class ScriptedServing:
    """The Serving port: twenty inputs a second, with the scripted quality."""

    RATE_HZ = 20

    def __init__(self, world: World, disk: Disk, quality: Quality) -> None:
        self._world, self._disk, self._quality = world, disk, quality
        self.live: str | None = None
        self._shadow: str | None = None
        self._since_s = 0.0
        self.half_written = 0

    def swap(self, model: ModelFile) -> None:
        self.half_written += model.path.name not in self._disk.files
        self.live, self._since_s = model.version, self._world.now_s

    def start_shadow(self, model: ModelFile, share: float) -> None:
        self.half_written += model.path.name not in self._disk.files
        self._shadow, self._since_s = model.version, self._world.now_s

    def stop_shadow(self) -> None:
        self._shadow = None

    def tally(self) -> Tally:
        seen = int((self._world.now_s - self._since_s) * self.RATE_HZ)
        sour = self.live is not None and self._quality[self.live] == "sour"
        tally = Tally(live_inferences=seen, live_errors=seen // 4 if sour else 0)
        if self._shadow is None:
            return tally
        alike = self._quality[self._shadow] != "weak"
        return replace(tally, inputs=seen, agreed=seen if alike else seen // 10)

    def take_window(self, *, at_least: int) -> FeedbackWindow | None:
        return None

    def drift_states(self) -> None:
        """Feedback is not simulated."""

    def quality(self) -> None:
        """Feedback is not simulated."""


class ScriptedSensors:
    """The Sensors port: sometimes the battery is low."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self) -> Readings:
        return Readings(
            cpu_percent=10.0,
            memory_free_bytes=10**9,
            disk_free_bytes=10**10,
            battery_percent=self._world.rng.choice((90.0, 90.0, 90.0, 10.0)),
            on_mains=False,
            metered=False,
        )

    def hold_reason(self) -> str:
        return ""


class SimDevice:
    """A device with a power switch; its disk can be inspected."""

    def __init__(
        self,
        world: World,
        broker: Broker,
        policy: Policy,
        verify: Verify,
        quality: Quality,
        versions: Mapping[str, str],
    ) -> None:
        self._world, self._broker, self._policy, self._verify = world, broker, policy, verify
        self._quality, self._versions = quality, versions
        self.disk = Disk()
        self.power = Power(world)
        self.power_cuts = 0
        self._boots = 0
        self._tick_at_s = float("inf")
        self.serving = ScriptedServing(world, self.disk, quality)
        self.link: SimLink | None = None
        self.engine: Engine | None = None
        self._loop: EventLoop | None = None

    def switch_on(self) -> None:
        """Recreate everything that is not on the disk."""
        self._boots += 1
        self.disk.sessions += 1
        boot = self._boots
        topics, clock = Topics(), Clock(lambda: self._world.now_s, self._utc)
        journal = MemoryJournal(self.disk, self.power)
        identity = Identity(self._policy.device, f"s{self.disk.sessions}", "sim", "sim")
        round_trip = RoundTrip()
        reporter = FeedbackReporter(self._policy.device, identity.session, topics, journal, clock, every_s=3600.0)
        loop = EventLoop(identity, topics, clock, round_trip, reporter, journal)
        self.serving = ScriptedServing(self._world, self.disk, self._quality)
        prover = ScriptedProver(self._world, self._quality, self._versions)
        adapters = Adapters(
            store=MemoryStore(self.disk, self.power),
            prover=prover,
            serving=self.serving,
            sensors=ScriptedSensors(self._world),
            journal=journal,
            verify=self._verify,
            output=LinkOutput(loop.publish, loop.sweep, loop.outbox_filled, lambda: round_trip.latest_ms),
            clock=clock,
        )
        model = self._policy.model
        self.engine = Engine(self._policy, adapters, topics, lambda event: self._enter(boot, Posted(model, event)))
        will = (topics.presence(self._policy.device), identity.presence(online=False, clock=None))
        self.link = SimLink(self._world, self._broker, lambda event: self._enter(boot, event), will)
        loop.attach(self.link, {model: self.engine}, {model: self.serving})
        self._loop = loop
        self._tick_at_s = float("inf")
        self._guard(boot, loop.start)

    def cut_power(self) -> None:
        """Power off, and on again after a while."""
        self.power_cuts += 1
        self._boots += 1
        if self.link is not None:
            self.link.vanish()
        self._loop = None
        self._world.after(self._world.rng.uniform(1.0, 30.0), self.switch_on)

    def _utc(self) -> datetime:
        return START + timedelta(seconds=self._world.now_s)

    def _enter(self, boot: int, event: Inbound) -> None:
        loop = self._loop
        if boot == self._boots and loop is not None:
            self._guard(boot, lambda: loop.handle(event))

    def _guard(self, boot: int, work: Callable[[], None]) -> None:
        try:
            work()
        except PowerCut:
            self.cut_power()
            return
        loop = self._loop
        if boot != self._boots or loop is None:
            return
        due_s = max(loop.wake_s(), self._world.now_s)
        if due_s < self._tick_at_s:
            self._tick_at_s = due_s
            self._world.at(due_s, lambda: self._tick(boot, due_s))

    def _tick(self, boot: int, due_s: float) -> None:
        loop = self._loop
        if boot != self._boots or loop is None or due_s != self._tick_at_s:
            return
        self._tick_at_s = float("inf")
        self._guard(boot, loop.tick)

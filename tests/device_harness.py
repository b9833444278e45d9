"""A device of real parts in this process; weeks pass in seconds.

Simulated are the clock, the broker, and the readings of `probe.json`.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from device_client.adapters.sandbox.parent import TrialProcess
from device_client.adapters.sensors.device_sensors import DeviceSensors
from device_client.adapters.storage.file_store import FileStore
from device_client.adapters.storage.journal import Journal
from device_client.core.policy import Policy
from device_client.core.state import Device, Phase
from device_client.engine.engine import Engine
from device_client.ports.context import Adapters, Clock, LinkOutput
from device_client.reporting.feedback_reporter import FeedbackReporter
from device_client.service.event_loop import EventLoop, Inbound, Posted
from device_client.service.presence import Identity, RoundTrip
from device_client.serving.live_serving import LiveServing, Prediction
from protocol.content import chunks
from protocol.messages.device import Outcome, Status
from protocol.messages.manifest import Encoding, Golden, Manifest, Variant
from protocol.messages.plan import Plan, Rule
from protocol.topics import Kind, Topics
from protocol.trust.verification import Accepted, verify
from tests.builders import NOON, an_authority
from tests.simulation.world import Broker, SimLink, World

if TYPE_CHECKING:
    from publisher.learning.artifacts.build import BuiltVersion

DEVICE: Final = "pi-1"
MODEL: Final = "digits"
FIT: Final[Mapping[str, Any]] = {
    "battery_percent": 80, "on_mains": False, "cpu_percent": 20, "temperature_c": 45, "metered": False,
    "link_kind": "wifi", "wifi_signal_dbm": -50, "throttled": False, "under_voltage": False, "clock_synchronised": True,
    "memory_free_bytes": 10**9, "disk_free_bytes": 10**10, "round_trip_ms": 20,
}  # fmt: skip
PROOF_WITHIN_S: Final = 120.0  # of real time: the machine may be busy
SHADOW_WITHIN_S: Final = 0.05  # of real time: a shadow may leave inputs out, so it is not waited for much longer
SETTLED_WITHIN_S: Final = 10 * 86_400.0
STEP_MIN_S: Final = 0.01


class DeviceHarness:
    """A device that has just been switched on, its publisher and its broker."""

    def __init__(self, folder: Path, policy: Policy, *, report_every_s: float = 600.0) -> None:
        """`folder`: the device's; `report_every_s`: interval of feedback windows."""
        self.statuses: list[Status] = []
        self.outcomes: list[Outcome] = []
        self._folder, self._policy, self._report_every_s = folder, policy, report_every_s
        self._world, self._topics = World(seed=1), Topics()
        self._broker = Broker(self._world, watchers=[self._hear])
        self._authority = an_authority(now=NOON)
        self._root = self._authority.root
        self._manifests: dict[str, Manifest] = {}
        self._sequence = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.reads()
        self._switch_on()

    # What happens around it

    def reads(self, **readings: object) -> None:
        """Set the readings of the device; all others are good."""
        (self._folder / "probe.json").write_text(json.dumps({**FIT, **readings}))

    def announces(self, version: str, made: BuiltVersion) -> None:
        """Upload a version, and sign a plan that assigns it to every device."""
        self._sequence += 1
        self._manifests[version] = self._manifest(version, made)
        plan = Plan(model=MODEL, sequence=self._sequence, rules=(Rule(version=version),), created=self._utc())
        self._authority, bundle = self._authority.publish(plan, [self._manifests[version]], self._utc())
        self._broker.publish(self._topics.desired(MODEL), bundle, retain=True)

    def passes(self, seconds: float) -> None:
        """Advance virtual time, with ticks when due; wait for what takes real time."""
        until_s = self._world.now_s + seconds
        while self._world.now_s < until_s:
            self._world.run(min(until_s, max(self._world.now_s + STEP_MIN_S, self._loop.wake_s())))
            self._loop.tick()
            self._take_what_was_posted()

    def asks(self, x: NDArray[np.float32], truth: int | None = None) -> Prediction:
        """Predict one input as the application, and label it."""
        before = self.serving.tally().inputs
        answer = self.serving.predict(x)
        if truth is not None:
            self.serving.label(answer, truth)
        if self.phase in (Phase.SHADOWING, Phase.PROBATION):
            self._let_the_shadow_answer(before)
        return answer

    def settles(self, version: str, made: BuiltVersion) -> None:
        """Install the first version, which no inputs speak against."""
        self.announces(version, made)
        late_s = self.now_s + SETTLED_WITHIN_S
        while self.phase is not Phase.COMMITTED:
            self.passes(60.0)
            assert self.now_s < late_s, f"{self.phase}: {self.device.reason}"

    def close(self) -> None:
        self._loop.stop()
        self.serving.close()
        self._journal.close()

    # What can be seen of it

    @property
    def now_s(self) -> float:
        """Since the first start."""
        return self._world.now_s

    @property
    def device(self) -> Device:
        return self.engine.state.device

    @property
    def phase(self) -> Phase:
        return self.device.phase

    # How it is done

    def _switch_on(self) -> None:
        self._inbox: queue.Queue[Inbound] = queue.Queue()
        self._journal = Journal(self._folder / "journal.db")
        clock = Clock(lambda: self._world.now_s, self._utc)
        self._sensors = DeviceSensors(
            self._folder, self._folder / "probe.json", probes=(), clock_s=clock.monotonic_s, wall=self._local_time
        )
        remembered = self._journal.drift_states(MODEL)
        self.serving = LiveServing(
            clock_s=clock.monotonic_s, wall_s=lambda: self._utc().timestamp(), drift_states=remembered
        )
        session = str(self._journal.next_session())
        identity, round_trip = Identity(DEVICE, session, "edgeferry", "tflite"), RoundTrip()
        reporter = FeedbackReporter(DEVICE, session, self._topics, self._journal, clock, every_s=self._report_every_s)
        self._loop = EventLoop(identity, self._topics, clock, round_trip, reporter, self._journal)
        output = LinkOutput(
            self._loop.publish, self._loop.sweep, self._loop.outbox_filled, lambda: round_trip.latest_ms
        )
        adapters = Adapters(
            store=FileStore(self._folder / "models"),
            prover=TrialProcess(),
            serving=self.serving,
            sensors=self._sensors,
            journal=self._journal,
            verify=self._verify,
            output=output,
            clock=clock,
        )
        post = partial(Posted, MODEL)
        self.engine = Engine(self._policy, adapters, self._topics, lambda event: self._inbox.put(post(event)))
        link = SimLink(self._world, self._broker, self._loop.handle)
        self._loop.attach(link, {MODEL: self.engine}, {MODEL: self.serving})
        self._loop.start()
        self.passes(2.0)  # the link is up within one

    def _utc(self) -> datetime:
        return NOON + timedelta(seconds=self._world.now_s)

    def _local_time(self, zone: tzinfo) -> datetime:
        return self._utc().astimezone(zone)

    def _verify(self, bundle: bytes, trusted: Mapping[str, bytes]) -> Accepted:
        now = self._utc()
        return verify(bundle, model=MODEL, root=self._root, trusted=trusted, now=now, clock_trusted=True)

    def _hear(self, topic: str, payload: bytes) -> None:
        address = self._topics.parse(topic)
        if address is not None and address.kind is Kind.STATUS:
            self.statuses.append(Status.from_line(payload))
        elif address is not None and address.kind is Kind.EVENT:
            self.outcomes.append(Outcome.from_line(payload))

    def _take_what_was_posted(self) -> None:
        while not self._inbox.empty() or self.phase is Phase.PROVING:
            self._loop.handle(self._inbox.get(timeout=PROOF_WITHIN_S))
            self._loop.tick()

    def _let_the_shadow_answer(self, before: int) -> None:
        """Wait for the shadow's thread; it usually keeps up with the inputs."""
        moment, deadline_s = threading.Event(), time.monotonic() + SHADOW_WITHIN_S
        while self.serving.tally().inputs == before and time.monotonic() < deadline_s:
            moment.wait(0.0005)

    def _manifest(self, version: str, made: BuiltVersion) -> Manifest:
        variants = tuple(
            Variant(
                name=each.name,
                precision=each.precision,
                sha256=hashlib.sha256(each.tflite).hexdigest(),
                size_bytes=len(each.tflite),
                golden_tolerance=each.tolerance,
                requires=each.requires,
                measured=each.measured,
                encodings=(self._uploaded(each.tflite),),
            )
            for each in made.variants
        )
        golden = Golden(
            sha256=hashlib.sha256(made.golden.content).hexdigest(),
            size_bytes=len(made.golden.content),
            samples=made.golden.samples,
            encodings=(self._uploaded(made.golden.content),),
        )
        return Manifest(
            model=MODEL,
            version=version,
            created=self._utc(),
            labels=made.labels,
            contract=made.contract,
            golden=golden,
            variants=variants,
            input_statistics=made.statistics,
        )

    def _uploaded(self, blob: bytes) -> Encoding:
        path = self._folder / "on-its-way"
        path.write_bytes(blob)
        cut = chunks.cut(path)
        slices = {leaf.sha256: blob[leaf.offset : leaf.offset + leaf.size_bytes] for leaf in cut.leaves}
        for sha256, payload in (slices | cut.nodes).items():
            self._broker.publish(self._topics.chunk(sha256), payload, retain=True)
        path.unlink()
        return Encoding(kind="raw", tree=cut.tree)

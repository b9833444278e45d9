"""One model's life on one device: step, remember, then act. The only place where effects meet adapters.

Passive: it is handed events and messages, and has no thread, no clock and no socket of its own, so that a simulation
drives the very code that a device runs. `runner.py` gives it those.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from device_client.core import effects as do
from device_client.core import events as happened
from device_client.core.device import Device, Installed, State, Target
from device_client.core.policy import Policy
from device_client.core.readings import Readings, Unknown
from device_client.core.status import status_of
from device_client.core.updater import step, wake_s
from device_client.ports import (
    Held,
    Journal,
    ModelFile,
    OutboxEntry,
    Proof,
    ProofOrder,
    Prover,
    Sensors,
    Serving,
    Store,
)
from protocol.encodings import RAW
from protocol.errors import BlobDamaged, ChunkDamaged, FerryError, NoRoom, Untrusted
from protocol.messages import Outcome, Status, Wants
from protocol.topics import Kind, Topics
from protocol.trust import Accepted

log = logging.getLogger("edgeferry.device")

DISK_RETRY_S: Final = 10.0
PROGRESS_STEP_PERCENT: Final = 10.0
_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)

Verify = Callable[[bytes, Mapping[str, bytes]], Accepted]
"""Believe a bundle or raise Untrusted; the mapping is what was trusted before."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks: one that never goes back, and the wall's, which may jump."""

    monotonic_s: Callable[[], float]
    utc: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Outlet:
    """What an engine may ask of the link. `say` keeps nothing: status and wants are said anew when they change."""

    say: Callable[[str, bytes, bool], None]  # topic, payload, retained; at QoS 1
    sweep: Callable[[tuple[str, ...]], None]
    outbox_filled: Callable[[], None]
    round_trip_ms: Callable[[], float | Unknown]


@dataclass(frozen=True, slots=True)
class Adapters:
    """Everything outside that one engine acts upon."""

    store: Store
    prover: Prover
    serving: Serving
    sensors: Sensors
    journal: Journal
    verify: Verify
    outlet: Outlet
    clock: Clock


class Engine:
    """Holds the state, and is the one door to it. Not thread-safe: one thread hands everything in.

    `post` brings an event from another thread back to that one thread.
    """

    def __init__(
        self, policy: Policy, adapters: Adapters, topics: Topics, post: Callable[[happened.Event], None]
    ) -> None:
        self._policy = policy
        self._a = adapters
        self._topics = topics
        self._post = post
        self._todo: deque[tuple[happened.Event, Mapping[str, bytes] | None]] = deque()
        self._busy = False
        self._blocked_until_s: float | None = None
        self._said: Status | None = None
        self._trusted: Mapping[str, bytes] = {}
        self.state = State()

    @property
    def model(self) -> str:
        """The model that this engine is about."""
        return self._policy.model

    def start(self) -> None:
        """Load what is remembered and take up what was under way."""
        remembered = self._a.journal.load(self.model)
        self._trusted = self._a.journal.trusted(self.model)
        if remembered is not None:
            self.state = State(device=Device.model_validate_json(remembered))
        self.handle(happened.Started())

    def handle(self, event: happened.Event, trusted: Mapping[str, bytes] | None = None) -> None:
        """Take one event, and all that follow from it at once. `trusted`: metadata to remember in the same breath."""
        self._todo.append((event, trusted))
        if self._busy or self._blocked_until_s is not None:
            return
        self._busy = True
        try:
            while self._todo and self._blocked_until_s is None:
                self._take(*self._todo[0])
        finally:
            self._busy = False
        self._tell()

    def tick(self) -> None:
        """Time has passed."""
        if self._blocked_until_s is not None:
            if self._now_s() < self._blocked_until_s:
                return
            self._blocked_until_s = None
        self.handle(happened.TimePassed())

    def wake_s(self) -> float | None:
        """When `tick` should be called at the latest, on the monotonic clock."""
        return self._blocked_until_s if self._blocked_until_s is not None else wake_s(self._policy, self.state)

    def bundle_arrived(self, bundle: bytes) -> None:
        """Verify, then trust. An emptied topic means no news."""
        if not bundle:
            return
        try:
            accepted = self._a.verify(bundle, self._trusted)
        except (Untrusted, NoRoom) as refused:
            log.warning("%s: bundle refused: %s", self.model, refused)
            self.handle(happened.PlanRefused(str(refused)[:400]))
            return
        self.handle(happened.PlanTrusted(accepted.plan, accepted.manifests), accepted.trusted)

    def chunk_arrived(self, sha256: str, payload: bytes) -> None:
        """Check and write a chunk, if it is one that is missing."""
        download = self.state.moment.download
        if download is None:
            return
        try:
            self._a.store.keep(sha256, payload)
        except ChunkDamaged as lie:
            log.warning("%s: the broker lied: %s", self.model, lie)
            self.handle(happened.ChunkLied(sha256))
        except (NoRoom, OSError) as failed:
            self.handle(happened.DiskFailed(_disk_reason(failed)))
        else:
            self.handle(happened.ChunkKept(sha256))

    def link_up(self) -> None:
        """The broker has accepted us: say where we stand, whatever was said before."""
        self._said = None
        self.handle(happened.LinkUp())

    def status(self) -> Status:
        """Where this device stands now."""
        next_check = None
        if self.state.moment.next_check_s is not None:
            ahead = timedelta(seconds=max(0.0, self.state.moment.next_check_s - self._now_s()))
            next_check = self._a.clock.utc() + ahead
        return status_of(self._policy, self.state, at=self._a.clock.utc(), next_check=next_check)

    def _now_s(self) -> float:
        return self._a.clock.monotonic_s()

    def _take(self, event: happened.Event, trusted: Mapping[str, bytes] | None) -> None:
        after, effects = step(self._policy, self.state, event, self._now_s())
        outcomes = [self._outcome(effect) for effect in effects if isinstance(effect, do.Announce)]
        if outcomes or trusted is not None or after.device != self.state.device:
            try:
                self._a.journal.save(self.model, after.device.model_dump_json().encode(), outcomes, trusted)
            except (FerryError, OSError) as full:
                self._wait_for_disk(full)
                return
        self._todo.popleft()
        if after.device.phase is not self.state.device.phase:
            log.info("%s: %s: %s", self.model, after.device.phase.value, after.device.reason)
        self.state = after
        self._trusted = trusted if trusted is not None else self._trusted
        if outcomes:
            self._a.outlet.outbox_filled()
        for effect in effects:
            self._perform(effect)

    def _wait_for_disk(self, failed: Exception) -> None:
        """Without memory nothing may be done: the event waits until it can be remembered. The live model answers on."""
        log.error("%s: nothing can be remembered: %s; trying again in %.0f s", self.model, failed, DISK_RETRY_S)
        self._blocked_until_s = self._now_s() + DISK_RETRY_S
        self.state = self.state.with_moment(notice=f"the device's disk cannot be written: {failed}"[:300])

    def _follow(self, event: happened.Event) -> None:
        self._todo.append((event, None))

    def _perform(self, effect: do.Effect) -> None:
        match effect:
            case do.TakeReadings():
                self._follow(happened.ReadingsTaken(self._readings()))
            case do.TakeTally():
                self._follow(happened.TallyTaken(self._a.serving.tally()))
            case do.OpenBlob() | do.LookAgain() | do.FinishBlob() | do.KeepOnly():
                self._perform_on_disk(effect)
            case do.SweepChunks(sha256s):
                self._a.outlet.sweep(tuple(self._topics.chunk(sha256) for sha256 in sha256s))
            case do.SendWants(sha256s):
                wants = Wants(chunks=sha256s, device=self._policy.device, model=self.model)
                self._a.outlet.say(self._topic(Kind.WANTS), wants.to_line(), False)
            case do.Prove(target):
                self._prove(target)
            case do.StartShadow(model):
                self._open(model, self._a.serving.start_shadow)
            case do.Swap(model):
                self._open(model, self._swap)
            case do.StopTrial():
                self._a.prover.stop()
                self._a.serving.stop_shadow()
                self._a.store.close_partial()
            case do.Announce():
                pass  # it went into the outbox with the state
            case _:
                assert_never(effect)

    def _readings(self) -> Readings:
        readings = self._a.sensors.read()
        if not isinstance(readings.round_trip_ms, Unknown):
            return readings  # a probe says otherwise
        return replace(readings, round_trip_ms=self._a.outlet.round_trip_ms())

    def _perform_on_disk(self, effect: do.OpenBlob | do.LookAgain | do.FinishBlob | do.KeepOnly) -> None:
        store = self._a.store
        try:
            match effect:
                case do.OpenBlob(sha256, encoding):
                    if store.has(sha256):
                        self._follow(happened.BlobReady(sha256))
                    else:
                        spare = 0 if encoding.kind == RAW else self._decoded_bytes(sha256)
                        self._follow(_opened(sha256, store.open_partial(encoding.tree, decoded_bytes=spare)))
                case do.LookAgain(sha256):
                    self._follow(_opened(sha256, store.held()))
                case do.FinishBlob(sha256, size_bytes, encoding):
                    store.finish(encoding, sha256, size_bytes)
                    self._follow(happened.BlobReady(sha256))
                case do.KeepOnly(sha256s):
                    store.keep_only(sha256s)
        except BlobDamaged as broken:
            sha256 = "" if isinstance(effect, do.KeepOnly) else effect.sha256
            self._follow(happened.BlobBroken(sha256, str(broken)[:300]))
        except (NoRoom, OSError) as failed:
            self._follow(happened.DiskFailed(_disk_reason(failed)))

    def _decoded_bytes(self, sha256: str) -> int:
        target = self.state.device.target
        if target is None:
            return 0
        return target.variant.size_bytes if sha256 == target.variant.sha256 else target.manifest.golden.size_bytes

    def _prove(self, target: Target) -> None:
        order = ProofOrder(
            model=self._a.store.path(target.variant.sha256),
            golden=self._a.store.path(target.manifest.golden.sha256),
            variant=target.variant.name,
            tolerance=target.variant.golden_tolerance,
            contract=target.manifest.contract,
            memory_max_bytes=self._policy.trial.proof_memory_max_bytes,
            wall_max_s=self._policy.trial.proof_wall_max_s,
        )
        sha256 = target.variant.sha256

        def done(proof: Proof) -> None:
            self._post(
                happened.ProofEnded(
                    sha256, proof.passed, proof.reason, proof.samples, proof.max_error, proof.latency_ms_p50
                )
            )

        self._a.prover.start(order, done)

    def _open(self, model: Installed, use: Callable[[ModelFile], None]) -> None:
        manifest = model.manifest
        path = self._a.store.path(model.variant.sha256)
        try:
            use(ModelFile(path, manifest.version, model.variant.name, manifest.contract, manifest.labels))
        except (FerryError, OSError) as failed:
            self._follow(happened.ModelFailed(model.variant.sha256, str(failed)[:300]))

    def _swap(self, model: ModelFile) -> None:
        self._a.serving.swap(model)
        self._a.store.make_current(model.path.name)

    def _outcome(self, effect: do.Announce) -> OutboxEntry:
        name = f"{self._policy.device}\0{self.model}\0{effect.version}\0{effect.attempt}\0{effect.plan_sequence}"
        event_id = hashlib.sha256(f"{name}\0{effect.outcome}".encode()).hexdigest()[:20]
        outcome = Outcome(
            outcome=effect.outcome,
            version=effect.version,
            from_version=effect.from_version,
            reason=effect.reason,
            device=self._policy.device,
            model=self.model,
            variant=effect.variant,
            event_id=event_id,
            plan_sequence=effect.plan_sequence,
            attempt=effect.attempt,
            evidence=effect.evidence,
            at=self._a.clock.utc(),
        )
        return OutboxEntry(
            event_id, self._topic(Kind.EVENT), outcome.to_line(), self._a.clock.utc().timestamp(), "event"
        )

    def _topic(self, kind: Kind) -> str:
        return self._topics.of_device(kind, self._policy.device, self.model)

    def _tell(self) -> None:
        """Publish the status when it differs from what was said last, progress in steps."""
        if not self.state.moment.link_up:
            return
        status = self.status()
        if self._said is not None and _alike(status, self._said):
            return
        self._said = status
        self._a.outlet.say(self._topic(Kind.STATUS), status.to_line(), True)


def _opened(sha256: str, held: Held) -> happened.BlobOpened:
    return happened.BlobOpened(sha256, held.missing, held.kept_chunks, held.total_chunks)


def _alike(new: Status, said: Status) -> bool:
    """Whether the difference is not worth a message: the time, or a little progress."""
    before, after = said.update_percentage, new.update_percentage
    if before is not None and after is not None and 0 <= after - before < PROGRESS_STEP_PERCENT and after < 100:
        new = new.model_copy(update={"update_percentage": before})
    if (new.next_check is None) != (said.next_check is None):
        return False
    if said.next_check is not None and said.next_check < new.at:
        return False  # what was promised is past
    same_time = {"at": _NO_TIME, "next_check": None}
    return new.model_copy(update=same_time) == said.model_copy(update=same_time)


def _disk_reason(failed: Exception) -> str:
    return failed.message if isinstance(failed, FerryError) else f"the disk cannot be written: {failed}"

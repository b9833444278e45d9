"""One model's life on one device: step, remember, then act. The only place where effects meet adapters.

Passive: it is handed events and messages, and has no thread, no clock and no socket of its own, so that a simulation
drives the very code that a device runs. `runner.py` gives it those.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final, assert_never

from device_client.core import effects as do
from device_client.core import events as happened
from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.policy import Policy
from device_client.core.state import Installed, State
from device_client.core.state_machine import step, wake_s
from device_client.core.status import status_of
from device_client.engine.bundle_retry import BundleRetry
from device_client.engine.file_effects import FileEffects
from device_client.engine.state_repository import StateRepository
from device_client.engine.status_log import StatusLog
from device_client.engine.status_publisher import StatusPublisher
from device_client.engine.trial_effects import TrialEffects
from device_client.ports.context import Adapters
from device_client.ports.serving import Swapped
from protocol.errors import FerryError, NoRoom, Untrusted
from protocol.messages.device import Status
from protocol.topics import Topics

log = logging.getLogger(__name__)

DISK_RETRY_S: Final = 10.0
REPEATED: Final = (
    happened.TimePassed,
    happened.PlanTrusted,
    happened.PlanRefused,
    happened.LinkUp,
    happened.LinkDown,
)


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
        self._memory = StateRepository(policy.model, adapters.journal)
        self._blobs = FileEffects(policy.model, adapters.store, adapters.clock)
        self._trials = TrialEffects(adapters, self._blobs, post)
        self._herald = StatusPublisher(policy.device, policy.model, topics, adapters.output, adapters.clock)
        self._logbook = StatusLog(policy.model, adapters.journal, adapters.clock)
        self._second_look = BundleRetry(policy.model, adapters.clock)
        self._todo: deque[tuple[happened.Event, Mapping[str, bytes] | None]] = deque()
        self._busy = False
        self._blocked_until_s: float | None = None
        self._swapped: Swapped | None = None  # not told yet
        self._trouble = ""  # why nothing can be remembered; empty when it can
        self._serves_for: happened.Event | None = None  # waits to be remembered, and something serves meanwhile
        self.state = State()

    @property
    def model(self) -> str:
        """The model that this engine is about."""
        return self._policy.model

    def start(self) -> None:
        """Load what is remembered and take up what was under way."""
        self.state = State(device=self._memory.load())
        self._logbook.load()
        self.handle(happened.Started())

    def handle(self, event: happened.Event, trusted: Mapping[str, bytes] | None = None) -> None:
        """Take one event, and all that follow from it at once. `trusted`: metadata to remember in the same breath."""
        if self._todo and not self._busy and isinstance(event, REPEATED):
            waits = self._todo.popleft()  # for the disk: it may last, and of what repeats itself the last is enough
            self._todo = deque([waits, *(each for each in self._todo if type(each[0]) is not type(event))])
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
        self._blobs.make_good()
        self._tell_of_swap()
        self.bundle_arrived(self._second_look.due())
        self.handle(happened.TimePassed())

    def wake_s(self) -> float | None:
        """When `tick` should be called at the latest, on the monotonic clock."""
        if self._blocked_until_s is not None:
            return self._blocked_until_s
        owed = (self._blobs.due_s, self._herald.due_s, self._logbook.due_s, self._second_look.due_s)
        times = (wake_s(self._policy, self.state), *owed)
        return min((time_s for time_s in times if time_s is not None), default=None)

    def bundle_arrived(self, bundle: bytes) -> None:
        """Verify, then trust. An emptied topic means no news."""
        if not bundle:
            return
        try:
            accepted = self._a.verify(bundle, self._memory.trusted)
        except (Untrusted, NoRoom) as refused:
            self.handle(happened.PlanRefused(self._second_look.refused(bundle, refused)))
            return
        self._second_look.taken()
        self.handle(happened.PlanTrusted(accepted.plan, accepted.manifests), accepted.trusted)

    def chunk_arrived(self, sha256: str, payload: bytes) -> None:
        """Check and write a chunk, if it is one that is missing."""
        download = self.state.moment.download
        if download is None or self._blocked_until_s is not None:
            return  # not asked for; or what was done is not remembered yet, and it will be asked for again
        self.handle(self._blobs.keep(download.sha256, sha256, payload))

    def link_up(self) -> None:
        """The broker has accepted us: say where we stand, whatever was said before."""
        self._herald.forget()
        self.handle(happened.LinkUp())
        if self._blocked_until_s is not None:
            self._herald.tell(self.status())  # the event waits for the disk; that the disk is in trouble need not

    def status(self) -> Status:
        """Where this device stands now."""
        now, next_check = self._a.clock.utc(), None
        if self.state.moment.next_check_s is not None:
            next_check = now + timedelta(seconds=max(0.0, self.state.moment.next_check_s - self._now_s()))
        return status_of(self._policy, self.state, at=now, next_check=next_check, trouble=self._trouble)

    def _now_s(self) -> float:
        return self._a.clock.monotonic_s()

    def _tell(self) -> None:
        status = self.status()
        if self.state.moment.link_up:
            self._herald.tell(status)
        else:
            self._herald.forget()
        self._logbook.keep(status, self.state.moment)

    def _take(self, event: happened.Event, trusted: Mapping[str, bytes] | None) -> None:
        after, effects = step(self._policy, self.state, event, self._now_s())
        outcomes = [self._herald.outcome(effect) for effect in effects if isinstance(effect, do.Announce)]
        try:
            self._memory.save(after.device, outcomes, trusted)
        except (FerryError, OSError) as full:
            self._wait_for_disk(full)
            self._serve_meanwhile(event, effects)
            return
        self._todo.popleft()
        self._trouble = ""
        if after.device.phase is not self.state.device.phase:
            log.info("%s: %s: %s", self.model, after.device.phase.value, after.device.reason)
        self.state = after
        if outcomes:
            self._a.output.outbox_filled()
        for effect in effects:
            self._perform(effect)

    def _wait_for_disk(self, failed: Exception) -> None:
        """Without memory nothing may be done: the event waits until it can be remembered. The live model answers on."""
        log.error("%s: nothing can be remembered: %s; trying again in %.0f s", self.model, failed, DISK_RETRY_S)
        self._blocked_until_s = self._now_s() + DISK_RETRY_S
        self._trouble = f"the device's disk cannot be written: {failed}"[:300]

    def _serve_meanwhile(self, event: happened.Event, effects: do.Effects) -> None:
        """What served before needs no memory to serve again: a start, and a lost file, must not wait for the disk."""
        device = self.state.device
        match event:
            case happened.Started():
                lost = ""
            case happened.ModelFailed(sha256) if device.live is not None and device.live.variant.sha256 == sha256:
                lost = sha256
            case _:
                return
        if self._serves_for is event:
            return
        self._serves_for = event
        wanted = [effect.model for effect in effects if isinstance(effect, do.Swap)]
        for model in (*wanted, *device.installed()):
            if model.variant.sha256 != lost and self._trials.swap(model) is None:
                return

    def _follow(self, event: happened.Event | None) -> None:
        if event is not None:
            self._todo.append((event, None))

    def _perform(self, effect: do.Effect) -> None:
        match effect:
            case do.TakeReadings():
                self._follow(happened.ReadingsTaken(self._readings()))
            case do.TakeTally():
                self._follow(happened.TallyTaken(self._a.serving.tally(), self._a.sensors.hold_reason()))
            case do.OpenBlob():
                self._follow(self._blobs.open(effect))
            case do.LookAgain():
                self._follow(self._blobs.look_again(effect))
            case do.FinishBlob():
                self._follow(self._blobs.finish(effect))
            case do.KeepOnly():
                self._blobs.keep_only(effect)
            case do.SweepChunks(sha256s):
                self._a.output.sweep(tuple(self._topics.chunk(sha256) for sha256 in sha256s))
            case do.SendWants(sha256s):
                self._herald.want(sha256s)
            case do.Prove(target, limits):
                self._trials.prove(target, limits)
            case do.StartShadow(model, share):
                self._follow(self._trials.shadow(model, share))
            case do.Swap(model):
                self._swap(model)
            case do.StopTrial():
                self._trials.stop()
                self._blobs.close()
            case do.Announce():
                pass  # it went into the outbox with the state
            case _:
                assert_never(effect)

    def _swap(self, model: Installed) -> None:
        failed = self._trials.swap(model)
        self._follow(failed)
        if failed is None:
            device = self.state.device
            self._swapped = Swapped(model.version, model.variant.name, device.phase.value, device.reason)
            self._tell_of_swap()

    def _tell_of_swap(self) -> None:
        """Whoever follows reads the link: on a full disk it still leads to the old file."""
        if self._swapped is not None and self._blobs.due_s is None:
            swapped, self._swapped = self._swapped, None
            self._a.swapped(swapped)

    def _readings(self) -> Readings:
        """What no sensor knows is asked of the link and of the live model, unless a probe says otherwise."""
        readings = self._a.sensors.read()
        if readings.quality is None:
            readings = replace(readings, quality=self._a.serving.quality())
        if isinstance(readings.round_trip_ms, Unknown):
            readings = replace(readings, round_trip_ms=self._a.output.round_trip_ms())
        return readings

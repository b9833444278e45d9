"""The engine of one model: step the core, save, then perform the effects.

It has no thread, clock or socket: `EventLoop` or the simulation gives it events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from device_client.core import effects as do
from device_client.core import events as happened
from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.policy import Policy
from device_client.core.state import Installed, State
from device_client.core.state_machine import step, wake_s
from device_client.core.status import status_of
from device_client.engine.bundle_retry import BundleRetry
from device_client.engine.event_queue import DISK_RETRY_S, EventQueue
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


class Engine:
    """Owns the state; not thread-safe, so `post` hands over other threads' events."""

    def __init__(
        self, policy: Policy, adapters: Adapters, topics: Topics, post: Callable[[happened.Event], None]
    ) -> None:
        self._policy, self._adapters, self._topics = policy, adapters, topics
        self._repository = StateRepository(policy.model, adapters.journal)
        self._files = FileEffects(policy.model, adapters.store, adapters.clock)
        self._trials = TrialEffects(adapters, self._files, post)
        self._publisher = StatusPublisher(policy.device, policy.model, topics, adapters.output, adapters.clock)
        self._status_log = StatusLog(policy.model, adapters.journal, adapters.clock)
        self._bundle_retry = BundleRetry(policy.model, adapters.clock)
        self._queue = EventQueue()
        self._processing = False
        self._unreported_swap: Swapped | None = None
        self._recovered_from: happened.Event | None = None  # unsaved, but a model serves
        self.state = State()

    @property
    def model(self) -> str:
        return self._policy.model

    def start(self) -> None:
        self.state = State(device=self._repository.load())
        self._status_log.load()
        self.handle(happened.Started())

    def handle(self, event: happened.Event, trusted: Mapping[str, bytes] | None = None) -> None:
        """Process an event and those it causes; `trusted` is saved with the state."""
        if not self._processing:
            self._queue.drop_repeated(event)
        self._queue.append(event, trusted)
        if self._processing or self._queue.blocked:
            return
        self._processing = True
        try:
            while (first := self._queue.first()) is not None:
                self._process(*first)
        finally:
            self._processing = False
        self._publish_status()

    def tick(self) -> None:
        """Retry what is due, then let the core see the time."""
        if not self._queue.unblock(self._now_s()):
            return
        self._files.retry_current()
        self._report_swap()
        self.bundle_arrived(self._bundle_retry.due())
        self.handle(happened.TimePassed())

    def wake_s(self) -> float | None:
        """When `tick` should be called at the latest, on the monotonic clock."""
        if self._queue.blocked:
            return self._queue.blocked_until_s
        retries = (self._files.due_s, self._publisher.due_s, self._status_log.due_s, self._bundle_retry.due_s)
        times = (wake_s(self._policy, self.state), *retries)
        return min((time_s for time_s in times if time_s is not None), default=None)

    def bundle_arrived(self, bundle: bytes) -> None:
        """Verify a bundle, then use it. Ignores an empty one: its topic was cleared."""
        if not bundle:
            return
        try:
            accepted = self._adapters.verify(bundle, self._repository.trusted)
        except (Untrusted, NoRoom) as refused:
            self.handle(happened.PlanRefused(self._bundle_retry.rejected(bundle, refused)))
            return
        self._bundle_retry.clear()
        self.handle(happened.PlanTrusted(accepted.plan, accepted.manifests), accepted.trusted)

    def chunk_arrived(self, sha256: str, payload: bytes) -> None:
        """Check and write a chunk, if it is one that is missing."""
        download = self.state.moment.download
        if download is None or self._queue.blocked:
            return  # not requested; while blocked it could not be recorded, and is requested again
        self.handle(self._files.keep(download.sha256, sha256, payload))

    def link_up(self) -> None:
        """After a connect: publish the status, even if unchanged."""
        self._publisher.forget()
        self.handle(happened.LinkUp())
        if self._queue.blocked:
            self._publisher.publish(self.status())  # LinkUp waits; that the disk fails need not

    def status(self) -> Status:
        now, next_check = self._adapters.clock.utc(), None
        if self.state.moment.next_check_s is not None:
            next_check = now + timedelta(seconds=max(0.0, self.state.moment.next_check_s - self._now_s()))
        return status_of(self._policy, self.state, at=now, next_check=next_check, trouble=self._queue.disk_problem)

    def _now_s(self) -> float:
        return self._adapters.clock.monotonic_s()

    def _publish_status(self) -> None:
        status = self.status()
        if self.state.moment.link.up:
            self._publisher.publish(status)
        else:
            self._publisher.forget()
        self._status_log.keep(status, self.state.moment)

    def _process(self, event: happened.Event, trusted: Mapping[str, bytes] | None) -> None:
        after, effects = step(self._policy, self.state, event, self._now_s())
        outcomes = [self._publisher.outcome(effect) for effect in effects if isinstance(effect, do.Announce)]
        try:
            self._repository.save(after.device, outcomes, trusted)
        except (FerryError, OSError) as failed:
            log.error("%s: the state cannot be saved: %s; retrying in %.0f s", self.model, failed, DISK_RETRY_S)
            self._queue.block(failed, self._now_s())
            self._serve_unsaved(event, effects)
            return
        self._queue.remove_first()
        if after.device.phase is not self.state.device.phase:
            log.info("%s: %s: %s", self.model, after.device.phase.value, after.device.reason)
        self.state = after
        if outcomes:
            self._adapters.output.outbox_filled()
        for effect in effects:
            self._perform(effect)

    def _serve_unsaved(self, event: happened.Event, effects: do.Effects) -> None:
        """Serve an installed, never a new, model while its event waits for the disk."""
        device = self.state.device
        match event:
            case happened.Started():
                lost = ""
            case happened.ModelFailed(sha256) if device.live is not None and device.live.variant.sha256 == sha256:
                lost = sha256
            case _:
                return
        if self._recovered_from is event:
            return
        self._recovered_from = event
        wanted = [effect.model for effect in effects if isinstance(effect, do.Swap)]
        for model in (*wanted, *device.installed()):
            if model.variant.sha256 != lost and self._trials.swap(model) is None:
                return

    def _follow(self, event: happened.Event | None) -> None:
        if event is not None:
            self._queue.append(event)

    def _perform(self, effect: do.Effect) -> None:
        match effect:
            case do.TakeReadings():
                self._follow(happened.ReadingsTaken(self._readings()))
            case do.TakeTally():
                tally, hold = self._adapters.serving.tally(), self._adapters.sensors.hold_reason()
                self._follow(happened.TallyTaken(tally, hold))
            case do.OpenBlob():
                self._follow(self._files.open(effect))
            case do.RecheckBlob():
                self._follow(self._files.recheck(effect))
            case do.FinishBlob():
                self._follow(self._files.finish(effect))
            case do.KeepOnly():
                self._files.keep_only(effect)
            case do.SweepChunks(sha256s):
                self._adapters.output.sweep(tuple(self._topics.chunk(sha256) for sha256 in sha256s))
            case do.SendWants(sha256s):
                self._publisher.publish_wants(sha256s)
            case do.Prove(target, limits):
                self._trials.prove(target, limits)
            case do.StartShadow(model, share):
                self._follow(self._trials.shadow(model, share))
            case do.Swap(model):
                self._swap(model)
            case do.StopTrial():
                self._trials.stop()
                self._files.close()
            case do.Announce():
                pass  # put in the outbox when the state was saved
            case _:
                assert_never(effect)

    def _swap(self, model: Installed) -> None:
        failed = self._trials.swap(model)
        self._follow(failed)
        if failed is None:
            device = self.state.device
            self._unreported_swap = Swapped(model.version, model.variant.name, device.phase.value, device.reason)
            self._report_swap()

    def _report_swap(self) -> None:
        """Call the observer, once the `current` link points at the new file."""
        if self._unreported_swap is not None and self._files.due_s is None:
            swapped, self._unreported_swap = self._unreported_swap, None
            self._adapters.on_swap(swapped)

    def _readings(self) -> Readings:
        """The sensors' readings, completed with the link's and the live model's."""
        readings = self._adapters.sensors.read()
        if readings.quality is None:
            readings = replace(readings, quality=self._adapters.serving.quality())
        if isinstance(readings.round_trip_ms, Unknown):
            readings = replace(readings, round_trip_ms=self._adapters.output.round_trip_ms())
        return readings

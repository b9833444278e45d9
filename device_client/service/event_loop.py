"""The event loop of a device: engines, link, outbox, and the routing between them.

`EventLoop` is passive, for the simulation's virtual time; `drive` is the loop itself.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from device_client.core.events import ChunksSwept, Event, LinkDown
from device_client.engine.engine import Engine
from device_client.ports.context import Clock
from device_client.ports.journal import Journal
from device_client.ports.serving import Serving
from device_client.reporting.feedback_reporter import FeedbackReporter
from device_client.reporting.outbox import Outbox
from device_client.service.presence import Identity, ReadBack, RoundTrip
from protocol.mqtt.link import Connected, Delivered, Disconnected, Link, LinkEvent, Received, Refused, SweepCompleted
from protocol.topics import Kind, Topics

log = logging.getLogger(__name__)

IDLE_TICK_S: Final = 1.0
SHORTEST_WAIT_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Posted:
    """An event for one model's engine, from another thread."""

    model: str
    event: Event


Inbound = LinkEvent | Posted


class EventLoop:
    """Routes messages to engines, and publishes the presence. Not thread-safe."""

    def __init__(
        self,
        identity: Identity,
        topics: Topics,
        clock: Clock,
        round_trip: RoundTrip,
        reporter: FeedbackReporter,
        journal: Journal,
    ) -> None:
        self._identity = identity
        self._topics = topics
        self._clock = clock
        self._round_trip = round_trip
        self._reporter = reporter
        self._link: Link | None = None
        self._engines: dict[str, Engine] = {}
        self._servings: dict[str, Serving] = {}
        self._outbox = Outbox(journal, lambda topic, payload: self._publish(topic, payload, retain=False))
        self._read_back = ReadBack()
        self._logged_reason = ""  # of the last disconnect

    def attach(self, link: Link, engines: Mapping[str, Engine], servings: Mapping[str, Serving]) -> None:
        """Set the link and the engines, which are made with this loop."""
        self._link = link
        self._engines = dict(engines)
        self._servings = dict(servings)

    def start(self) -> None:
        for engine in self._engines.values():
            engine.start()
        self._attached_link().start()

    def stop(self) -> None:
        if self._reporter.last_report(self._servings):
            self._outbox.flush()
        self._publish(self._topics.presence(self._identity.device), self._presence(online=False), retain=True)
        self._attached_link().stop()

    def handle(self, event: Inbound) -> None:
        match event:
            case Connected():
                self._on_connected()
            case Disconnected(reason):
                self._on_disconnected(reason)
            case Received(topic, payload, retained):
                self._on_received(topic, payload, retained=retained)
            case Delivered(receipt):
                self._round_trip.answered(receipt, self._clock.monotonic_s())
                self._outbox.delivered(receipt)
            case Refused(receipt, reason):
                self._on_refused(receipt, reason)
            case SweepCompleted(swept):
                addresses = (self._topics.parse(topic) for topic in swept)
                sha256s = tuple(address.sha256 for address in addresses if address and address.kind is Kind.CHUNK)
                self._handle_in_all(ChunksSwept(sha256s))
            case Posted(model, inner):
                self._engines[model].handle(inner)

    def tick(self) -> None:
        now_s = self._clock.monotonic_s()
        for engine in self._engines.values():
            due_s = engine.wake_s()
            if due_s is not None and now_s >= due_s:
                engine.tick()
        if self._reporter.report_if_due(self._servings):
            self._outbox.flush()
        for topic in self._read_back.overdue(now_s):
            log.error("the broker does not return what is published on %s; check its access rules", topic)

    def wake_s(self) -> float:
        """When `tick` should be called at the latest, on the monotonic clock."""
        times = [due_s for engine in self._engines.values() if (due_s := engine.wake_s()) is not None]
        return min([*times, self._reporter.due_s])

    def publish(self, topic: str, payload: bytes, retain: bool) -> None:
        self._round_trip.sent(self._publish(topic, payload, retain=retain), self._clock.monotonic_s())

    def sweep(self, topics: tuple[str, ...]) -> None:
        self._attached_link().sweep(topics)

    def outbox_filled(self) -> None:
        self._outbox.flush()

    def _attached_link(self) -> Link:
        assert self._link is not None  # `attach` comes first
        return self._link

    def _publish(self, topic: str, payload: bytes, *, retain: bool) -> int:
        return self._attached_link().publish(topic, payload, qos=1, retain=retain)

    def _handle_in_all(self, event: Event) -> None:
        for engine in self._engines.values():
            engine.handle(event)

    def _presence(self, *, online: bool) -> bytes:
        return self._identity.presence(online=online, clock=self._clock, models=tuple(self._engines))

    def _on_connected(self) -> None:
        log.info("broker: connected")
        self._logged_reason = ""
        link, device = self._attached_link(), self._identity.device
        link.subscribe([self._topics.desired(model) for model in self._engines], qos=1)
        statuses = [self._topics.of_device(Kind.STATUS, device, model) for model in self._engines]
        link.subscribe([self._topics.presence(device), *statuses], qos=0)
        self._read_back.expect(statuses, self._clock.monotonic_s())
        self._publish(self._topics.presence(device), self._presence(online=True), retain=True)
        for engine in self._engines.values():
            engine.link_up()
        self._outbox.connected()

    def _on_disconnected(self, reason: str) -> None:
        if reason != self._logged_reason:  # every attempt to reconnect fails alike
            log.warning("broker: %s", reason)
        self._logged_reason = reason
        self._round_trip.disconnected()
        self._read_back.disconnected()
        self._outbox.disconnected()
        self._handle_in_all(LinkDown(reason))

    def _on_received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        address = self._topics.parse(topic)
        if address is None:
            return
        if address.kind is Kind.DESIRED and address.model in self._engines:
            self._engines[address.model].bundle_arrived(payload)
        elif address.kind is Kind.CHUNK:
            for engine in self._engines.values():
                engine.chunk_arrived(address.sha256, payload)
        elif address.kind is Kind.PRESENCE and self._identity.is_contradicted_by(payload, retained=retained):
            self._publish(topic, self._presence(online=True), retain=True)
        elif address.kind is Kind.STATUS and self._read_back.seen(topic, retained=retained):
            self._attached_link().unsubscribe([topic])

    def _on_refused(self, receipt: int, reason: str) -> None:
        log.error("the broker refused a message of this device: %s; check its access rules (mosquitto/acl)", reason)
        self._round_trip.answered(receipt, self._clock.monotonic_s())
        self._outbox.refused(receipt, reason)


def drive(loop: EventLoop, inbox: queue.Queue[Inbound], stop: threading.Event, clock: Clock) -> None:
    """Run a device in this thread until `stop` is set."""
    loop.start()
    try:
        while not stop.is_set():
            wait_s = min(IDLE_TICK_S, max(SHORTEST_WAIT_S, loop.wake_s() - clock.monotonic_s()))
            with contextlib.suppress(queue.Empty):
                loop.handle(inbox.get(timeout=wait_s))
            loop.tick()
    finally:
        loop.stop()

"""The daemon: keeps a broker whole, answers devices that miss chunks, renews signatures. `core.keeper` decides.

It takes the registry's lock only while it signs. What other commands change meanwhile it sees at the next look.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final

from protocol.errors import BadInput, BrokerTrouble, Busy, FerryError
from protocol.messages.device import Wants
from protocol.mqtt.link import Connected, Disconnected, LinkEvent, Received
from protocol.topics import Kind
from publisher.core.sync.reconciler import (
    BrokerJoined,
    BrokerLost,
    ChunksWanted,
    ReconcileEffect,
    ReconcileEvent,
    ReconcileFailed,
    Reconciler,
    Ticked,
    step,
)
from publisher.operations.context import PublisherContext
from publisher.operations.serve.effects import ReconcileEffects

TICK_S: Final = 1.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ServeCounters:
    """What was done, counted."""

    chunks: int = 0
    announcements: int = 0
    renewals: int = 0
    wants: int = 0
    reconnects: int = 0


@dataclass(slots=True)
class Service:
    """One run of the daemon."""

    office: PublisherContext
    housekeeping: ReconcileEffects
    served: ServeCounters = field(default_factory=ServeCounters)
    _events: SimpleQueue[LinkEvent] = field(default_factory=SimpleQueue)
    _keeper: Reconciler = field(default_factory=Reconciler)
    _trouble: str = ""
    _tick_at_s: float = 0.0

    def run(self, goes_on: Callable[[], bool] = lambda: True) -> ServeCounters:
        """Serve until `goes_on` says no, or an exception ends it."""
        from protocol.mqtt.paho_link import Backoff, MqttLink

        settings, name = self.office.settings, f"edgeferry-serve-{secrets.token_hex(4)}"
        patience = Backoff(most_s=10.0)
        link = MqttLink(settings.broker, name, self._events.put, tls=settings.tls, patience=patience)
        wants = self.office.topics.of_every_device(Kind.WANTS)
        link.start()
        try:
            while goes_on():
                event = self._next()
                if isinstance(event, Connected):
                    link.subscribe([wants], qos=1)
                self._take(event)
                self._tick()
        finally:
            link.stop()
            self.housekeeping.close()
        return self.served

    def _next(self) -> LinkEvent | None:
        try:
            return self._events.get(timeout=TICK_S)
        except Empty:
            return None

    def _take(self, event: LinkEvent | None) -> None:
        match event:
            case Connected():
                _log.info("connected to %s", self.office.settings.broker.address)
                self._trouble = ""
                self.served.reconnects += 1
                self._step(BrokerJoined())
            case Disconnected(reason):
                if reason != self._trouble:
                    _log.warning("%s; trying again", reason)
                self._trouble = reason
                self.housekeeping.close()
                self._step(BrokerLost())
            case Received(topic, payload):
                self._hear(topic, payload)

    def _tick(self) -> None:
        """Let time pass, also when devices never stop asking."""
        if time.monotonic() >= self._tick_at_s:
            self._tick_at_s = time.monotonic() + TICK_S
            self._step(Ticked(self.housekeeping.signature_left(), self.housekeeping.abandoned()))

    def _hear(self, topic: str, payload: bytes) -> None:
        address = self.office.topics.parse(topic)
        if address is None or address.kind is not Kind.WANTS:
            return
        try:
            wants = Wants.from_line(payload)
        except BadInput as strange:
            _log.warning("%s: %s", topic, strange)
            return
        self.served.wants += 1
        _log.info("%s misses %d chunks of %s", address.device, len(wants.chunks), address.model)
        self._step(ChunksWanted(address.device, wants.chunks))

    def _step(self, event: ReconcileEvent) -> None:
        """Decide, act, and take what comes of it."""
        pending = [event]
        while pending:
            self._keeper, effects = step(self._keeper, pending.pop(0), time.monotonic())
            for effect in effects:
                if (outcome := self._perform(effect)) is not None:
                    pending.append(outcome)

    def _perform(self, effect: ReconcileEffect) -> ReconcileEvent | None:
        try:
            return self.housekeeping.perform(effect, self.served)
        except (BrokerTrouble, Busy) as later:
            _log.warning("%s; trying again later", later.message)
        except FerryError as trouble:
            _log.error("%s", trouble)  # a damaged file, a lost key: somebody has to see to it
        return ReconcileFailed()


def serve(office: PublisherContext, goes_on: Callable[[], bool] = lambda: True) -> ServeCounters:
    """Serve until stopped by an exception such as KeyboardInterrupt; all that was begun can be begun anew."""
    return Service(office, ReconcileEffects(office)).run(goes_on)

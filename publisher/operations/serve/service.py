"""The daemon: restores the broker, answers devices that miss chunks, renews signatures.

`core.sync.reconciler` decides; `serve.effects` performs. The registry's lock is held
only while signing.
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
from protocol.mqtt.paho_link import Backoff, MqttLink
from protocol.topics import Kind
from publisher.core.sync import reconciler
from publisher.operations.context import PublisherContext
from publisher.operations.serve.counters import ServeCounters
from publisher.operations.serve.effects import ReconcileEffects

TICK_S: Final = 1.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Service:
    context: PublisherContext
    effects: ReconcileEffects
    counters: ServeCounters = field(default_factory=ServeCounters)
    _events: SimpleQueue[LinkEvent] = field(default_factory=SimpleQueue)
    _reconciler: reconciler.Reconciler = field(default_factory=reconciler.Reconciler)
    _disconnect_reason: str = ""
    _tick_at_s: float = 0.0

    def run(self, goes_on: Callable[[], bool] = lambda: True) -> ServeCounters:
        """Serve until `goes_on` returns False or an exception ends it."""
        settings, client_id = self.context.settings, f"edgeferry-serve-{secrets.token_hex(4)}"
        link = MqttLink(
            settings.broker, client_id, self._events.put, tls=settings.tls, backoff=Backoff(wait_max_s=10.0)
        )
        wants = self.context.topics.of_every_device(Kind.WANTS)
        link.start()
        try:
            while goes_on():
                event = self._next_event()
                if isinstance(event, Connected):
                    link.subscribe([wants], qos=1)
                self._handle(event)
                self._tick()
        finally:
            link.stop()
            self.effects.close()
        return self.counters

    def _next_event(self) -> LinkEvent | None:
        try:
            return self._events.get(timeout=TICK_S)
        except Empty:
            return None

    def _handle(self, event: LinkEvent | None) -> None:
        match event:
            case Connected():
                _log.info("connected to %s", self.context.settings.broker.address)
                self._disconnect_reason = ""
                self.counters.reconnects += 1
                self._step(reconciler.BrokerJoined())
            case Disconnected(reason):
                if reason != self._disconnect_reason:
                    _log.warning("%s; trying again", reason)
                self._disconnect_reason = reason
                self.effects.close()
                self._step(reconciler.BrokerLost())
            case Received(topic, payload):
                self._handle_message(topic, payload)

    def _tick(self) -> None:
        """Step the clock once per TICK_S, also under a constant stream of requests."""
        if time.monotonic() >= self._tick_at_s:
            self._tick_at_s = time.monotonic() + TICK_S
            self._step(reconciler.Ticked(self.effects.signature_left(), self.effects.abandoned_models()))

    def _handle_message(self, topic: str, payload: bytes) -> None:
        address = self.context.topics.parse(topic)
        if address is None or address.kind is not Kind.WANTS:
            return
        try:
            wants = Wants.from_line(payload)
        except BadInput as malformed:
            _log.warning("%s: %s", topic, malformed)
            return
        self.counters.wants += 1
        _log.info("%s misses %d chunks of %s", address.device, len(wants.chunks), address.model)
        self._step(reconciler.ChunksWanted(address.device, wants.chunks))

    def _step(self, event: reconciler.ReconcileEvent) -> None:
        """Step the reconciler, perform its effects, and feed their results back."""
        pending = [event]
        while pending:
            self._reconciler, effects = reconciler.step(self._reconciler, pending.pop(0), time.monotonic())
            for effect in effects:
                if (outcome := self._perform(effect)) is not None:
                    pending.append(outcome)

    def _perform(self, effect: reconciler.ReconcileEffect) -> reconciler.ReconcileEvent | None:
        try:
            return self.effects.perform(effect, self.counters)
        except (BrokerTrouble, Busy) as later:
            _log.warning("%s; trying again later", later.message)
        except FerryError as trouble:
            _log.error("%s", trouble)  # a damaged file or a lost key needs an operator
        return reconciler.ReconcileFailed()

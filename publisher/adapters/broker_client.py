"""`BrokerClient`: blocking calls to a broker: put retained messages, read, receive.

It uses a `Link`, which never blocks, and treats topics as plain strings. Use it from
one thread at a time: a message that arrives during another call is dropped.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Final, Self

from protocol.errors import BrokerRefused, BrokerUnreachable
from protocol.mqtt import link
from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.paho_link import Backoff, MqttLink
from protocol.mqtt.tls import TlsFiles

CONNECT_S: Final = 10.0
TIMEOUT_S: Final = 30.0  # without any progress, connected or not
GRACE_S: Final = 1.0  # after a sweep, for brokers that answer out of order
PUTS_IN_FLIGHT: Final = 32
READS_AT_ONCE: Final = 16  # of 64 KB: a broker silently drops QoS 0 messages that overflow its queue
COLLECT_MAX_S: Final = 30.0
_START_ONE: Final = "start one with scripts/broker, or name another: --broker mqtt://HOST:PORT"


@dataclass(frozen=True, slots=True)
class RetainedMessage:
    """An empty payload clears its topic."""

    topic: str
    payload: bytes


class BrokerClient:
    """One connection, renewed by its link. `address` is for error messages."""

    def __init__(
        self, address: str, link_of: Callable[[link.Sink], link.Link], *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.address = address
        self._events: SimpleQueue[link.LinkEvent] = SimpleQueue()
        self._link = link_of(self._events.put)
        self._timeout_s = timeout_s
        self._disconnect_reason = ""  # empty while connected

    @classmethod
    def connect(
        cls, url: BrokerUrl, *, tls: TlsFiles | None = None, name: str = "publisher", timeout_s: float = CONNECT_S
    ) -> Self:
        """Connect. Raises BrokerUnreachable; BrokerRefused for wrong credentials."""
        client_id = f"edgeferry-{name}-{secrets.token_hex(4)}"  # a broker drops the older of two equal ids
        backoff = Backoff(wait_max_s=5.0, connect_timeout_s=timeout_s)
        broker = cls(url.address, lambda sink: MqttLink(url, client_id, sink, tls=tls, backoff=backoff))
        broker.open(timeout_s)
        return broker

    def open(self, timeout_s: float = CONNECT_S) -> None:
        """Try to connect once. Raises on the first refusal, as a user is waiting."""
        self._link.start()
        until_s = time.monotonic() + 2 * timeout_s  # in MQTT 5, then in 3.1.1
        try:
            while (event := self._next(until_s - time.monotonic())) is not None:
                if isinstance(event, link.Connected):
                    return
                if isinstance(event, link.Disconnected):
                    raise BrokerUnreachable(event.reason, hint=_START_ONE)
            raise BrokerUnreachable(f"{self.address} does not answer", hint=_START_ONE)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._link.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put_all(
        self,
        messages: Iterable[RetainedMessage],
        on_acknowledged: Callable[[RetainedMessage], None] = lambda _message: None,
    ) -> int:
        """Publish; returns how many. Raises BrokerRefused, BrokerUnreachable."""
        in_flight: dict[int, RetainedMessage] = {}
        count = 0
        for message in messages:
            while len(in_flight) >= PUTS_IN_FLIGHT:
                self._settle(in_flight, on_acknowledged)
            in_flight[self._link.publish(message.topic, message.payload, qos=1, retain=True)] = message
            count += 1
        while in_flight:
            self._settle(in_flight, on_acknowledged)
        return count

    def read(self, topics: Iterable[str]) -> dict[str, bytes]:
        """Retained payloads by topic; topics without one are left out."""
        return dict(self.read_each(topics))

    def read_each(self, topics: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The same one by one, for payloads that do not fit into memory together."""
        rest, missing = iter(dict.fromkeys(topics)), dict[str, None]()
        while window := list(islice(rest, READS_AT_ONCE)):
            missing |= dict.fromkeys(window)
            yield from self._sweep(window, missing)
        until_s = time.monotonic() + GRACE_S
        while missing and (left_s := until_s - time.monotonic()) > 0:
            event = self._next(left_s)
            if isinstance(event, link.Received) and event.topic in missing:
                del missing[event.topic]
                yield event.topic, event.payload

    def collect(self, patterns: Sequence[str], *, quiet_s: float = GRACE_S) -> dict[str, bytes]:
        """Payloads under wildcards; may miss some that overflow a broker's queue."""
        found: dict[str, bytes] = {}
        self.subscribe(patterns)
        for received in self.receive(patterns, quiet_s=quiet_s, for_s=COLLECT_MAX_S):
            found[received.topic] = received.payload
        if self._disconnect_reason:
            raise self._lost()
        self._link.unsubscribe(patterns)
        return {topic: payload for topic, payload in found.items() if payload}

    def subscribe(self, patterns: Sequence[str]) -> None:
        """Subscribe at QoS 0. Every call brings the retained messages again."""
        self._link.subscribe(patterns, qos=0)

    def receive(self, patterns: Sequence[str], *, quiet_s: float, for_s: float) -> Iterator[link.Received]:
        """Messages until none for `quiet_s`; while disconnected, until `for_s`."""
        until_s = time.monotonic() + for_s
        while (left_s := until_s - time.monotonic()) > 0:
            match self._next(left_s if self._disconnect_reason else min(left_s, quiet_s)):
                case None:
                    return
                case link.Connected():
                    self.subscribe(patterns)
                case link.Received() as received:
                    yield received

    def _sweep(self, window: list[str], missing: dict[str, None]) -> Iterator[tuple[str, bytes]]:
        self._link.sweep(window)
        until_s = time.monotonic() + self._timeout_s
        while (event := self._next(until_s - time.monotonic())) is not None:
            match event:
                case link.Connected():
                    self._link.sweep(window)
                case link.Received(topic, payload) if topic in missing:
                    until_s = time.monotonic() + self._timeout_s
                    del missing[topic]
                    yield topic, payload
                case link.SweepCompleted(topics) if list(topics) == window:
                    return
        raise self._lost()

    def _settle(
        self, in_flight: dict[int, RetainedMessage], on_acknowledged: Callable[[RetainedMessage], None]
    ) -> None:
        until_s = time.monotonic() + self._timeout_s
        while (event := self._next(until_s - time.monotonic())) is not None:
            match event:
                case link.Delivered(receipt) if receipt in in_flight:
                    on_acknowledged(in_flight.pop(receipt))
                    return
                case link.Refused(receipt, reason) if receipt in in_flight:
                    raise self._refused(in_flight[receipt].topic, reason)
        raise self._lost()

    def _next(self, timeout_s: float) -> link.LinkEvent | None:
        """The next event; None after `timeout_s`. Raises BrokerRefused."""
        try:
            event = self._events.get(timeout=max(0.0, timeout_s))
        except Empty:
            return None
        if isinstance(event, link.Connected):
            self._disconnect_reason = ""
        elif isinstance(event, link.Disconnected):
            self._disconnect_reason = event.reason
            if event.final:
                raise BrokerRefused(event.reason, hint="give --broker mqtt://USER:PASSWORD@HOST:PORT")
        return event

    def _lost(self) -> BrokerUnreachable:
        reason = self._disconnect_reason or f"{self.address} takes what we send, but does not answer"
        return BrokerUnreachable(
            f"{reason}; no progress for {self._timeout_s:g} s",
            hint="run the command again when the broker is back: it goes on where this one stopped",
        )

    def _refused(self, topic: str, reason: str) -> BrokerRefused:
        return BrokerRefused(
            f"{self.address} does not take {topic}: {reason}",
            hint="give the publisher's user the right to write there, in the broker's ACL",
        )

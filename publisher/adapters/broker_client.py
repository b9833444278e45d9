"""A conversation with one broker that waits for its answers: put messages, read what is kept, listen for a while.

It stands on a `Link`, which never waits. It knows topics as texts only; what they mean is told elsewhere. One thread
at a time: what comes while something else is awaited is dropped.
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
from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.link import (
    Connected,
    Delivered,
    Disconnected,
    Link,
    LinkEvent,
    Received,
    Refused,
    Sink,
    SweepCompleted,
)
from protocol.mqtt.tls import TlsFiles

CONNECT_S: Final = 10.0
PATIENCE_S: Final = 30.0  # without any progress, connected or not
GRACE_S: Final = 1.0  # after the end of a sweep, for a broker that answers out of order
PUTS_IN_FLIGHT: Final = 32
READS_AT_ONCE: Final = 16  # of 64 KB: a broker drops QoS 0 messages past its queue without a word
COLLECT_MAX_S: Final = 30.0
_START_ONE: Final = "start one with scripts/broker, or name another: --broker mqtt://HOST:PORT"


@dataclass(frozen=True, slots=True)
class RetainedMessage:
    """A message to be kept; an empty payload clears its topic."""

    topic: str
    payload: bytes


def keep_quiet(_message: RetainedMessage) -> None:
    """Tell nobody."""


class BrokerClient:
    """One connection, renewed by its link. `address` is for messages."""

    def __init__(self, address: str, link_of: Callable[[Sink], Link], *, patience_s: float = PATIENCE_S) -> None:
        self.address = address
        self._events: SimpleQueue[LinkEvent] = SimpleQueue()
        self._link = link_of(self._events.put)
        self._patience_s = patience_s
        self._trouble = ""  # why there is no connection now

    @classmethod
    def connect(
        cls, url: BrokerUrl, *, tls: TlsFiles | None = None, name: str = "publisher", timeout_s: float = CONNECT_S
    ) -> Self:
        """Connect. Raises BrokerUnreachable, or BrokerRefused when only other credentials would help."""
        # the one place that names the real link: paho takes a while to import, and help needs none
        from protocol.mqtt.paho_link import Backoff, MqttLink

        client_id = f"edgeferry-{name}-{secrets.token_hex(4)}"  # two of one name would throw each other out
        backoff = Backoff(wait_max_s=5.0, connect_timeout_s=timeout_s)
        broker = cls(url.address, lambda sink: MqttLink(url, client_id, sink, tls=tls, backoff=backoff))
        broker.open(timeout_s)
        return broker

    def open(self, timeout_s: float = CONNECT_S) -> None:
        """Connect, once: a first refusal is told at once, for a person waits."""
        self._link.start()
        until_s = time.monotonic() + 2 * timeout_s  # in MQTT 5, then in 3.1.1
        try:
            while (event := self._next(until_s - time.monotonic())) is not None:
                if isinstance(event, Connected):
                    return
                if isinstance(event, Disconnected):
                    raise BrokerUnreachable(event.reason, hint=_START_ONE)
            raise BrokerUnreachable(f"{self.address} does not answer", hint=_START_ONE)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take leave."""
        self._link.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put_all(
        self, messages: Iterable[RetainedMessage], on_acknowledged: Callable[[RetainedMessage], None] = keep_quiet
    ) -> int:
        """Have the broker keep messages, a window at a time; return how many once each is acknowledged.

        Raises BrokerRefused naming the topic, BrokerUnreachable when there is no progress for a while.
        """
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
        """What is kept on exact topics; a topic that holds nothing is not in it."""
        return dict(self.read_each(topics))

    def read_each(self, topics: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The same one by one, for what would not fit into memory together."""
        rest, missing = iter(dict.fromkeys(topics)), dict[str, None]()
        while window := list(islice(rest, READS_AT_ONCE)):
            missing |= dict.fromkeys(window)
            yield from self._swept(window, missing)
        until_s = time.monotonic() + GRACE_S
        while missing and (left_s := until_s - time.monotonic()) > 0:
            event = self._next(left_s)
            if isinstance(event, Received) and event.topic in missing:
                del missing[event.topic]
                yield event.topic, event.payload

    def collect(self, patterns: Sequence[str], *, quiet_s: float = GRACE_S) -> dict[str, bytes]:
        """What is kept under wildcards, until nothing came for `quiet_s`. Never for chunks.

        Brokers drop kept messages past their queue: ask for exact topics where it must be all.
        """
        found: dict[str, bytes] = {}
        self.listen(patterns)
        for received in self.heard(patterns, quiet_s=quiet_s, for_s=COLLECT_MAX_S):
            found[received.topic] = received.payload
        if self._trouble:
            raise self._lost()
        self._link.unsubscribe(patterns)
        return {topic: payload for topic, payload in found.items() if payload}

    def listen(self, patterns: Sequence[str]) -> None:
        """Subscribe, at QoS 0; doing it again brings what is kept again."""
        self._link.subscribe(patterns, qos=0)

    def heard(self, patterns: Sequence[str], *, quiet_s: float, for_s: float) -> Iterator[Received]:
        """What comes until it is quiet for `quiet_s`, at most `for_s`. A lost connection is awaited that long."""
        until_s = time.monotonic() + for_s
        while (left_s := until_s - time.monotonic()) > 0:
            match self._next(left_s if self._trouble else min(left_s, quiet_s)):
                case None:
                    return
                case Connected():
                    self.listen(patterns)
                case Received() as received:
                    yield received

    def _swept(self, window: list[str], missing: dict[str, None]) -> Iterator[tuple[str, bytes]]:
        """Sweep once; what came is taken out of `missing`."""
        self._link.sweep(window)
        until_s = time.monotonic() + self._patience_s
        while (event := self._next(until_s - time.monotonic())) is not None:
            match event:
                case Connected():
                    self._link.sweep(window)
                case Received(topic, payload) if topic in missing:
                    until_s = time.monotonic() + self._patience_s
                    del missing[topic]
                    yield topic, payload
                case SweepCompleted(topics) if list(topics) == window:
                    return
        raise self._lost()

    def _settle(
        self, in_flight: dict[int, RetainedMessage], on_acknowledged: Callable[[RetainedMessage], None]
    ) -> None:
        """Wait until the broker has spoken about one message."""
        until_s = time.monotonic() + self._patience_s
        while (event := self._next(until_s - time.monotonic())) is not None:
            match event:
                case Delivered(receipt) if receipt in in_flight:
                    on_acknowledged(in_flight.pop(receipt))
                    return
                case Refused(receipt, reason) if receipt in in_flight:
                    raise self._refused(in_flight[receipt].topic, reason)
        raise self._lost()

    def _next(self, timeout_s: float) -> LinkEvent | None:
        """The next event; None after `timeout_s`. Raises BrokerRefused when trying again would not help."""
        try:
            event = self._events.get(timeout=max(0.0, timeout_s))
        except Empty:
            return None
        if isinstance(event, Connected):
            self._trouble = ""
        elif isinstance(event, Disconnected):
            self._trouble = event.reason
            if event.final:
                raise BrokerRefused(event.reason, hint="give --broker mqtt://USER:PASSWORD@HOST:PORT")
        return event

    def _lost(self) -> BrokerUnreachable:
        why = self._trouble or f"{self.address} takes what we send, but does not answer"
        return BrokerUnreachable(
            f"{why}; no progress for {self._patience_s:g} s",
            hint="run the command again when the broker is back: it goes on where this one stopped",
        )

    def _refused(self, topic: str, reason: str) -> BrokerRefused:
        return BrokerRefused(
            f"{self.address} does not take {topic}: {reason}",
            hint="give the publisher's user the right to write there, in the broker's ACL",
        )

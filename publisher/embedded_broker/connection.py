"""One client's connection: what it says is read and obeyed, what it is to hear waits in one bounded queue.

No session outlives its connection, whatever the client asks for; the CONNACK says so.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Final, NamedTuple

from publisher.embedded_broker import encoder as replies
from publisher.embedded_broker.decoder import Framer, decode
from publisher.embedded_broker.hub import Hub
from publisher.embedded_broker.packets import (
    BAD_FILTER,
    DISCONNECT_WITH_WILL,
    KEEPALIVE_TIMEOUT,
    NOT_AUTHORIZED,
    PROTOCOL_ERROR,
    V5,
    V311,
    BadPacket,
    Connect,
    Disconnect,
    Filter,
    Packet,
    Pingreq,
    Puback,
    Publish,
    PublishedMessage,
    Subscribe,
    Unsubscribe,
)  # fmt: skip
from publisher.embedded_broker.subscriptions import is_filter

BUFFER_BYTES: Final = 131_072  # handed to asyncio per client; beyond it our own queue of references fills
FAREWELL_S: Final = 1.0  # to a reader that does not take our DISCONNECT
KEEPALIVE_GRACE: Final = 1.5  # the standard's own factor
IN_FLIGHT_MAX: Final = 1_000


class Delivery(NamedTuple):
    """A message in a queue: a reference, so that a stalled reader costs little."""

    message: PublishedMessage
    qos: int
    retain: bool


class BrokerConnection(asyncio.Protocol):
    """Speaks MQTT with one client."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._framer = Framer(hub.house.packet_max_bytes)
        self._transport: asyncio.Transport | None = None
        self._client: Connect | None = None
        self._client_id = ""
        self._will: PublishedMessage | None = None
        self._queue: deque[bytes | Delivery] = deque()
        self._in_flight: set[int] = set()
        self._last_id = 0
        self._writable = True
        self._held = False
        self._heard_at = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    # --- what asyncio tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # we only listen on TCP
        self._transport = transport
        self._hub.connections.add(self)
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._alarm = self._loop.call_later(self._hub.house.connect_within_s, self._abort)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            for first, body in self._framer.feed(data):
                version = self._client.version if self._client else V311
                self._obey(decode(first, body, version))
                if self._transport is None:
                    return
        except BadPacket as bad:
            self.hang_up(bad.reason)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        self._hub.connections.discard(self)
        self._leave()

    # --- what the hub asks of us

    def deliver(self, message: PublishedMessage, *, qos: int, retain: bool) -> None:
        """Queue a message for this client; drop it if too many wait already or it is larger than the client takes."""
        if self._transport is None or self._client is None:
            return
        if len(message.payload) + len(message.topic) + len(message.properties) + 16 > self._client.packet_max_bytes:
            return
        copies = 1
        if self._hub.mischief:
            fate = self._hub.mischief.of_delivery(message)
            if fate.cut:
                self.cut(say_will=True)
                return
            message, copies = fate.message, fate.copies
            if fate.delay_s:
                self._hold(fate.delay_s)
        for _ in range(copies):
            if len(self._queue) < self._hub.house.queue_max:
                self._queue.append(Delivery(message, qos, retain))
        self._pump()

    @property
    def waiting(self) -> int:
        """How many messages wait for this client."""
        return len(self._queue)

    def hang_up(self, reason: int) -> None:
        """End the connection from our side; the client's will is said."""
        if self._transport is None:
            return
        if self._client and self._client.version == V5:
            self._transport.write(replies.disconnect(reason))
        self._transport.close()
        self._loop.call_later(FAREWELL_S, self._transport.abort)
        self._leave()

    def cut(self, *, say_will: bool) -> None:
        """Break the connection without a word."""
        if not say_will:
            self._will = None
        self._abort()
        self._leave()

    # --- what the client asks of us

    def _obey(self, packet: Packet) -> None:
        if self._client is None:
            if not isinstance(packet, Connect):
                raise BadPacket("something before CONNECT", PROTOCOL_ERROR)
            self._welcome(packet)
            return
        match packet:
            case Publish():
                self._take(packet)
            case Puback(packet_id):
                self._in_flight.discard(packet_id)
                self._pump()
            case Subscribe():
                self._subscribe(packet)
            case Unsubscribe(packet_id, patterns):
                gone = [0 if self._hub.exchange.unsubscribe(self, pattern) else 0x11 for pattern in patterns]
                self._answer(replies.unsuback(self._client.version, packet_id, gone))
            case Pingreq():
                self._answer(replies.pingresp())
            case Disconnect(reason):
                self._will = self._will if reason == DISCONNECT_WITH_WILL else None
                self._close()
            case Connect():
                raise BadPacket("a second CONNECT", PROTOCOL_ERROR)

    def _welcome(self, connect: Connect) -> None:
        reason = self._hub.refusal(connect)
        if connect.version == V5 and self._hub.house.mqtt5 == "hang-up":
            self._abort()
            return
        limit = self._hub.house.packet_max_bytes
        if reason:
            # what refuses MQTT 5 knows only 3.1.1, and says so in its words
            version = V5 if connect.version == V5 and self._hub.house.mqtt5 == "accept" else V311
            self._answer(replies.connack(version, reason, packet_max_bytes=limit))
            self._close()
            return
        self._client, self._will = connect, connect.will
        self._client_id = self._hub.enter(self, connect.client_id)
        assigned = "" if connect.client_id else self._client_id
        self._answer(replies.connack(connect.version, 0, packet_max_bytes=limit, assigned_id=assigned))
        self._watch(connect.keepalive_s * KEEPALIVE_GRACE)

    def _take(self, publish: Publish) -> None:
        assert self._client is not None  # _obey has seen to it
        message, mischief = publish.message, self._hub.mischief
        if mischief and mischief.cuts_before_publish():
            self.cut(say_will=True)
            return
        allowed = self._hub.may_publish(message.topic)
        if allowed:
            self._hub.publish(message, self)
        if mischief and mischief.cuts_before_puback():
            self.cut(say_will=True)
        elif message.qos:
            self._answer(replies.puback(self._client.version, publish.packet_id, 0 if allowed else NOT_AUTHORIZED))

    def _subscribe(self, subscribe: Subscribe) -> None:
        assert self._client is not None  # _obey has seen to it
        granted = [self._grant(wanted) for wanted in subscribe.filters]
        self._answer(replies.suback(self._client.version, subscribe.packet_id, granted))
        for wanted, qos in zip(subscribe.filters, granted, strict=True):
            if qos <= 1 and self._transport:  # a delivery can break the connection
                for message in self._hub.subscribe(self, wanted):
                    self.deliver(message, qos=min(message.qos, qos), retain=True)

    def _grant(self, wanted: Filter) -> int:
        if not is_filter(wanted.pattern) or wanted.pattern.startswith("$share/"):
            return BAD_FILTER
        return min(wanted.qos, 1)

    # --- the way out

    def _answer(self, packet: bytes) -> None:
        """Queue one of our own packets behind the messages: an UNSUBACK says that all before it has been sent."""
        if self._transport is None:
            return
        self._queue.append(packet)
        self._pump()
        if self._transport and len(self._queue) > self._hub.house.queue_max:
            self._transport.pause_reading()  # a client that asks without reading gets no further

    def _pump(self) -> None:
        while self._queue and self._writable and not self._held and self._transport:
            item = self._queue[0]
            if isinstance(item, Delivery):
                if item.qos and len(self._in_flight) >= self._window():
                    break
                self._queue.popleft()
                self._transport.write(self._encoded(item))
            else:
                self._queue.popleft()
                self._transport.write(item)
        if self._transport and not self._transport.is_reading() and len(self._queue) < self._hub.house.queue_max:
            self._transport.resume_reading()

    def _window(self) -> int:
        assert self._client is not None  # deliveries go to clients only
        return min(self._client.receive_max, IN_FLIGHT_MAX)

    def _encoded(self, item: Delivery) -> bytes:
        assert self._client is not None  # deliveries go to clients only
        packet_id = self._next_id() if item.qos else 0
        version, message = self._client.version, item.message
        head = replies.publish_head(version, message, qos=item.qos, retain=item.retain, packet_id=packet_id)
        return head + message.payload

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % 65_535 + 1
            if self._last_id not in self._in_flight:
                self._in_flight.add(self._last_id)
                return self._last_id

    def _hold(self, delay_s: float) -> None:
        if not self._held:
            self._held = True
            self._loop.call_later(delay_s, self._release)

    def _release(self) -> None:
        self._held = False
        self._pump()

    # --- the end

    def _watch(self, patience_s: float) -> None:
        """Look again when the client could be overdue; 0 means that it never is."""
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if patience_s:
            left_s = self._heard_at + patience_s - self._loop.time()
            if left_s <= 0:
                self.hang_up(KEEPALIVE_TIMEOUT)
            else:
                self._alarm = self._loop.call_later(left_s, self._watch, patience_s)

    def _close(self) -> None:
        if self._transport:
            self._transport.close()
            self._loop.call_later(FAREWELL_S, self._transport.abort)
        self._leave()

    def _abort(self) -> None:
        if self._transport:
            self._transport.abort()

    def _leave(self) -> None:
        """Take leave of the hub, once."""
        transport, self._transport = self._transport, None
        if self._alarm:
            self._alarm.cancel()
        self._queue.clear()
        if transport and self._client:
            will, self._will = self._will, None
            self._hub.leave(self, self._client_id, will)

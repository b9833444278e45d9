"""`BrokerConnection`: reads a client's packets, and sends it messages from a queue.

No session outlives its connection, whatever the client requests; the CONNACK says so.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Final, NamedTuple

from publisher.embedded_broker import encoder, packets
from publisher.embedded_broker.decoder import Framer, decode
from publisher.embedded_broker.hub import Hub
from publisher.embedded_broker.packets import V5, V311, BadPacket, PublishedMessage
from publisher.embedded_broker.subscriptions import is_filter

BUFFER_BYTES: Final = 131_072  # in asyncio per client; beyond it our own queue of references fills
CLOSE_WITHIN_S: Final = 1.0  # of a client that does not read our DISCONNECT
KEEPALIVE_FACTOR: Final = 1.5  # of the MQTT standard
IN_FLIGHT_MAX: Final = 1_000


class Delivery(NamedTuple):
    """A queued message: a reference, so that a stalled reader costs little."""

    message: PublishedMessage
    qos: int
    retain: bool


class BrokerConnection(asyncio.Protocol):
    """An MQTT connection; the hub's `Listener`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._framer = Framer(hub.settings.packet_max_bytes)
        self._transport: asyncio.Transport | None = None
        self._client: packets.Connect | None = None
        self._client_id = ""
        self._will: PublishedMessage | None = None
        self._queue: deque[bytes | Delivery] = deque()
        self._in_flight: set[int] = set()
        self._last_id = 0
        self._writable = True
        self._is_delayed = False
        self._received_at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # --- callbacks of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # we only listen on TCP
        self._transport = transport
        self._hub.connections.add(self)
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timer = self._loop.call_later(self._hub.settings.connect_within_s, self._abort)

    def data_received(self, data: bytes) -> None:
        self._received_at_s = self._loop.time()
        try:
            for first, body in self._framer.feed(data):
                version = self._client.version if self._client else V311
                self._handle(decode(first, body, version))
                if self._transport is None:
                    return
        except BadPacket as bad:
            self.disconnect(bad.reason)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        self._hub.connections.discard(self)
        self._detach()

    # --- calls of the hub

    def deliver(self, message: PublishedMessage, *, qos: int, retain: bool) -> None:
        """Queue a message; drop it if it is too large or the queue is full."""
        if self._transport is None or self._client is None:
            return
        if len(message.payload) + len(message.topic) + len(message.properties) + 16 > self._client.packet_max_bytes:
            return
        copies = 1
        if self._hub.faults:
            fault = self._hub.faults.of_delivery(message)
            if fault.cut:
                self.abort(publish_will=True)
                return
            message, copies = fault.message, fault.copies
            if fault.delay_s:
                self._delay(fault.delay_s)
        for _ in range(copies):
            if len(self._queue) < self._hub.settings.queue_max:
                self._queue.append(Delivery(message, qos, retain))
        self._pump()

    @property
    def queued(self) -> int:
        return len(self._queue)

    def disconnect(self, reason: int) -> None:
        """Close the connection from our side; the client's will is published."""
        if self._transport and self._client and self._client.version == V5:
            self._transport.write(encoder.disconnect(reason))
        self._close()

    def abort(self, *, publish_will: bool) -> None:
        """Break the connection without a DISCONNECT."""
        if not publish_will:
            self._will = None
        self._abort()
        self._detach()

    # --- packets of the client

    def _handle(self, packet: packets.Packet) -> None:
        if self._client is None:
            if not isinstance(packet, packets.Connect):
                raise BadPacket("a packet before CONNECT", packets.PROTOCOL_ERROR)
            self._connect(packet)
            return
        match packet:
            case packets.Publish():
                self._publish(packet)
            case packets.Puback(packet_id):
                self._in_flight.discard(packet_id)
                self._pump()
            case packets.Subscribe():
                self._subscribe(packet)
            case packets.Unsubscribe(packet_id, patterns):
                reasons = [0 if self._hub.subscriptions.remove(self, pattern) else 0x11 for pattern in patterns]
                self._send(encoder.unsuback(self._client.version, packet_id, reasons))
            case packets.Pingreq():
                self._send(encoder.pingresp())
            case packets.Disconnect(reason):
                self._will = self._will if reason == packets.DISCONNECT_WITH_WILL else None
                self._close()
            case packets.Connect():
                raise BadPacket("a second CONNECT", packets.PROTOCOL_ERROR)

    def _connect(self, connect: packets.Connect) -> None:
        reason = self._hub.refusal(connect)
        if connect.version == V5 and self._hub.settings.mqtt5 == "hang-up":
            self._abort()
            return
        limit = self._hub.settings.packet_max_bytes
        if reason:
            # a broker that rejects MQTT 5 knows only 3.1.1, and answers in it
            version = V5 if connect.version == V5 and self._hub.settings.mqtt5 == "accept" else V311
            self._send(encoder.connack(version, reason, packet_max_bytes=limit))
            self._close()
            return
        self._client, self._will = connect, connect.will
        self._client_id = self._hub.add_client(self, connect.client_id)
        assigned = "" if connect.client_id else self._client_id
        self._send(encoder.connack(connect.version, 0, packet_max_bytes=limit, assigned_id=assigned))
        self._check_keepalive(connect.keepalive_s * KEEPALIVE_FACTOR)

    def _publish(self, publish: packets.Publish) -> None:
        assert self._client is not None  # checked by _handle
        message, faults = publish.message, self._hub.faults
        if faults and faults.cuts_before_publish():
            self.abort(publish_will=True)
            return
        allowed = self._hub.may_publish(message.topic)
        if allowed:
            self._hub.publish(message, self)
        if faults and faults.cuts_before_puback():
            self.abort(publish_will=True)
        elif message.qos:
            self._send(
                encoder.puback(self._client.version, publish.packet_id, 0 if allowed else packets.NOT_AUTHORIZED)
            )

    def _subscribe(self, subscribe: packets.Subscribe) -> None:
        assert self._client is not None  # checked by _handle
        granted = [_granted_qos(wanted) for wanted in subscribe.filters]
        self._send(encoder.suback(self._client.version, subscribe.packet_id, granted))
        for wanted, qos in zip(subscribe.filters, granted, strict=True):
            if qos <= 1 and self._transport:  # a delivery may break the connection
                for message in self._hub.subscribe(self, wanted):
                    self.deliver(message, qos=min(message.qos, qos), retain=True)

    # --- sending

    def _send(self, packet: bytes) -> None:
        """Queue a packet after the messages: an UNSUBACK implies they were sent."""
        if self._transport is None:
            return
        self._queue.append(packet)
        self._pump()
        if self._transport and len(self._queue) > self._hub.settings.queue_max:
            self._transport.pause_reading()  # until the client reads what is queued

    def _pump(self) -> None:
        while self._queue and self._writable and not self._is_delayed and self._transport:
            item = self._queue[0]
            if isinstance(item, Delivery) and item.qos and len(self._in_flight) >= self._in_flight_max():
                break
            self._queue.popleft()
            self._transport.write(self._encoded(item) if isinstance(item, Delivery) else item)
        if self._transport and not self._transport.is_reading() and len(self._queue) < self._hub.settings.queue_max:
            self._transport.resume_reading()

    def _in_flight_max(self) -> int:
        assert self._client is not None  # only clients get deliveries
        return min(self._client.receive_max, IN_FLIGHT_MAX)

    def _encoded(self, item: Delivery) -> bytes:
        assert self._client is not None  # only clients get deliveries
        packet_id = self._next_id() if item.qos else 0
        version, message = self._client.version, item.message
        head = encoder.publish_head(version, message, qos=item.qos, retain=item.retain, packet_id=packet_id)
        return head + message.payload

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % 65_535 + 1
            if self._last_id not in self._in_flight:
                self._in_flight.add(self._last_id)
                return self._last_id

    def _delay(self, delay_s: float) -> None:
        if not self._is_delayed:
            self._is_delayed = True
            self._loop.call_later(delay_s, self._end_delay)

    def _end_delay(self) -> None:
        self._is_delayed = False
        self._pump()

    # --- closing

    def _check_keepalive(self, timeout_s: float) -> None:
        """Disconnect after `timeout_s` of silence, or check again; 0 means never."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if timeout_s:
            left_s = self._received_at_s + timeout_s - self._loop.time()
            if left_s <= 0:
                self.disconnect(packets.KEEPALIVE_TIMEOUT)
            else:
                self._timer = self._loop.call_later(left_s, self._check_keepalive, timeout_s)

    def _close(self) -> None:
        if self._transport:
            self._transport.close()
            self._loop.call_later(CLOSE_WITHIN_S, self._transport.abort)
        self._detach()

    def _abort(self) -> None:
        if self._transport:
            self._transport.abort()

    def _detach(self) -> None:
        transport, self._transport = self._transport, None
        if self._timer:
            self._timer.cancel()
        self._queue.clear()
        if transport and self._client:
            will, self._will = self._will, None
            self._hub.remove_client(self, self._client_id, will)


def _granted_qos(wanted: packets.Filter) -> int:
    if not is_filter(wanted.pattern) or wanted.pattern.startswith("$share/"):
        return packets.BAD_FILTER
    return min(wanted.qos, 1)

"""One MQTT connection, and the one module that imports paho-mqtt.

paho's own loop is not used, as it waits by select(), which ends at 1,024 descriptors.
MQTT 5 brokers hold messages over our limit back (mosquitto 2.0.11 counts each at QoS 1
as in flight for ever: after twenty, only QoS 0 arrives until the next connection). With
MQTT 3.1.1, `packet_size_guard` skips them below paho, which reads a packet whole.
"""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from protocol.mqtt import reason_text
from protocol.mqtt.backoff import Backoff
from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.link import Connected, Delivered, LinkEvent, Received, Refused, ReplyTo, SweepCompleted
from protocol.mqtt.packet_size_guard import PacketSizeGuard
from protocol.mqtt.send_queue import QueuedRequest, SendQueue
from protocol.mqtt.unacknowledged import Outgoing
from protocol.mqtt.wakeup import Wakeup

PACKET_MAX_BYTES: Final = 131_072  # either way: twice a chunk
IN_FLIGHT_MAX: Final = 20  # unacknowledged publishes; mosquitto and paho have the same
_SELECT_MAX_S: Final = 1.0
_HEADER_BYTES: Final = 16  # of a PUBLISH, besides topic, payload and correlation; never more than 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Will:
    """The message that the broker publishes when the connection is lost."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    url: BrokerUrl
    client_id: str
    tls: ssl.SSLContext | None
    will: Will | None
    keepalive_s: int
    backoff: Backoff


@dataclass(frozen=True, slots=True)
class ConnectionEnd:
    """Why a connection ended. `no_answer`: no CONNACK, as of old brokers for MQTT 5."""

    reason: str
    final: bool = False
    no_answer: bool = False
    bad_version: bool = False


class PahoConnection:
    def __init__(
        self, settings: ConnectionSettings, *, mqtt5: bool, queue: SendQueue, emit: Callable[[LinkEvent], None]
    ) -> None:
        self._settings = settings
        self._url = settings.url
        self._mqtt5 = mqtt5
        self._queue = queue
        self._emit = emit
        self._guard: PacketSizeGuard | None = None
        self._window = IN_FLIGHT_MAX
        self._broker_limit_bytes: int | None = None
        self._receipts: dict[int, int] = {}  # by paho's message id
        self._sweeps: dict[int, tuple[str, ...]] = {}
        self._subscribed: dict[int, tuple[str, ...]] = {}
        self._ended: ConnectionEnd | None = None
        self.accepted = False
        self._client = self._make_client()

    def run(self, wakeup: Wakeup, stop_by_s: Callable[[], float | None]) -> ConnectionEnd:
        """Connect and transfer messages until the connection ends or the link stops."""
        try:
            self._client.reconnect()
        except OSError as failed:
            return ConnectionEnd(reason_text.of_failure(self._url, failed))
        try:
            return self._ended or self._loop(wakeup, stop_by_s)
        finally:
            self._queue.went_offline()
            if self._guard:
                self._guard.close()

    def _loop(self, wakeup: Wakeup, get_stop_by_s: Callable[[], float | None]) -> ConnectionEnd:
        assert self._guard is not None  # paho has called _on_socket_open
        connack_by_s = time.monotonic() + self._settings.backoff.connack_timeout_s
        with selectors.DefaultSelector() as selector:
            wakeup.register(selector)
            selector.register(self._guard, selectors.EVENT_READ)
            while True:
                wakeup.clear()  # before the queue is read
                stop_by_s, now_s = get_stop_by_s(), time.monotonic()
                self._send_queued()
                self._check_end(stop_by_s, now_s, None if self.accepted else connack_by_s)
                if self._ended:
                    return self._ended
                until_s = min(stop_by_s or float("inf"), float("inf") if self.accepted else connack_by_s)
                self._transfer(selector, self._guard, min(_SELECT_MAX_S, max(0.0, until_s - now_s)))

    def _transfer(self, selector: selectors.BaseSelector, guard: PacketSizeGuard, timeout_s: float) -> None:
        write = selectors.EVENT_WRITE if self._client.want_write() else 0
        selector.modify(guard, selectors.EVENT_READ | write)
        ready = selector.select(0 if guard.pending() else timeout_s)
        events = next((events for key, events in ready if key.fileobj is guard), 0)
        if events & selectors.EVENT_READ or guard.pending():
            self._client.loop_read()
            self._acknowledge_skipped(guard)
        if events & selectors.EVENT_WRITE and not self._ended:
            self._client.loop_write()
        if not self._ended:
            self._client.loop_misc()

    def _check_end(self, stop_by_s: float | None, now_s: float, connack_by_s: float | None) -> None:
        if connack_by_s is not None and now_s >= connack_by_s:
            self._end(ConnectionEnd(reason_text.of_no_answer(self._url), no_answer=True))
        elif self._queue.overflowed():
            self._end(ConnectionEnd(f"{self._url.address} does not read what we send"))
        elif stop_by_s is not None and (now_s >= stop_by_s or not (len(self._queue) or self._client.want_write())):
            self._client.disconnect()
            self._end(ConnectionEnd("stopped"))

    def _send_queued(self) -> None:
        """Hand paho an item when the socket took the last: its queue stays short."""
        while self.accepted and not self._ended and not self._client.want_write():
            match self._queue.next(self._window):
                case None:
                    return
                case Outgoing() as message:
                    self._publish(message)
                case QueuedRequest() as request:
                    self._request(request)

    def _publish(self, message: Outgoing) -> None:
        limit_bytes = self._broker_limit_bytes
        size_bytes = packet_size_bytes(message.topic, message.payload, message.correlation)
        if limit_bytes and size_bytes > limit_bytes:
            self._queue.settle(message.receipt)
            self._emit(Refused(message.receipt, f"{size_bytes} bytes; the broker takes packets of {limit_bytes}"))
            return
        properties = None
        if message.correlation and self._mqtt5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho's own gap
            properties.CorrelationData = message.correlation
        sent = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        if message.qos:
            self._receipts[sent.mid] = message.receipt

    def _request(self, request: QueuedRequest) -> None:
        if not request.topics:
            if request.action == "sweep":
                self._emit(SweepCompleted(()))
            return
        if request.action != "unsubscribe":
            _, mid = self._client.subscribe([(topic, request.qos) for topic in request.topics])
            if mid is not None:
                self._subscribed[mid] = request.topics
        if request.action != "subscribe":
            _, mid = self._client.unsubscribe(list(request.topics))
            if request.action == "sweep" and mid is not None:
                self._sweeps[mid] = request.topics

    def _acknowledge_skipped(self, guard: PacketSizeGuard) -> None:
        for skipped in guard.take_skipped():
            size, limit = skipped.size_bytes, PACKET_MAX_BYTES
            _log.warning("%s: %s has %d bytes, over %d; dropped", self._url.address, skipped.topic, size, limit)
            if skipped.packet_id:
                self._client.ack(skipped.packet_id, 1)  # or they fill the broker's window

    def _end(self, end: ConnectionEnd) -> None:
        """The first reason counts; later ones are its consequences."""
        self._ended = self._ended or end

    # --- paho

    def _make_client(self) -> _GuardedClient:
        settings, url = self._settings, self._url
        client = _GuardedClient(
            CallbackAPIVersion.VERSION2,
            settings.client_id,
            protocol=paho.MQTTv5 if self._mqtt5 else paho.MQTTv311,
            reconnect_on_failure=False,  # or paho falls back to MQTT 3.1 by itself
            manual_ack=True,  # so that messages which the guard skips can be acknowledged too
        )
        client.tls = settings.tls
        if url.user is not None:
            client.username_pw_set(url.user, url.password)
        if settings.will:
            client.will_set(settings.will.topic, settings.will.payload, settings.will.qos, settings.will.retain)
        client.connect_timeout = settings.backoff.connect_timeout_s
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        client.on_socket_open, client.on_connect = self._on_socket_open, self._on_connect
        client.on_disconnect, client.on_message = self._on_disconnect, self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe, client.on_unsubscribe = self._on_subscribe, self._on_unsubscribe
        properties = None
        if self._mqtt5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's own gap
            properties.MaximumPacketSize = PACKET_MAX_BYTES
        client.connect_async(url.host, url.port, settings.keepalive_s, clean_start=True, properties=properties)
        return client

    def _on_socket_open(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        self._guard = sock
        sock.disable_nagle()

    def _on_connect(
        self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.value >= reason_text.FAILURE:
            final, bad_version = code.value in reason_text.FINAL, code.value == reason_text.BAD_VERSION
            self._end(ConnectionEnd(reason_text.of_refusal(self._url, code.value), final, bad_version=bad_version))
            return
        self.accepted = True
        self._window = min(IN_FLIGHT_MAX, getattr(properties, "ReceiveMaximum", IN_FLIGHT_MAX))
        self._broker_limit_bytes = getattr(properties, "MaximumPacketSize", None)
        self._queue.came_online()
        self._emit(Connected())

    def _on_disconnect(self, _client: paho.Client, _data: Any, flags: Any, code: ReasonCode, _properties: Any) -> None:
        failure = self._guard.failure if self._guard else None
        if flags.is_disconnect_packet_from_server:
            self._end(ConnectionEnd(reason_text.of_disconnect(self._url, code.value)))
        elif failure and not isinstance(failure, ConnectionResetError):
            self._end(ConnectionEnd(reason_text.of_failure(self._url, failure)))
        elif not self.accepted:
            self._end(ConnectionEnd(reason_text.of_no_answer(self._url), no_answer=True))
        else:
            self._end(ConnectionEnd(f"the connection to {self._url.address} is lost"))

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        client.ack(message.mid, message.qos)
        try:
            topic = message.topic
        except UnicodeDecodeError:
            _log.warning("%s: a topic that is not UTF-8; dropped", self._url.address)
            return
        self._emit(Received(topic, bytes(message.payload), message.retain, _reply_to(message.properties)))

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        receipt = self._receipts.pop(mid, None)
        if receipt is None or not self._queue.settle(receipt):
            return
        if code.value >= reason_text.FAILURE:
            self._emit(Refused(receipt, reason_text.of_refused_publish(code.value)))
        else:
            self._emit(Delivered(receipt))

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        for topic, code in zip(self._subscribed.pop(mid, ()), codes, strict=False):
            if code.value >= reason_text.FAILURE:
                _log.warning("%s does not let us subscribe to %s (code 0x%02x)", self._url.address, topic, code.value)

    def _on_unsubscribe(self, _client: paho.Client, _data: Any, mid: int, _codes: Any, _properties: Any) -> None:
        topics = self._sweeps.pop(mid, None)
        if topics is not None:
            self._emit(SweepCompleted(topics))


class _GuardedClient(paho.Client):
    """Overrides a private method, as paho has no public way to pass a socket.

    Tested in test_paho_create_socket.py. TLS is ours too, as paho leaves the socket of
    a failed handshake open.
    """

    tls: ssl.SSLContext | None = None

    def _create_socket(self) -> Any:
        sock = socket.create_connection((self.host, self.port), timeout=self.connect_timeout)
        if self.tls:
            sock = self.tls.wrap_socket(sock, server_hostname=self.host)
        return PacketSizeGuard(sock, PACKET_MAX_BYTES)


def packet_size_bytes(topic: str, payload: bytes, correlation: bytes = b"") -> int:
    """An upper bound of the size of a PUBLISH packet."""
    return len(payload) + len(topic.encode()) + len(correlation) + _HEADER_BYTES


def _reply_to(properties: Properties | None) -> ReplyTo | None:
    topic = getattr(properties, "ResponseTopic", None)  # MQTT 5 only
    return ReplyTo(topic, getattr(properties, "CorrelationData", b"")) if topic else None

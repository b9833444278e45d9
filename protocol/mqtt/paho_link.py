"""The real `Link`, and the one file that knows paho-mqtt. It owns connections and their renewal; no topic's meaning.

A thread of its own does everything on the network; the methods only queue, and callbacks only put events on the sink.
Each connection gets a fresh paho client with a clean session: what is unacknowledged is ours (`unacknowledged.py`), so
receipts outlive connections and the step from MQTT 5 down to 3.1.1. paho's own loop is not used: it waits by select(),
which ends at 1,024 descriptors.

What comes in is bounded twice. MQTT 5 brokers are told the limit and keep longer messages to themselves (mosquitto
2.0.11 counts each one at QoS 1 as on its way for ever: after twenty, only QoS 0 comes through until the next
connection). MQTT 3.1.1 has no such word, and paho reads a packet whole: `packet_guard.py` reads past longer messages
below paho, so they cost time on the network but no memory; a line in the log names the topic.
"""

from __future__ import annotations

import logging
import random
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from protocol.errors import BadInput, BadName
from protocol.mqtt import reason_text as link_reasons
from protocol.mqtt.backoff import Backoff, failures_after
from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.link import Connected, Delivered, Disconnected, LinkEvent, Received, Refused, ReplyTo, Sink, Swept
from protocol.mqtt.packet_size_guard import PacketSizeGuard
from protocol.mqtt.send_queue import QueuedRequest, SendQueue
from protocol.mqtt.tls import TlsFiles, tls_context
from protocol.mqtt.unacknowledged import Outgoing
from protocol.mqtt.wakeup import Wakeup

PACKET_MAX_BYTES: Final = 131_072  # either way: twice a chunk
IN_FLIGHT_MAX: Final = 20  # publishes on their way; mosquitto and paho have the same
_TURN_S: Final = 1.0
_HEAD_BYTES: Final = 16  # of a PUBLISH, besides topic, payload and what answers a question; never more than 16

__all__ = ["Backoff", "MqttLink", "TlsFiles", "Will"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we vanish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


@dataclass(frozen=True, slots=True)
class _Ending:
    """Why a connection ended, or did not come about. `silent`: no CONNACK came, as older brokers meet MQTT 5."""

    reason: str
    final: bool = False
    silent: bool = False
    bad_version: bool = False


@dataclass(frozen=True, slots=True)
class _LinkSettings:
    """What every connection of a link starts from."""

    url: BrokerUrl
    client_id: str
    tls: ssl.SSLContext | None
    will: Will | None
    keepalive_s: int
    patience: Backoff


class MqttLink:
    """A `Link` to one broker; after `stop` it cannot be started again.

    Each failed attempt is told as Disconnected, `final` when only a person can help; it goes on trying all the same.
    Calls go out in their order, but for publishes that wait for the broker's acknowledgements: later calls pass those.
    What is asked while there is no connection is dropped, except publishes at QoS 1.
    """

    def __init__(
        self,
        url: BrokerUrl,
        client_id: str,
        sink: Sink,
        *,
        tls: TlsFiles | None = None,
        will: Will | None = None,
        keepalive_s: int = 30,
        rng: random.Random | None = None,
        patience: Backoff | None = None,
        mqtt5: bool = True,
    ) -> None:
        """`mqtt5=False` never tries MQTT 5. Raises BadSettings for unusable TLS files, BadName for the will's topic."""
        if will:
            _check_topic(will.topic)
        self._patience = patience or Backoff()
        self._settings = _LinkSettings(url, client_id, tls_context(url, tls), will, keepalive_s, self._patience)
        self._rng = rng or random.Random()
        self._mqtt5 = mqtt5
        self._bell = Wakeup()
        self._queue = SendQueue(self._bell.ring)
        self._thread = threading.Thread(target=self._run, name=f"link {client_id}", daemon=True)
        self._life_lock = threading.Lock()  # start and stop
        self._started = False
        self._give_up_at_s: float | None = None  # monotonic; set by stop
        self._sink_lock = threading.RLock()  # the sink may call stop
        self._sink: Sink | None = sink

    def start(self) -> None:
        """Connect in the background, and stay connected until `stop`."""
        with self._life_lock:
            if not self._started and self._give_up_at_s is None:
                self._started = True
                self._thread.start()

    def stop(self) -> None:
        """Deliver what waits if the broker takes it within about two seconds, then take leave: no last will is said.

        No event comes after this returns; what has no receipt by then was perhaps not delivered.
        """
        with self._life_lock:
            if self._give_up_at_s is None:
                self._give_up_at_s = time.monotonic() + self._patience.flush_s
                if not self._started:
                    self._bell.close()
            self._bell.ring()
        if self._started and self._thread is not threading.current_thread():
            self._thread.join(self._patience.flush_s + 1.0)  # it may hang in a name look-up: it is a daemon, and muted
        with self._sink_lock:
            self._sink = None

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, correlation: bytes = b"") -> int:
        """Queue a message; return its receipt. At QoS 1 it goes out until it is Delivered or Refused, once; at QoS 0 it
        goes out if there is a connection, and nothing is heard of it.

        Raises BadName for a topic and BadInput for a payload that brokers would refuse for ever.
        """
        _check_topic(topic)
        if _size_bytes(topic, payload, correlation) > PACKET_MAX_BYTES:
            raise BadInput(f"a message of {len(payload)} bytes for {topic}; a packet has at most {PACKET_MAX_BYTES}")
        assert qos in (0, 1), qos
        return self._queue.publish(topic, bytes(payload), qos, retain, bytes(correlation))

    def subscribe(self, topics: Sequence[str], *, qos: int) -> None:
        """Listen from now on, retained messages first; asking again brings them again."""
        self._queue.ask("subscribe", tuple(topics), qos)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Stop listening."""
        self._queue.ask("unsubscribe", tuple(topics))

    def sweep(self, topics: Sequence[str]) -> None:
        """Ask once for what is kept on exact topics. `Swept` follows, unless the connection is lost: then ask again.

        It also ends a subscription to the same topics, for it ends with UNSUBSCRIBE.
        """
        self._queue.ask("sweep", tuple(topics))

    # --- the thread

    def _run(self) -> None:
        failures = 0
        try:
            while self._give_up_at_s is None or (failures == 0 and len(self._queue)):
                began_s = time.monotonic()
                ending, accepted = self._one_connection()
                if self._give_up_at_s is not None:
                    return
                self._emit(Disconnected(ending.reason, ending.final))
                failures = failures_after(failures, accepted=accepted, lived_s=time.monotonic() - began_s)
                self._pause(failures, final=ending.final)
        finally:
            self._bell.close()

    def _pause(self, failures: int, *, final: bool) -> None:
        until_s = time.monotonic() + self._patience.pause_s(failures, self._rng, final=final)
        while self._give_up_at_s is None and (left_s := until_s - time.monotonic()) > 0:
            self._bell.wait(left_s)  # a publish rings too: it has to wait all the same
            self._bell.hush()

    def _one_connection(self) -> tuple[_Ending, bool]:
        """Live through one connection, in MQTT 3.1.1 where the broker does not speak 5; say whether it was accepted.

        A broker that named the version as its reason is not asked for 5 again; silence may have been a restart.
        """
        if self._mqtt5:
            ending, accepted = self._live(paho.MQTTv5)
            self._mqtt5 = not ending.bad_version
            if not (ending.silent or ending.bad_version) or self._give_up_at_s is not None:
                return ending, accepted
        return self._live(paho.MQTTv311)

    def _live(self, version: MQTTProtocolVersion) -> tuple[_Ending, bool]:
        session = _Session(self._settings, version, self._queue, self._emit)
        return session.live(self._bell, lambda: self._give_up_at_s), session.accepted

    def _emit(self, event: LinkEvent) -> None:
        with self._sink_lock:
            if self._sink:
                self._sink(event)


class _Session:
    """One connection, from the first packet to its end: paho's client, and what is on its way in it."""

    def __init__(
        self, settings: _LinkSettings, version: MQTTProtocolVersion, queue: SendQueue, emit: Callable[[LinkEvent], None]
    ) -> None:
        self._settings = settings
        self._url = settings.url
        self._version = version
        self._queue = queue
        self._emit = emit
        self._guard: PacketSizeGuard | None = None
        self._window = IN_FLIGHT_MAX
        self._broker_limit_bytes: int | None = None
        self._receipts: dict[int, int] = {}  # by paho's message id
        self._sweeps: dict[int, tuple[str, ...]] = {}
        self._subscribed: dict[int, tuple[str, ...]] = {}
        self._ending: _Ending | None = None
        self.accepted = False
        self._client = self._make_client()

    def live(self, bell: Wakeup, give_up_at_s: Callable[[], float | None]) -> _Ending:
        """Connect and carry messages until the connection ends, or until the link is stopped and all is sent."""
        try:
            self._client.reconnect()
        except OSError as failed:
            return _Ending(link_reasons.of_failure(self._url, failed))
        try:
            return self._ending or self._carry(bell, give_up_at_s)
        finally:
            self._queue.went_offline()
            if self._guard:
                self._guard.close()

    def _carry(self, bell: Wakeup, give_up_at_s: Callable[[], float | None]) -> _Ending:
        assert self._guard is not None  # paho has called _on_socket_open
        answer_by_s = time.monotonic() + self._settings.patience.connack_s
        with selectors.DefaultSelector() as selector:
            bell.register(selector)
            selector.register(self._guard, selectors.EVENT_READ)
            while True:
                bell.hush()  # before looking at what it rang for
                stop_by_s, now_s = give_up_at_s(), time.monotonic()
                self._send_what_waits()
                self._look_for_the_end(stop_by_s, now_s, None if self.accepted else answer_by_s)
                if self._ending:
                    return self._ending
                until_s = min(stop_by_s or float("inf"), float("inf") if self.accepted else answer_by_s)
                self._move(selector, self._guard, min(_TURN_S, max(0.0, until_s - now_s)))

    def _move(self, selector: selectors.BaseSelector, guard: PacketSizeGuard, at_most_s: float) -> None:
        """Wait for the network or the bell, and carry what there is."""
        write = selectors.EVENT_WRITE if self._client.want_write() else 0
        selector.modify(guard, selectors.EVENT_READ | write)
        ready = selector.select(0 if guard.pending() else at_most_s)
        events = next((events for key, events in ready if key.fileobj is guard), 0)
        if events & selectors.EVENT_READ or guard.pending():
            self._client.loop_read()
            self._note_passed(guard)
        if events & selectors.EVENT_WRITE and not self._ending:
            self._client.loop_write()
        if not self._ending:
            self._client.loop_misc()

    def _look_for_the_end(self, stop_by_s: float | None, now_s: float, answer_by_s: float | None) -> None:
        if answer_by_s is not None and now_s >= answer_by_s:
            self._end(_Ending(link_reasons.of_silence(self._url), silent=True))
        elif self._queue.is_overrun():
            self._end(_Ending(f"{self._url.address} does not read what we send"))
        elif stop_by_s is not None and (now_s >= stop_by_s or not (len(self._queue) or self._client.want_write())):
            self._client.disconnect()
            self._end(_Ending("stopped"))

    def _send_what_waits(self) -> None:
        """Hand paho one thing at a time, only when the socket took the last: its own queue stays short."""
        while self.accepted and not self._ending and not self._client.want_write():
            match self._queue.next(self._window):
                case None:
                    return
                case Outgoing() as message:
                    self._publish(message)
                case QueuedRequest() as ask:
                    self._ask(ask)

    def _publish(self, message: Outgoing) -> None:
        limit_bytes = self._broker_limit_bytes
        size_bytes = _size_bytes(message.topic, message.payload, message.correlation)
        if limit_bytes and size_bytes > limit_bytes:
            self._queue.settle(message.receipt)
            self._emit(Refused(message.receipt, f"{size_bytes} bytes; the broker takes packets of {limit_bytes}"))
            return
        properties = None
        if message.correlation and self._version == paho.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho's own gap
            properties.CorrelationData = message.correlation
        sent = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        if message.qos:
            self._receipts[sent.mid] = message.receipt

    def _ask(self, ask: QueuedRequest) -> None:
        if not ask.topics:
            if ask.verb == "sweep":
                self._emit(Swept(()))
            return
        if ask.verb != "unsubscribe":
            _, mid = self._client.subscribe([(topic, ask.qos) for topic in ask.topics])
            if mid is not None:
                self._subscribed[mid] = ask.topics
        if ask.verb != "subscribe":
            _, mid = self._client.unsubscribe(list(ask.topics))
            if ask.verb == "sweep" and mid is not None:
                self._sweeps[mid] = ask.topics

    def _note_passed(self, guard: PacketSizeGuard) -> None:
        for passed in guard.take_passed():
            limit = PACKET_MAX_BYTES
            _log.warning(
                "%s: %s has %d bytes, over %d; dropped", self._url.address, passed.topic, passed.size_bytes, limit
            )
            if passed.packet_id:
                self._client.ack(passed.packet_id, 1)  # or the broker's window fills with what we never take

    def _end(self, ending: _Ending) -> None:
        """The first reason counts: what follows are its consequences."""
        self._ending = self._ending or ending

    # --- paho

    def _make_client(self) -> _GuardedClient:
        settings, url = self._settings, self._url
        client = _GuardedClient(
            CallbackAPIVersion.VERSION2,
            settings.client_id,
            protocol=self._version,
            reconnect_on_failure=False,  # or paho turns to MQTT 3.1 by itself
            manual_ack=True,  # so that what the guard passes over can be acknowledged too
        )
        client.tls = settings.tls
        if url.user is not None:
            client.username_pw_set(url.user, url.password)
        if settings.will:
            client.will_set(settings.will.topic, settings.will.payload, settings.will.qos, settings.will.retain)
        client.connect_timeout = settings.patience.connect_s
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        client.on_socket_open, client.on_connect = self._on_socket_open, self._on_connect
        client.on_disconnect, client.on_message = self._on_disconnect, self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe, client.on_unsubscribe = self._on_subscribe, self._on_unsubscribe
        properties = None
        if self._version == paho.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's own gap
            properties.MaximumPacketSize = PACKET_MAX_BYTES
        client.connect_async(url.host, url.port, settings.keepalive_s, clean_start=True, properties=properties)
        return client

    def _on_socket_open(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        self._guard = sock
        sock.send_at_once()

    def _on_connect(
        self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.value >= link_reasons.FAILURE:
            final, bad_version = code.value in link_reasons.FINAL, code.value == link_reasons.BAD_VERSION
            self._end(_Ending(link_reasons.of_refusal(self._url, code.value), final, bad_version=bad_version))
            return
        self.accepted = True
        self._window = min(IN_FLIGHT_MAX, getattr(properties, "ReceiveMaximum", IN_FLIGHT_MAX))
        self._broker_limit_bytes = getattr(properties, "MaximumPacketSize", None)
        self._queue.came_online()
        self._emit(Connected())

    def _on_disconnect(self, _client: paho.Client, _data: Any, flags: Any, code: ReasonCode, _properties: Any) -> None:
        failure = self._guard.failure if self._guard else None
        if flags.is_disconnect_packet_from_server:
            self._end(_Ending(link_reasons.of_farewell(self._url, code.value)))
        elif failure and not isinstance(failure, ConnectionResetError):
            self._end(_Ending(link_reasons.of_failure(self._url, failure)))
        elif not self.accepted:
            self._end(_Ending(link_reasons.of_silence(self._url), silent=True))
        else:
            self._end(_Ending(f"the connection to {self._url.address} is lost"))

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
        if code.value >= link_reasons.FAILURE:
            self._emit(Refused(receipt, link_reasons.of_refused_publish(code.value)))
        else:
            self._emit(Delivered(receipt))

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        for topic, code in zip(self._subscribed.pop(mid, ()), codes, strict=False):
            if code.value >= link_reasons.FAILURE:
                _log.warning("%s does not let us listen to %s (code 0x%02x)", self._url.address, topic, code.value)

    def _on_unsubscribe(self, _client: paho.Client, _data: Any, mid: int, _codes: Any, _properties: Any) -> None:
        topics = self._sweeps.pop(mid, None)
        if topics is not None:
            self._emit(Swept(topics))


class _GuardedClient(paho.Client):
    """paho's client over our guard. There is no public way to give it a socket; the link's contract tests hold this.

    TLS is ours too: paho leaves the socket of a failed handshake open.
    """

    tls: ssl.SSLContext | None = None

    def _create_socket(self) -> Any:
        sock = socket.create_connection((self.host, self.port), timeout=self.connect_timeout)
        if self.tls:
            sock = self.tls.wrap_socket(sock, server_hostname=self.host)
        return PacketSizeGuard(sock, PACKET_MAX_BYTES)


def _reply_to(properties: Properties | None) -> ReplyTo | None:
    """What a sender of MQTT 5 said about an answer; no properties come before 5."""
    topic = getattr(properties, "ResponseTopic", None)
    return ReplyTo(topic, getattr(properties, "CorrelationData", b"")) if topic else None


def _size_bytes(topic: str, payload: bytes, correlation: bytes = b"") -> int:
    return len(payload) + len(topic.encode()) + len(correlation) + _HEAD_BYTES


def _check_topic(topic: str) -> None:
    if not topic or "+" in topic or "#" in topic or "\0" in topic or len(topic.encode()) > 65_535:
        raise BadName(f"nothing can be published to the topic {topic[:80]!r}", hint="no '+', no '#', not empty")

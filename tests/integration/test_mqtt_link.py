"""The link against faulty brokers and networks; for good ones see its contract."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from protocol.errors import BadInput, BadName, BadSettings
from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.link import Connected, Delivered, Disconnected, LinkEvent, Received, Refused, SweepCompleted
from protocol.mqtt.paho_link import PACKET_MAX_BYTES, Backoff, MqttLink, TlsFiles, Will
from publisher.embedded_broker import BrokerSettings, EmbeddedBroker, FaultInjection
from publisher.embedded_broker.hub import OnMqtt5
from tests.brokers import LOOPBACK, free_port, url_of
from tests.recorder import LinkRecorder

HASTE: Final = Backoff(wait_min_s=0.02, wait_max_s=0.1, refused_wait_s=0.1, connack_timeout_s=0.3)
CONNACK: Final = b"\x20\x02\x00\x00"


@contextlib.contextmanager
def started(url: BrokerUrl, *, mqtt5: bool = True, backoff: Backoff = HASTE) -> Iterator[tuple[MqttLink, LinkRecorder]]:
    recorder = LinkRecorder()
    link = MqttLink(url, "link", recorder.record, rng=random.Random(1), backoff=backoff, mqtt5=mqtt5)
    link.start()
    try:
        yield link, recorder
    finally:
        link.stop()


class OddServer:
    """Answers each connection with the same bytes; with None it closes it at once."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self.url = BrokerUrl(LOOPBACK, self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._answer is None:
                client.close()
                continue
            self._open.append(client)
            if client.recv(4_096) == b"":
                return  # the DISCONNECT of `stop`
            client.sendall(self._answer)

    def stop(self) -> None:
        self._answer = b""
        socket.create_connection((self.url.host, self.url.port)).close()
        self._thread.join(30)
        self._listener.close()
        for client in self._open:
            client.close()


@contextlib.contextmanager
def odd_server(answer: bytes | None) -> Iterator[OddServer]:
    server = OddServer(answer)
    try:
        yield server
    finally:
        server.stop()


# --- MQTT 5 or 3.1.1


@pytest.mark.parametrize("mqtt5", ["refuse", "hang-up"])
def test_an_older_broker_is_met_in_its_own_version(mqtt5: OnMqtt5) -> None:
    settings = BrokerSettings(mqtt5=mqtt5, refused_topics=("closed",))
    with EmbeddedBroker.running(settings=settings) as broker, started(url_of(broker)) as (link, recorder):
        early = link.publish("a/b", b"early", qos=1, retain=True)  # asked for in 5, said in 3.1.1
        silent = link.publish("closed", b"", qos=1, retain=True)
        assert [recorder.next(Delivered).receipt for _ in range(2)] == [
            early,
            silent,
        ]  # 3.1.1 has no word for a refusal
        assert not recorder.all_of(Disconnected)
        broker.cut_all()
        recorder.next(Disconnected)
        recorder.next(Connected)


def test_wrong_credentials_are_no_reason_to_try_an_older_version() -> None:
    with EmbeddedBroker.running(settings=BrokerSettings(credentials={"pi": "right"})) as broker:
        url = url_of(broker, "pi", "wrong")
        with started(url) as (_, recorder):
            for _ in range(2):
                assert recorder.next(Disconnected).final


# --- brokers that are none


def test_a_server_that_takes_connections_and_says_nothing_is_named() -> None:
    with odd_server(b"") as server, started(server.url) as (_, recorder):
        lost = recorder.next(Disconnected)
        assert lost.reason == (
            f"{server.url.address} takes the connection but gives no answer"
            " (is it a broker, and does it want mqtts://?)"
        )
        assert not lost.final


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\xff\xff\xff\xff\xff"])
def test_a_server_that_is_no_broker_is_reported_and_retried(answer: bytes | None) -> None:
    with odd_server(answer) as server, started(server.url) as (_, recorder):
        for _ in range(2):
            lost = recorder.next(Disconnected)
            assert server.url.address in lost.reason
            assert not lost.final


def test_a_broken_packet_after_the_welcome_ends_only_the_connection() -> None:
    with odd_server(CONNACK + b"\x30\x04\x00\xffab") as server, started(server.url, mqtt5=False) as (link, recorder):
        link.publish("a", b"", qos=1, retain=False)
        for _ in range(2):
            recorder.next(Connected)
            recorder.next(Disconnected)


def test_an_address_without_listener_is_named() -> None:
    url = BrokerUrl(LOOPBACK, free_port())
    with started(url) as (_, recorder):
        assert recorder.next(Disconnected) == Disconnected(f"no broker listens at {url.address}", final=False)


def test_a_host_that_does_not_exist_is_named() -> None:
    with started(BrokerUrl("no-such-host.invalid", 1883)) as (_, recorder):
        lost = recorder.next(Disconnected)
        assert lost.reason.startswith("the host no-such-host.invalid is not known")
        assert not lost.final


def test_tls_towards_a_broker_without_it_is_named() -> None:
    with EmbeddedBroker.running() as broker:
        url = BrokerUrl(LOOPBACK, broker.port, tls=True)
        backoff = Backoff(wait_min_s=0.02, wait_max_s=0.1, connect_timeout_s=1.0)
        with started(url, backoff=backoff) as (_, recorder):
            lost = recorder.next(Disconnected)
            assert url.address in lost.reason
            assert not lost.final


# --- nothing at QoS 1 is lost, whatever happens to the line


@pytest.mark.parametrize("mqtt5", [True, False])
def test_every_publish_is_delivered_once_over_a_line_that_keeps_breaking(mqtt5: bool) -> None:
    odds = FaultInjection(seed=5, cut=0.1, delay=0.1, delay_s_max=0.01)
    with (
        EmbeddedBroker.running(faults=odds) as broker,
        started(url_of(broker), mqtt5=mqtt5) as (link, recorder),
    ):
        receipts = [link.publish(f"n/{number}", b"%d" % number, qos=1, retain=True) for number in range(200)]
        for _ in receipts:
            recorder.next(Delivered)
        delivered = [event.receipt for event in recorder.all_of(Delivered)]
        assert sorted(delivered) == receipts
        assert len(recorder.all_of(Connected)) > 1  # or nothing was tried here
        assert broker.retained("n/#") == {f"n/{number}": b"%d" % number for number in range(200)}


def test_a_broker_that_forgot_everything_is_a_new_connection() -> None:
    with EmbeddedBroker.running() as broker, started(url_of(broker)) as (link, recorder):
        recorder.next(Connected)
        link.publish("a/b", b"kept", qos=1, retain=True)
        recorder.next(Delivered)
        broker.restart_empty()
        recorder.next(Disconnected)
        recorder.next(Connected)
        link.sweep(["a/b"])
        assert recorder.swept(["a/b"]) == {}


def test_a_message_over_the_brokers_own_limit_is_refused_and_not_sent_for_ever() -> None:
    with (
        EmbeddedBroker.running(settings=BrokerSettings(packet_max_bytes=10_000)) as broker,
        started(url_of(broker)) as (link, recorder),
    ):
        refused = link.publish("a/b", bytes(20_000), qos=1, retain=True)
        taken = link.publish("a/b", bytes(100), qos=1, retain=True)
        assert recorder.next(Refused) == Refused(refused, "20019 bytes; the broker takes packets of 10000")
        assert recorder.next(Delivered) == Delivered(taken)


# --- a link's own life


def test_stop_waits_for_what_was_published_just_before() -> None:
    with EmbeddedBroker.running() as broker:
        for number in range(5):
            recorder = LinkRecorder()
            link = MqttLink(url_of(broker), "hasty", recorder.record, backoff=HASTE)
            link.start()
            link.publish(f"a/{number}", b"last words", qos=1, retain=True)
            link.stop()
            assert broker.retained(f"a/{number}")
            assert [type(event) for event in recorder.items] == [Connected, Delivered]


def test_stop_returns_soon_without_an_answer_and_can_be_called_again() -> None:
    with odd_server(b"") as server:
        recorder = LinkRecorder()
        link = MqttLink(server.url, "patient", recorder.record, backoff=Backoff(flush_timeout_s=0.2))
        link.publish("a", b"", qos=1, retain=False)
        link.start()
        link.stop()
        link.stop()
        assert recorder.items == []


def test_a_link_that_never_started_stops_and_stays_stopped() -> None:
    recorder = LinkRecorder()
    link = MqttLink(BrokerUrl(LOOPBACK, free_port()), "idle", recorder.record)
    link.publish("a", b"", qos=1, retain=False)
    link.stop()
    link.start()
    assert recorder.items == []


def test_the_owner_may_stop_the_link_from_its_sink() -> None:
    heard: list[LinkEvent] = []
    done = threading.Event()

    def sink(event: LinkEvent) -> None:
        heard.append(event)
        link.stop()
        done.set()

    with EmbeddedBroker.running() as broker:
        link = MqttLink(url_of(broker), "abrupt", sink)
        link.start()
        assert done.wait(30)
        link.stop()  # from outside it waits for the thread
    assert heard == [Connected()]


def test_a_sweep_of_nothing_ends_at_once() -> None:
    with EmbeddedBroker.running() as broker, started(url_of(broker)) as (link, recorder):
        recorder.next(Connected)
        link.sweep([])
        assert recorder.next(SweepCompleted) == SweepCompleted(())


def test_unsubscribe_ends_a_subscription() -> None:
    with EmbeddedBroker.running() as broker, started(url_of(broker)) as (link, recorder):
        recorder.next(Connected)
        link.subscribe(["a", "b"], qos=0)
        link.unsubscribe(["a"])
        link.publish("a", b"", qos=0, retain=False)
        link.publish("b", b"", qos=0, retain=False)
        assert recorder.next(Received).topic == "b"
        assert recorder.topics() == ["b"]


# --- calls that are refused


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a\0b", "x" * 65_536])
def test_a_topic_that_would_be_refused_for_ever_is_refused_here(topic: str) -> None:
    link = MqttLink(BrokerUrl(LOOPBACK), "link", LinkRecorder().record)
    with pytest.raises(BadName):
        link.publish(topic, b"", qos=1, retain=False)
    link.stop()
    with pytest.raises(BadName):
        MqttLink(BrokerUrl(LOOPBACK), "link", LinkRecorder().record, will=Will(topic, b""))


def test_a_payload_that_would_be_refused_for_ever_is_refused_here() -> None:
    link = MqttLink(BrokerUrl(LOOPBACK), "link", LinkRecorder().record)
    with pytest.raises(BadInput, match="131072 bytes for a/b"):
        link.publish("a/b", bytes(PACKET_MAX_BYTES), qos=1, retain=False)
    link.stop()


def test_half_configured_tls_is_refused_by_name(tmp_path: Path) -> None:
    plain, secure = BrokerUrl(LOOPBACK), BrokerUrl(LOOPBACK, tls=True)
    no_pem = tmp_path / "no.pem"
    no_pem.write_text("not a certificate")
    for url, files, fault in (
        (plain, TlsFiles(ca=no_pem), "without TLS"),
        (secure, TlsFiles(cert=no_pem), "go together"),
        (secure, TlsFiles(ca=tmp_path / "absent"), "absent cannot be read"),
        (secure, TlsFiles(ca=no_pem), "no.pem cannot be used"),
        (secure, TlsFiles(cert=no_pem, key=no_pem), "no.pem cannot be used"),
    ):
        with pytest.raises(BadSettings, match=fault):
            MqttLink(url, "link", LinkRecorder().record, tls=files)

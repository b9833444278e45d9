"""The embedded broker beyond the link's contract: bad clients, faults, start."""

from __future__ import annotations

import contextlib
import hashlib
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from protocol.errors import BadSettings
from protocol.mqtt.link import Connected, Delivered, Received
from protocol.mqtt.paho_link import Backoff, MqttLink, Will
from publisher.embedded_broker import BrokerSettings, EmbeddedBroker, FaultInjection
from publisher.embedded_broker.subscriptions import is_filter, matches
from tests.brokers import LOOPBACK, PROJECT, free_port, url_of
from tests.recorder import LinkRecorder

HASTE: Final = Backoff(wait_min_s=0.02, wait_max_s=0.1)
CONNACK: Final = b"\x20\x02\x00\x00"
WITHIN_S: Final = 60


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker.running() as running:
        yield running


@contextlib.contextmanager
def connected(
    broker: EmbeddedBroker, name: str = "observer", will: Will | None = None
) -> Iterator[tuple[MqttLink, LinkRecorder]]:
    recorder = LinkRecorder()
    link = MqttLink(url_of(broker), name, recorder.record, will=will, rng=random.Random(1), backoff=HASTE)
    link.start()
    recorder.next(Connected)
    try:
        yield link, recorder
    finally:
        link.stop()


def text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def hello(name: str, *, will: str = "", keepalive_s: int = 0) -> bytes:
    """A CONNECT of MQTT 3.1.1, short enough for one byte of length."""
    flags = 0x02 | (0x2C if will else 0)  # clean; will at QoS 1, retained
    body = text("MQTT") + bytes([4, flags]) + keepalive_s.to_bytes(2, "big") + text(name)
    body += text(will) + text("gone") if will else b""
    return bytes([0x10, len(body)]) + body


def listen(pattern: str) -> bytes:
    """A SUBSCRIBE at QoS 0."""
    body = b"\x00\x01" + text(pattern) + b"\x00"
    return bytes([0x82, len(body)]) + body


def raw(broker: EmbeddedBroker, said: bytes = b"", answer: bytes = b"") -> socket.socket:
    """A bare client that has said something and got this answer."""
    client = socket.create_connection((LOOPBACK, broker.port), timeout=WITHIN_S)
    client.sendall(said)
    got = b""
    while len(got) < len(answer):
        got += client.recv(len(answer) - len(got))
    assert got == answer
    return client


def is_hung_up(client: socket.socket) -> bool:
    """Whether the broker ends the connection, whatever it says before."""
    with client:
        try:
            while client.recv(4_096):
                pass
        except ConnectionResetError:
            return True
        return True


# --- many


def test_the_wills_of_five_hundred_killed_clients_are_published_and_retained(broker: EmbeddedBroker) -> None:
    names = [f"pi-{number}" for number in range(500)]
    with connected(broker) as (link, recorder):
        link.subscribe(["wills/+"], qos=1)
        clients = [raw(broker, hello(name, will=f"wills/{name}"), CONNACK) for name in names]
        for client in clients:
            client.close()
        assert {recorder.next(Received).topic for _ in names} == {f"wills/{name}" for name in names}
    assert broker.retained("wills/+") == {f"wills/{name}": b"gone" for name in names}


def test_a_reader_that_stalls_costs_little_and_delays_no_other() -> None:
    with EmbeddedBroker.running(settings=BrokerSettings(queue_max=50)) as broker, connected(broker) as (link, recorder):
        stalled = raw(broker, hello("stalled") + listen("chunks/#"), CONNACK + b"\x90\x03\x00\x01\x00")
        link.subscribe(["chunks/#"], qos=0)
        for number in range(400):  # 24 MB; the operating system holds a few of them for the stalled one
            link.publish(f"chunks/{number}", bytes(61_440), qos=1, retain=False)
            recorder.next(Delivered)
        assert recorder.topics() == [f"chunks/{number}" for number in range(400)]
        assert broker.queued_max() == 50
        stalled.close()


# --- bad clients


@pytest.mark.parametrize(
    "said",
    [
        b"\xc0\x00",  # a ping before CONNECT
        b"\x10\xff\xff\xff\xff\xff",  # a length without end
        b"\x10\xff\xff\xff\x7f",  # 268 MB announced
        b"GET / HTTP/1.1\r\nHost: " + b"x" * 80,
        hello("twice") * 2,
        hello("bad") + b"\xf0\x00",  # a packet of no kind
        hello("bad") + b"\x30\x02\x00\x05",  # ends before its topic
        hello("bad") + b"\x30\x04\x00\x02a+",  # a publish to a wildcard
        hello("bad") + b"\x34\x05\x00\x01a\x00\x01",  # QoS 2
        hello("bad") + b"\x30\x04\x00\x02\xff\xfe",  # not UTF-8
    ],
)
def test_a_client_that_breaks_the_rules_is_disconnected_and_no_other(broker: EmbeddedBroker, said: bytes) -> None:
    with connected(broker) as (link, recorder):
        assert is_hung_up(raw(broker, said))
        link.publish("a", b"still here", qos=1, retain=False)
        recorder.next(Delivered)


def test_a_client_that_falls_silent_is_disconnected_and_its_will_published(broker: EmbeddedBroker) -> None:
    with connected(broker) as (link, recorder):
        link.subscribe(["wills/+"], qos=0)  # the will is kept: it comes however late this is heard
        silent = raw(broker, hello("silent", will="wills/silent", keepalive_s=1), CONNACK)
        assert recorder.next(Received).topic == "wills/silent"
        assert is_hung_up(silent)


def test_a_client_that_never_introduces_itself_is_given_up() -> None:
    with EmbeddedBroker.running(settings=BrokerSettings(connect_within_s=0.1)) as broker:
        assert is_hung_up(raw(broker))


def test_clients_without_a_name_get_one_each(broker: EmbeddedBroker) -> None:
    first, second = raw(broker, hello(""), CONNACK), raw(broker, hello(""), CONNACK)
    for client in (first, second):
        client.sendall(b"\xc0\x00")
        assert client.recv(2) == b"\xd0\x00"
        client.close()


@pytest.mark.parametrize(
    ("pattern", "topic", "covered"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("+/+", "a", False),
        ("#", "a/b", True),
        ("#", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("+", "", True),
        ("a/+/c", "a//c", True),
    ],
)
def test_filters_cover_what_the_standard_says(pattern: str, topic: str, covered: bool) -> None:
    assert matches(pattern, topic) is covered


def test_filters_that_mean_nothing_are_not_filters() -> None:
    assert all(is_filter(pattern) for pattern in ("a", "+", "#", "a/+/b", "a/#", "/"))
    assert not any(is_filter(pattern) for pattern in ("", "a#", "a/#/b", "a+", "a/b+/c"))


# --- faults


def test_what_is_corrupted_is_a_chunk_and_asking_again_heals_it(broker: EmbeddedBroker) -> None:
    chunk = random.Random(1).randbytes(1_000)
    topic = f"fleet/v1/chunks/{hashlib.sha256(chunk).hexdigest()}"
    with connected(broker) as (link, recorder):
        for name, payload in ((topic, chunk), ("a/line", b"a line")):
            link.publish(name, payload, qos=1, retain=True)
            recorder.next(Delivered)
        broker.inject(FaultInjection(corrupt=1.0))
        link.sweep([topic, "a/line"])
        found = recorder.swept([topic, "a/line"])
        assert found["a/line"] == b"a line"
        assert found[topic] != chunk
        assert len(found[topic]) == len(chunk)
        broker.inject(None)
        link.sweep([topic])
        assert recorder.swept([topic]) == {topic: chunk}


def test_what_is_dropped_does_not_come_and_what_is_duplicated_comes_twice(broker: EmbeddedBroker) -> None:
    with connected(broker) as (link, recorder):
        link.publish("a", b"kept", qos=1, retain=True)
        recorder.next(Delivered)
        broker.inject(FaultInjection(drop=1.0))
        link.sweep(["a"])
        assert recorder.swept(["a"]) == {}
        broker.inject(FaultInjection(duplicate=1.0, delay=1.0, delay_s_max=0.01))
        link.sweep(["a"])
        assert recorder.swept(["a"]) == {"a": b"kept"}
        assert recorder.topics() == ["a", "a"]


def test_one_seed_makes_the_same_faults_again() -> None:
    def heard(seed: int) -> list[str]:
        faults = FaultInjection(seed=seed, drop=0.5)
        with EmbeddedBroker.running(faults=faults) as broker, connected(broker) as (link, recorder):
            link.subscribe(["n/+"], qos=0)
            for number in range(40):
                link.publish(f"n/{number}", b"", qos=1, retain=False)
                recorder.next(Delivered)
            return recorder.topics()

    first = heard(3)
    assert 0 < len(first) < 40
    assert heard(3) == first
    assert heard(4) != first


def test_a_cut_connection_is_renewed_and_wills_are_published(broker: EmbeddedBroker) -> None:
    with connected(broker, will=Will("wills/observer", b"gone")) as (_, recorder):
        broker.cut_all()
        recorder.next(Connected)
        assert broker.retained("#") == {"wills/observer": b"gone"}


def test_a_broker_that_restarts_empty_publishes_no_wills_and_retains_nothing(broker: EmbeddedBroker) -> None:
    with connected(broker, will=Will("wills/observer", b"gone")) as (link, recorder):
        link.publish("a", b"kept", qos=1, retain=True)
        recorder.next(Delivered)
        broker.restart_empty()
        recorder.next(Connected)
        assert broker.retained("#") == {}


@pytest.mark.parametrize("odds", ["drop=2", "drop=x", "explode=0.1", "drop"])
def test_odds_that_mean_nothing_are_refused(odds: str) -> None:
    with pytest.raises(BadSettings):
        FaultInjection.parse(odds)


def test_odds_are_read_from_a_command_line() -> None:
    assert FaultInjection.parse("drop=0.1,cut=0.01,seed=7") == FaultInjection(seed=7, drop=0.1, cut=0.01)


# --- start and stop


def test_it_listens_on_loopback_only_unless_allowed() -> None:
    with pytest.raises(BadSettings, match=r"does not listen on 0\.0\.0\.0"):
        EmbeddedBroker(host="0.0.0.0")
    everywhere = EmbeddedBroker(host="0.0.0.0", any_host=True)
    everywhere.start()
    everywhere.stop()


def test_a_taken_port_is_named() -> None:
    with (
        EmbeddedBroker.running() as broker,
        pytest.raises(BadSettings, match=f"cannot listen on 127.0.0.1:{broker.port}"),
    ):
        EmbeddedBroker(broker.port).start()


def test_it_starts_again_on_its_port_with_nothing_kept() -> None:
    with EmbeddedBroker.running() as broker:
        port = broker.port
        with connected(broker) as (link, recorder):
            link.publish("a", b"kept", qos=1, retain=True)
            recorder.next(Delivered)
            broker.stop()
            broker.start()
            assert broker.port == port
            recorder.next(Connected)
            assert broker.retained("#") == {}


def _process(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "publisher.embedded_broker", *options]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_as_a_process_it_says_where_it_listens_and_ends_when_asked(ending: signal.Signals) -> None:
    port = free_port()
    with _process("--port", str(port), "--misbehave", "delay=0.1") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"mqtt://127.0.0.1:{port}\n"
        socket.create_connection((LOOPBACK, port), timeout=WITHIN_S).close()
        process.send_signal(ending)
        assert process.wait(WITHIN_S) == 0
        assert process.communicate() == ("", "")


def test_as_a_process_it_refuses_a_taken_port_in_one_line(broker: EmbeddedBroker) -> None:
    with _process("--port", str(broker.port)) as process:
        out, err = process.communicate(timeout=WITHIN_S)
    assert (out, process.returncode) == ("", 2)
    assert err.startswith(f"the broker cannot listen on 127.0.0.1:{broker.port}")
    assert err.count("\n") == 1


def test_it_imports_the_standard_library_and_the_protocol_only() -> None:
    program = (
        "import sys; before = set(sys.modules); import publisher.embedded_broker;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    foreign = set(run.stdout.split()) - set(sys.stdlib_module_names)
    assert foreign == {"protocol", "publisher"}

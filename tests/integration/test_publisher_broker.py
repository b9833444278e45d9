"""`BrokerClient`: complete results over connections that break; refusals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from protocol.content.chunks import name
from protocol.errors import BrokerRefused, BrokerUnreachable
from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.link import Connected, Delivered, Link, LinkEvent, Sink
from publisher.adapters.broker_client import PUTS_IN_FLIGHT, BrokerClient, RetainedMessage
from publisher.embedded_broker import BrokerSettings, EmbeddedBroker, FaultInjection
from tests.brokers import free_port, mosquitto, mosquitto_with_users, url_of
from tests.integration.publisher_cli import TOPICS

PAYLOADS = [bytes([number]) * 61_440 for number in range(100)]
MESSAGES = [RetainedMessage(TOPICS.chunk(name(payload)), payload) for payload in PAYLOADS]


@pytest.fixture(params=["mosquitto", "embedded"])
def url(request: pytest.FixtureRequest) -> Iterator[BrokerUrl]:
    with mosquitto() if request.param == "mosquitto" else EmbeddedBroker.running() as broker:
        yield BrokerUrl.parse(broker.url)


def test_what_is_put_is_kept_and_counted(url: BrokerUrl) -> None:
    acknowledged: list[RetainedMessage] = []
    with BrokerClient.connect(url) as broker:
        assert broker.put_all(MESSAGES, acknowledged.append) == len(MESSAGES)
        assert sorted(message.topic for message in acknowledged) == sorted(message.topic for message in MESSAGES)
        assert broker.read(message.topic for message in MESSAGES) == {one.topic: one.payload for one in MESSAGES}


def test_what_is_not_there_is_not_in_the_answer(url: BrokerUrl) -> None:
    absent = TOPICS.chunk(name(b"nobody has this"))
    with BrokerClient.connect(url) as broker:
        broker.put_all(MESSAGES[:1])
        assert broker.read([absent, MESSAGES[0].topic, absent]) == {MESSAGES[0].topic: MESSAGES[0].payload}
        assert broker.read([]) == {}


def test_an_empty_message_clears_a_topic(url: BrokerUrl) -> None:
    with BrokerClient.connect(url) as broker:
        broker.put_all(MESSAGES[:2])
        broker.put_all([RetainedMessage(MESSAGES[0].topic, b"")])
        assert list(broker.read([MESSAGES[0].topic, MESSAGES[1].topic])) == [MESSAGES[1].topic]


def test_a_wildcard_collects_what_is_kept(url: BrokerUrl) -> None:
    presences = [RetainedMessage(TOPICS.presence(f"pi-{number}"), b"{}") for number in range(50)]
    with BrokerClient.connect(url) as broker:
        broker.put_all(presences)
        found = broker.collect(["fleet/v1/devices/+/presence"])
        assert sorted(found) == sorted(message.topic for message in presences)
        assert broker.collect(["fleet/v1/devices/+/nothing"], quiet_s=0.2) == {}


def test_an_upload_survives_a_line_that_breaks_again_and_again() -> None:
    with EmbeddedBroker.running(faults=FaultInjection(seed=4, cut=0.02)) as bad:
        with BrokerClient.connect(BrokerUrl.parse(bad.url)) as broker:
            broker.put_all(MESSAGES)
        assert bad.retained("#") == {message.topic: message.payload for message in MESSAGES}


def test_a_question_survives_a_line_that_breaks() -> None:
    with EmbeddedBroker.running() as bad, BrokerClient.connect(BrokerUrl.parse(bad.url)) as broker:
        broker.put_all(MESSAGES)
        bad.inject(FaultInjection(seed=9, cut=0.01, delay=0.1))
        assert len(broker.read(message.topic for message in MESSAGES)) == len(MESSAGES)


def test_a_missing_broker_is_reported_at_once() -> None:
    port = free_port()
    with pytest.raises(BrokerUnreachable, match=f"no broker listens at 127.0.0.1:{port}") as refusal:
        BrokerClient.connect(BrokerUrl("127.0.0.1", port))
    assert "scripts/broker" in refusal.value.hint


def test_a_broker_that_goes_away_is_reported_after_a_while() -> None:
    bad = EmbeddedBroker()
    bad.start()
    link_of = _link_of(BrokerUrl.parse(bad.url))
    broker = BrokerClient("here", link_of, timeout_s=1.5)
    with broker:
        broker.open()
        broker.put_all(MESSAGES[:1])
        bad.stop()
        with pytest.raises(BrokerUnreachable, match=r"no progress for 1\.5 s") as refusal:
            broker.put_all(MESSAGES)
        assert "goes on where this one stopped" in refusal.value.hint
        with pytest.raises(BrokerUnreachable):
            broker.read([MESSAGES[0].topic])


def test_wrong_credentials_are_a_refusal() -> None:
    with mosquitto_with_users({"publisher": "right"}) as asking:
        with pytest.raises(BrokerRefused, match="wrong user or password"):
            BrokerClient.connect(url_of(asking, "publisher", "wrong"))
        with pytest.raises(BrokerRefused, match="wants a user and a password"):
            BrokerClient.connect(url_of(asking))
        BrokerClient.connect(url_of(asking, "publisher", "right")).close()


def test_a_refused_topic_is_named() -> None:
    settings = BrokerSettings(refused_topics=("fleet/v1/models/#",))
    with (
        EmbeddedBroker.running(settings=settings) as strict,
        BrokerClient.connect(BrokerUrl.parse(strict.url)) as broker,
    ):
        broker.put_all(MESSAGES[:3])
        with pytest.raises(BrokerRefused, match="does not take fleet/v1/models/digits/desired") as refusal:
            broker.put_all([RetainedMessage(TOPICS.desired("digits"), b"{}")])
        assert "ACL" in refusal.value.hint


def test_no_more_messages_are_on_their_way_than_fit() -> None:
    slow = _SlowLink()
    broker = BrokerClient("slow", slow.given, timeout_s=10)
    broker.open()
    broker.put_all(MESSAGES)
    assert slow.most_waiting == PUTS_IN_FLIGHT


class _SlowLink:
    """A link that acknowledges a message only when the next would be one too many."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[int] = SimpleQueue()
        self._receipts = 0
        self._sink: Sink = _nowhere
        self.most_waiting = 0

    def given(self, sink: Sink) -> _SlowLink:
        self._sink = sink
        return self

    def start(self) -> None:
        self._sink(Connected())

    def stop(self) -> None: ...

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, correlation: bytes = b"") -> int:
        assert not correlation
        assert (topic, qos, retain, len(payload)) == (topic, 1, True, 61_440)
        self._receipts += 1
        self._waiting.put(self._receipts)
        self.most_waiting = max(self.most_waiting, self._waiting.qsize())
        if self._receipts == len(MESSAGES) or self._waiting.qsize() == PUTS_IN_FLIGHT:
            last = self._receipts == len(MESSAGES)
            for _ in range(self._waiting.qsize() if last else 1):
                self._sink(Delivered(self._waiting.get()))
        return self._receipts

    def subscribe(self, topics: object, *, qos: int) -> None: ...

    def unsubscribe(self, topics: object) -> None: ...

    def sweep(self, topics: object) -> None: ...


def _nowhere(_event: LinkEvent) -> None: ...


def _link_of(url: BrokerUrl) -> Callable[[Sink], Link]:
    from protocol.mqtt.paho_link import Backoff, MqttLink

    return lambda sink: MqttLink(url, f"test-{time.monotonic_ns()}", sink, backoff=Backoff(wait_max_s=0.5))

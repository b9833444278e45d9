"""The contract of every link with every broker: each `check_*` runs for each pair."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from paho.mqtt import publish as paho_publish
from paho.mqtt.enums import MQTTProtocolVersion

from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.link import Connected, Delivered, Disconnected, Link, Received, Refused, ReplyTo
from protocol.mqtt.paho_link import PACKET_MAX_BYTES, Backoff, MqttLink, Will
from publisher.embedded_broker import BrokerSettings, EmbeddedBroker
from tests.brokers import (
    BARE,
    PROJECT,
    Mosquitto,
    RealBroker,
    mosquitto_with_users,
    readable_folder,
    url_of,
    write_passwords,
)
from tests.recorder import LinkRecorder

HASTE: Final = Backoff(wait_min_s=0.05, wait_max_s=0.3, refused_wait_s=0.1)
CLOSED: Final = "closed/topic"
USER, PASSWORD = "pi-1", "right horse"
_names = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A kind of broker, and the version of MQTT that the link uses."""

    broker: str
    mqtt5: bool

    def __str__(self) -> str:
        return f"{self.broker}-{'5' if self.mqtt5 else '3.1.1'}"

    @contextlib.contextmanager
    def running(self) -> Iterator[RealBroker]:
        """A broker without access control."""
        broker = self.idle()
        try:
            broker.start()
            yield broker
        finally:
            _away(broker)

    def idle(self) -> RealBroker:
        """A broker that has a port, but does not run yet."""
        if self.broker == "mosquitto":
            return Mosquitto(*BARE)
        broker = EmbeddedBroker()
        broker.start()  # takes a port
        broker.stop()
        return broker

    @contextlib.contextmanager
    def with_closed_topic(self) -> Iterator[RealBroker]:
        """A broker that refuses publishes to CLOSED."""
        if self.broker == "embedded":
            with EmbeddedBroker.running(settings=BrokerSettings(refused_topics=(CLOSED,))) as ours:
                yield ours
            return
        folder = readable_folder()
        rights = folder / "acl"
        rights.write_text(f"topic readwrite open/#\ntopic read {CLOSED}\n")
        rights.chmod(0o644)
        broker = Mosquitto(*BARE, f"acl_file {rights}")
        try:
            broker.start()
            yield broker
        finally:
            _away(broker)
            shutil.rmtree(folder)

    @contextlib.contextmanager
    def with_passwords(self) -> Iterator[tuple[RealBroker, Callable[[], None]]]:
        """A broker without USER, and a function that adds USER while it runs."""
        users = {"somebody": "else"}
        if self.broker == "embedded":
            with EmbeddedBroker.running(settings=BrokerSettings(credentials=users)) as ours:
                yield ours, lambda: users.update({USER: PASSWORD})
            return
        folder = readable_folder()
        passwords = write_passwords(folder / "passwords", users)
        broker = Mosquitto("allow_anonymous false", f"password_file {passwords}", "persistence false")

        def mend() -> None:
            write_passwords(passwords, {USER: PASSWORD})
            broker.reload()

        try:
            broker.start()
            yield broker, mend
        finally:
            _away(broker)
            shutil.rmtree(folder)

    @contextlib.contextmanager
    def link(
        self, url: BrokerUrl, *, will: Will | None = None, client_id: str = "", mqtt5: bool | None = None
    ) -> Iterator[tuple[Link, LinkRecorder]]:
        """A started link and the recorder that it talks to."""
        recorder = LinkRecorder()
        name = client_id or f"client-{next(_names)}"
        speaks_5 = self.mqtt5 if mqtt5 is None else mqtt5
        link = MqttLink(url, name, recorder.record, will=will, rng=random.Random(1), backoff=HASTE, mqtt5=speaks_5)
        link.start()
        try:
            yield link, recorder
        finally:
            link.stop()

    @contextlib.contextmanager
    def connected(self, broker: RealBroker, *, will: Will | None = None) -> Iterator[tuple[Link, LinkRecorder]]:
        """A connected link."""
        with self.link(url_of(broker), will=will) as (link, recorder):
            recorder.next(Connected)
            yield link, recorder


def _away(broker: RealBroker) -> None:
    broker.stop()
    if isinstance(broker, Mosquitto):
        broker.clean_up()


def _keep(link: Link, recorder: LinkRecorder, topic: str, payload: bytes) -> None:
    """Publish a retained message and wait for its receipt."""
    receipt = link.publish(topic, payload, qos=1, retain=True)
    recorder.next(Delivered, lambda event: event.receipt == receipt)


def _listen(link: Link, recorder: LinkRecorder, topics: list[str]) -> None:
    """Subscribe, and wait for a sweep after it, so that the broker has processed it."""
    link.subscribe(topics, qos=1)
    link.sweep(["nothing/here"])
    recorder.swept(["nothing/here"])


def check_what_is_kept_comes_first(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        _keep(link, recorder, "a/b", b"kept")
        link.subscribe(["a/b"], qos=1)
        assert recorder.next(Received) == Received("a/b", b"kept", retained=True)
        link.publish("a/b", b"now", qos=1, retain=True)
        assert recorder.next(Received) == Received("a/b", b"now", retained=False)


def check_asking_again_brings_what_is_kept_again(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        _keep(link, recorder, "a/b", b"kept")
        for _ in range(3):
            link.subscribe(["a/b"], qos=0)
            assert recorder.next(Received) == Received("a/b", b"kept", retained=True)


def check_a_sweep_finds_what_is_there_and_ends(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        for number in (1, 3):
            _keep(link, recorder, f"a/{number}", b"%d" % number)
        topics = [f"a/{number}" for number in range(5)]
        for _ in range(2):
            link.sweep(topics)
            assert recorder.swept(topics) == {"a/1": b"1", "a/3": b"3"}
        link.publish("a/1", b"later", qos=1, retain=True)
        link.sweep(["a/0"])
        assert recorder.swept(["a/0"]) == {}  # a sweep leaves no subscription behind


def check_an_empty_payload_clears_a_topic(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        _keep(link, recorder, "a/b", b"kept")
        _keep(link, recorder, "a/b", b"")
        link.sweep(["a/b"])
        assert recorder.swept(["a/b"]) == {}


def check_wildcards_cover_what_they_say(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        for topic in ("a/1/x", "a/2/x", "a/2/y", "b/2/x"):
            _keep(link, recorder, topic, b"kept")
        link.subscribe(["a/+/x"], qos=0)
        link.sweep(["a/2/y"])
        assert set(recorder.swept(["a/2/y"])) == {"a/1/x", "a/2/x", "a/2/y"}


def check_two_hundred_chunks_come_through_a_window_of_eight(pair: Pair) -> None:
    rng = random.Random(7)
    chunks = {hashlib.sha256(chunk).hexdigest(): chunk for chunk in (rng.randbytes(61_440) for _ in range(200))}
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        receipts = {link.publish(f"chunks/{name}", chunk, qos=1, retain=True) for name, chunk in chunks.items()}
        assert {recorder.next(Delivered).receipt for _ in receipts} == receipts
        names = list(chunks)
        for start in range(0, len(names), 8):
            window = [f"chunks/{name}" for name in names[start : start + 8]]
            link.sweep(window)
            found = recorder.swept(window)
            assert list(found) == window
            assert all(hashlib.sha256(chunk).hexdigest() == topic[-64:] for topic, chunk in found.items())


def check_calls_go_out_in_their_order(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        for number in range(36):  # 18 at QoS 1: more than 20 would wait for the broker, and let the others pass
            link.subscribe([f"n/{number}"], qos=1)
            link.publish(f"n/{number}", b"said once, not kept", qos=number % 2, retain=False)
        assert [recorder.next(Received).topic for _ in range(36)] == [f"n/{number}" for number in range(36)]


def check_receipts_from_many_threads_differ_and_all_are_delivered(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        receipts: list[int] = []

        def work(thread: int) -> None:
            for number in range(25):
                receipts.append(link.publish(f"t/{thread}/{number}", b"x", qos=1, retain=False))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(receipts)) == 200
        assert {recorder.next(Delivered).receipt for _ in receipts} == set(receipts)


def check_a_publish_waits_for_a_broker_that_is_down(pair: Pair) -> None:
    broker = pair.idle()
    try:
        with pair.link(url_of(broker)) as (link, recorder):
            receipt = link.publish("a/b", b"early", qos=1, retain=True)
            lost = recorder.next(Disconnected)
            assert (lost.final, lost.reason) == (False, f"no broker listens at {url_of(broker).address}")
            broker.start()
            assert recorder.next(Delivered) == Delivered(receipt)
            link.sweep(["a/b"])
            assert recorder.swept(["a/b"]) == {"a/b": b"early"}
    finally:
        _away(broker)


def check_a_restarted_broker_gets_all_that_it_has_not_acknowledged(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        first = [link.publish(f"n/{number}", bytes(10_000), qos=1, retain=True) for number in range(60)]
        broker.stop()
        recorder.next(Disconnected)
        second = [link.publish(f"m/{number}", b"while it is down", qos=1, retain=True) for number in range(60)]
        broker.start()
        recorder.next(Connected)
        link.publish("end", b"", qos=1, retain=False)
        last = link.publish("end", b"", qos=1, retain=False)
        recorder.next(Delivered, lambda event: event.receipt == last)
        delivered = [event.receipt for event in recorder.all_of(Delivered)]
        assert len(delivered) == len(set(delivered))  # exactly once each
        assert set(first + second) <= set(delivered)
        topics = [f"m/{number}" for number in range(60)]
        link.sweep(topics)
        assert list(recorder.swept(topics)) == topics


_KILLED: Final = """
import sys, queue
from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.link import Connected
from protocol.mqtt.paho_link import MqttLink, Will
heard = queue.SimpleQueue()
link = MqttLink(BrokerUrl.parse(sys.argv[1]), "victim", heard.put, will=Will("wills/victim", b"gone"),
                mqtt5=sys.argv[2] == "True")
link.start()
while not isinstance(heard.get(timeout=60), Connected):
    pass
print("connected", flush=True)
sys.stdin.read()
"""


def check_the_will_of_a_killed_client_is_said_and_kept(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        _listen(link, recorder, ["wills/+"])
        command = [sys.executable, "-c", _KILLED, broker.url, str(pair.mqtt5)]
        victim = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT)
        with victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == b"connected\n"
            victim.kill()
        assert recorder.next(Received) == Received("wills/victim", b"gone", retained=False)
        link.sweep(["wills/victim"])
        assert recorder.swept(["wills/victim"]) == {"wills/victim": b"gone"}


def check_a_client_that_takes_leave_has_no_last_will(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (observer, recorder):
        _listen(observer, recorder, ["wills/+", "farewell"])
        with pair.connected(broker, will=Will("wills/polite", b"gone")) as (link, _):
            link.publish("farewell", b"bye", qos=1, retain=False)  # stop sends what waits
        assert recorder.next(Received).topic == "farewell"
        observer.sweep(["wills/polite"])
        assert recorder.swept(["wills/polite"]) == {}


def check_a_newer_client_of_the_same_name_ends_the_older(pair: Pair) -> None:
    with (
        pair.running() as broker,
        pair.link(url_of(broker), client_id="twin") as (_, older),
    ):
        older.next(Connected)
        with pair.link(url_of(broker), client_id="twin") as (_, newer):
            newer.next(Connected)
            lost = older.next(Disconnected)
            assert not lost.final
            assert url_of(broker).address in lost.reason


def check_a_wrong_password_is_final_until_someone_mends_it(pair: Pair) -> None:
    with pair.with_passwords() as (broker, mend), pair.link(url_of(broker, USER, PASSWORD)) as (link, recorder):
        receipt = link.publish("a/b", b"patient", qos=1, retain=False)
        lost = recorder.next(Disconnected)
        address = url_of(broker).address
        assert lost == Disconnected(f"{address} refuses the user 'pi-1': wrong user or password", final=True)
        mend()
        recorder.next(Connected)
        assert recorder.next(Delivered) == Delivered(receipt)


def check_missing_credentials_are_asked_for(pair: Pair) -> None:
    with pair.with_passwords() as (broker, _), pair.link(url_of(broker)) as (_, recorder):
        lost = recorder.next(Disconnected)
        assert lost == Disconnected(f"{url_of(broker).address} wants a user and a password", final=True)


def check_a_refused_topic_is_reported_in_mqtt_5_and_not_in_3(pair: Pair) -> None:
    with pair.with_closed_topic() as broker, pair.connected(broker) as (link, recorder):
        refused = link.publish(CLOSED, b"no", qos=1, retain=True)
        allowed = link.publish("open/topic", b"yes", qos=1, retain=True)
        recorder.next(Delivered, lambda event: event.receipt == allowed)
        link.sweep([CLOSED, "open/topic"])
        assert recorder.swept([CLOSED, "open/topic"]) == {"open/topic": b"yes"}
        expected = [Refused(refused, "the broker does not let us write to this topic")] if pair.mqtt5 else []
        assert recorder.all_of(Refused) == expected
        assert (Delivered(refused) in recorder.items) is not pair.mqtt5


def check_a_message_over_the_limit_never_comes_in(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        url = url_of(broker)
        for qos, size_bytes in ((0, PACKET_MAX_BYTES), (1, 1_500_000)):  # the first is over by its topic alone
            paho_publish.single(
                f"big/{qos}",
                bytes(size_bytes),
                qos=1,
                retain=True,
                hostname=url.host,
                port=url.port,
                protocol=MQTTProtocolVersion.MQTTv311,
            )
        _keep(link, recorder, "small", b"x" * 65_536)
        # In 3.1.1 more often than a broker's window is wide. In 5 mosquitto 2.0.11
        # keeps such messages back, but never frees their places in its window of 20.
        for _ in range(5 if pair.mqtt5 else 30):
            link.subscribe(["big/0", "big/1"], qos=1)
        link.subscribe(["small"], qos=1)
        first = recorder.next(object, lambda event: isinstance(event, Received | Disconnected))
        assert first == Received("small", b"x" * 65_536, retained=True)


def check_an_answer_finds_the_one_who_asked(pair: Pair) -> None:
    """mosquitto_rr uses MQTT 5, also if the link does not, and its response topic."""
    with pair.running() as broker, pair.connected(broker) as (link, recorder):
        _listen(link, recorder, ["question"])
        port = str(url_of(broker).port)
        command = ["mosquitto_rr", "-p", port, "-t", "question", "-e", "answer", "-m", "?", "-F", "%D %p", "-W", "60"]
        known_by = ["-D", "publish", "correlation-data", "who-7", "-D", "publish", "user-property", "a", "b"]
        with subprocess.Popen([*command, *known_by], stdout=subprocess.PIPE) as asker:
            heard = recorder.next(Received)
            reply_to = ReplyTo("answer", b"who-7") if pair.mqtt5 else None
            assert heard == Received("question", b"?", retained=False, reply_to=reply_to)
            correlation = heard.reply_to.correlation if heard.reply_to else b"who-7"
            link.publish("answer", b"!", qos=0, retain=False, correlation=correlation)
            assert asker.stdout is not None
            assert asker.stdout.read() == (b"who-7 !\n" if pair.mqtt5 else b" !\n")
        link.publish("question", b"without", qos=1, retain=False)
        assert recorder.next(Received) == Received("question", b"without", retained=False)


def check_nothing_is_heard_after_stop(pair: Pair) -> None:
    with pair.running() as broker, pair.connected(broker) as (other, other_ear):
        with pair.connected(broker) as (link, recorder):
            link.subscribe(["a/b"], qos=1)
            link.publish("a/b", b"x", qos=1, retain=False)
            recorder.next(Received)
        before = list(recorder.items)
        link.publish("a/b", b"too late", qos=1, retain=False)
        link.subscribe(["a/b"], qos=1)
        _keep(other, other_ear, "a/b", b"x")
        broker.stop()
        other_ear.next(Disconnected)
        assert recorder.items == before


PAIRS: Final = [Pair(broker, mqtt5) for broker in ("mosquitto", "embedded") for mqtt5 in (True, False)]
CHECKS: Final = [check for name, check in sorted(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_a_link_keeps_its_contract(check: Callable[[Pair], None], pair: Pair) -> None:
    check(pair)


def test_users_and_passwords_let_the_right_client_in() -> None:
    with mosquitto_with_users({USER: PASSWORD}) as broker:
        recorder = LinkRecorder()
        link = MqttLink(url_of(broker, USER, PASSWORD), "pi-1", recorder.record, backoff=HASTE)
        link.start()
        recorder.next(Connected)
        link.stop()

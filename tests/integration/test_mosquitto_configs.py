"""The shipped configurations in a real mosquitto; only paths and ports differ."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from protocol.errors import BadInput
from protocol.mqtt.link import Connected, Delivered, Disconnected, Received, Refused
from protocol.mqtt.paho_link import PACKET_MAX_BYTES, Backoff, MqttLink, TlsFiles
from protocol.topics import CHUNK_MAX_BYTES, Kind, Topics
from tests.brokers import LOOPBACK, PROJECT, Mosquitto, free_port, mosquitto, readable_folder, url_of, write_passwords
from tests.recorder import LinkRecorder

HASTE: Final = Backoff(wait_min_s=0.05, wait_max_s=0.3, refused_wait_s=0.1)
USERS: Final = {"publisher": "p-secret", "pi-1": "one", "pi-2": "two", "node-red": "three"}
TOPICS: Final = Topics()
CHUNK: Final = TOPICS.chunk("ab" * 32)
NOT_ALLOWED: Final = "the broker does not let us write to this topic"
Connect = Callable[..., tuple[MqttLink, LinkRecorder]]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes links that stand, and stops them in the end."""
    links: list[MqttLink] = []

    def connected(broker: Mosquitto, user: str | None = None, *, tls: Path | None = None, mqtt5: bool = True) -> object:
        recorder = LinkRecorder()
        url = url_of(broker, user, USERS[user] if user else None)
        files = TlsFiles(ca=tls) if tls else None
        name = f"{user}-{len(links)}"
        links.append(MqttLink(url, name, recorder.record, tls=files, backoff=HASTE, mqtt5=mqtt5))
        links[-1].start()
        recorder.next(Connected)
        return links[-1], recorder

    yield connected  # type: ignore[misc] # a Callable cannot name keywords
    for link in links:
        link.stop()


# --- development


@pytest.fixture
def dev() -> Iterator[Mosquitto]:
    """mosquitto/dev.conf on another port."""
    folder, port = readable_folder(), free_port()
    original = (PROJECT / "mosquitto" / "dev.conf").read_text()
    assert "listener 1883 127.0.0.1" in original
    conf = folder / "dev.conf"
    conf.write_text(original.replace("listener 1883 127.0.0.1", f"listener {port} {LOOPBACK}"))
    with mosquitto(conf=conf, port=port) as broker:
        yield broker
    shutil.rmtree(folder)


def test_the_development_broker_lets_anyone_in_and_keeps_messages(dev: Mosquitto, connect: Connect) -> None:
    link, recorder = connect(dev)
    link.publish(CHUNK, b"x" * CHUNK_MAX_BYTES, qos=1, retain=True)
    recorder.next(Delivered)
    link.sweep([CHUNK])
    assert recorder.swept([CHUNK]) == {CHUNK: b"x" * CHUNK_MAX_BYTES}


@pytest.mark.parametrize("mqtt5", [True, False])
def test_the_largest_message_that_a_link_sends_passes_there_and_back(
    dev: Mosquitto, connect: Connect, mqtt5: bool
) -> None:
    link, recorder = connect(dev, mqtt5=mqtt5)
    payload = b"x" * (PACKET_MAX_BYTES - len(CHUNK) - 16)
    with pytest.raises(BadInput):
        link.publish(CHUNK, payload + b"x", qos=1, retain=True)
    link.publish(CHUNK, payload, qos=1, retain=True)
    recorder.next(Delivered)
    link.sweep([CHUNK])
    assert recorder.swept([CHUNK]) == {CHUNK: payload}


@pytest.mark.parametrize("qos", [0, 1])
def test_an_observer_of_the_development_broker_sees_every_status(dev: Mosquitto, connect: Connect, qos: int) -> None:
    devices = [f"pi-{number}" for number in range(3_000)]  # the broker's own default shows an observer 1,020
    link, recorder = connect(dev)
    for device in devices:
        link.publish(TOPICS.of_device(Kind.STATUS, device, "digits"), b"{}" * 200, qos=1, retain=True)
    for _ in devices:
        recorder.next(Delivered)
    observer, seen = connect(dev)
    observer.subscribe([TOPICS.of_every_device(Kind.STATUS)], qos=qos)
    while len(set(seen.topics())) < len(devices):
        seen.next(Received)


# --- production


@dataclass(frozen=True, slots=True)
class Production:
    """mosquitto/production.conf, running with certificates and passwords of its own."""

    broker: Mosquitto
    ca: Path
    other_ca: Path


@pytest.fixture(scope="module")
def production() -> Iterator[Production]:
    """One for all tests of this file: each uses topics of its own."""
    folder, port = readable_folder(), free_port()
    (folder / "tls").mkdir()
    (folder / "data").mkdir()
    (folder / "data").chmod(0o777)  # a mosquitto that root starts writes as another user
    _certificates(folder / "tls")
    _certificates(folder)
    write_passwords(folder / "passwords", USERS)
    (folder / "acl").write_text(_with_its_example((PROJECT / "mosquitto" / "acl").read_text()))
    (folder / "acl").chmod(0o644)
    conf = folder / "production.conf"
    conf.write_text(_moved((PROJECT / "mosquitto" / "production.conf").read_text(), folder, port))
    with mosquitto(conf=conf, port=port, tls=True) as broker:
        yield Production(broker, folder / "tls" / "ca.crt", folder / "ca.crt")
    shutil.rmtree(folder)


def _with_its_example(acl: str) -> str:
    """The rules with the lines of an application made valid, as their comment says."""
    lines = acl.splitlines()
    assert "Uncomment the next three lines" in acl
    at = lines.index("#user node-red")
    lines[at : at + 3] = [line.removeprefix("#") for line in lines[at : at + 3]]
    return "\n".join(lines) + "\n"


def _moved(original: str, folder: Path, port: int) -> str:
    settings = [line for line in original.splitlines() if line and not line.startswith("#")]
    moves = {
        "listener 8883": f"listener {port} {LOOPBACK}",
        "/etc/mosquitto/": f"{folder}/",
        "/var/lib/mosquitto/": f"{folder}/data/",
    }
    for old, new in moves.items():
        assert any(old in line for line in settings), old
        settings = [line.replace(old, new) for line in settings]
    return "\n".join(settings) + "\n"


def _certificates(folder: Path) -> None:
    """Write ca.crt, broker.crt and broker.key as production.conf says at its top."""
    ca_key, broker_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "EdgeFerry authority")])
    broker = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    ca = _builder(authority, authority, ca_key.public_key())
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    ca = ca.add_extension(usage, critical=True)
    leaf = _builder(broker, authority, broker_key.public_key())
    leaf = leaf.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "ca.crt").write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    (folder / "broker.crt").write_bytes(leaf.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    key = broker_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none)
    (folder / "broker.key").write_bytes(key)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return x509.CertificateBuilder(
        issuer, subject, key, x509.random_serial_number(), now - datetime.timedelta(1), now + datetime.timedelta(2)
    )


def test_a_device_writes_its_own_topics_and_reads_them_back(production: Production, connect: Connect) -> None:
    link, recorder = connect(production.broker, "pi-1", tls=production.ca)
    own = [TOPICS.presence("pi-1"), TOPICS.of_device(Kind.STATUS, "pi-1", "digits")]
    for topic in own:
        link.publish(topic, b"mine", qos=1, retain=True)
        recorder.next(Delivered)
    link.sweep(own)
    assert recorder.swept(own) == dict.fromkeys(own, b"mine")


FORBIDDEN: Final = (
    TOPICS.presence("pi-2"),
    TOPICS.of_device(Kind.STATUS, "pi-2", "digits"),
    TOPICS.desired("digits"),
    CHUNK,
)


@pytest.mark.parametrize("topic", FORBIDDEN)
def test_a_device_is_refused_everything_else_aloud_in_mqtt_5(
    production: Production, connect: Connect, topic: str
) -> None:
    link, recorder = connect(production.broker, "pi-1", tls=production.ca)
    receipt = link.publish(topic, b"not mine", qos=1, retain=True)
    assert recorder.next(Refused) == Refused(receipt, NOT_ALLOWED)


def test_what_a_device_may_not_write_is_not_seen_in_mqtt_3(production: Production, connect: Connect) -> None:
    link, recorder = connect(production.broker, "pi-1", tls=production.ca, mqtt5=False)
    for topic in FORBIDDEN:
        link.publish(topic, b"not mine", qos=1, retain=True)
        recorder.next(Delivered)  # 3.1.1 has no word for a refusal
    publisher, seen = connect(production.broker, "publisher", tls=production.ca)
    publisher.sweep(list(FORBIDDEN))
    assert b"not mine" not in seen.swept(list(FORBIDDEN)).values()


def test_the_publisher_announces_and_every_device_reads(production: Production, connect: Connect) -> None:
    publisher, recorder = connect(production.broker, "publisher", tls=production.ca)
    said = {TOPICS.chunk("cd" * 32): b"a chunk", TOPICS.desired("weather"): b"a bundle"}
    for topic, payload in said.items():
        publisher.publish(topic, payload, qos=1, retain=True)
        recorder.next(Delivered)
    for user, mqtt5 in (("pi-1", True), ("pi-2", False)):
        link, heard = connect(production.broker, user, tls=production.ca, mqtt5=mqtt5)
        link.sweep(list(said))
        assert heard.swept(list(said)) == said


def test_the_publisher_hears_every_device_and_no_device_hears_another(production: Production, connect: Connect) -> None:
    status = TOPICS.of_device(Kind.STATUS, "pi-2", "heard")
    speaker, recorder = connect(production.broker, "pi-2", tls=production.ca)
    speaker.publish(status, b"here", qos=1, retain=True)
    recorder.next(Delivered)
    for user, expected in (("publisher", {status: b"here"}), ("pi-1", {})):
        link, heard = connect(production.broker, user, tls=production.ca)
        link.sweep([status])
        assert heard.swept([status]) == expected


def test_the_publisher_may_not_speak_for_a_device(production: Production, connect: Connect) -> None:
    publisher, recorder = connect(production.broker, "publisher", tls=production.ca)
    receipt = publisher.publish(TOPICS.presence("pi-1"), b"forged", qos=1, retain=True)
    assert recorder.next(Refused) == Refused(receipt, NOT_ALLOWED)


@pytest.mark.parametrize("mqtt5", [True, False])
def test_an_application_asks_a_device_and_hears_its_answer_and_nothing_else(
    production: Production, connect: Connect, mqtt5: bool
) -> None:
    of_device = [TOPICS.of_device(kind, "pi-1", "digits") for kind in (Kind.INPUT, Kind.OUTPUT, Kind.STATUS)]
    asked, output, status = of_device
    device, heard = connect(production.broker, "pi-1", tls=production.ca, mqtt5=mqtt5)
    app, told = connect(production.broker, "node-red", tls=production.ca, mqtt5=mqtt5)
    device.subscribe([asked, "elsewhere"], qos=0)
    app.subscribe([output, f"{output}/publisher", status, "elsewhere"], qos=0)
    for link, recorder in ((device, heard), (app, told)):  # answered when the subscriptions stand
        link.sweep([CHUNK])
        recorder.swept([CHUNK])
    app.publish(status, b"not mine", qos=0, retain=False)
    app.publish(asked, b"?", qos=0, retain=False)
    assert heard.next(Received) == Received(asked, b"?", retained=False)
    for topic in ("elsewhere", status, output, f"{output}/publisher"):
        device.publish(topic, b"!", qos=0, retain=False)
    assert [told.next(Received).topic for _ in range(2)] == [output, f"{output}/publisher"]
    assert heard.topics() == [asked]


def _first_word(production: Production, user: str | None, password: str | None, ca: Path) -> Disconnected:
    recorder = LinkRecorder()
    url = url_of(production.broker, user, password)
    link = MqttLink(url, "stranger", recorder.record, tls=TlsFiles(ca=ca), backoff=HASTE)
    link.start()
    told = recorder.next(Disconnected)
    link.stop()
    assert not recorder.all_of(Connected)
    return told


def test_wrong_credentials_are_told(production: Production) -> None:
    address = url_of(production.broker).address
    told = _first_word(production, "pi-1", "wrong", production.ca)
    assert told == Disconnected(f"{address} refuses the user 'pi-1': wrong user or password", final=True)
    told = _first_word(production, None, None, production.ca)
    assert told == Disconnected(f"{address} wants a user and a password", final=True)


def test_a_broker_with_a_certificate_of_another_authority_is_not_trusted(production: Production) -> None:
    told = _first_word(production, "pi-1", USERS["pi-1"], production.other_ca)
    assert told.reason.startswith(f"the certificate of {url_of(production.broker).address} is not to be trusted")
    assert not told.final

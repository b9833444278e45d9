"""An address is parsed whole or refused by its fault; its password is never shown."""

from __future__ import annotations

import pytest

from protocol.errors import BadSettings
from protocol.mqtt.broker_url import BrokerUrl


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://localhost", BrokerUrl("localhost", 1883)),
        ("mqtts://broker.example.org", BrokerUrl("broker.example.org", 8883, tls=True)),
        ("mqtt://10.0.0.7:2883/", BrokerUrl("10.0.0.7", 2883)),
        ("mqtt://[::1]:1884", BrokerUrl("::1", 1884)),
        ("mqtts://pi-1:s3cret@b:9", BrokerUrl("b", 9, "pi-1", "s3cret", tls=True)),
        ("mqtt://pi-1@b", BrokerUrl("b", 1883, "pi-1")),
        ("mqtt://pi%401:a%2Fb%3Ac@b", BrokerUrl("b", 1883, "pi@1", "a/b:c")),
        ("mqtt://pi-1:with@sign@b", BrokerUrl("b", 1883, "pi-1", "with@sign")),
        ("mqtt://pi-1:@b", BrokerUrl("b", 1883, "pi-1", "")),
    ],
)
def test_an_address_is_read_with_all_its_parts(text: str, expected: BrokerUrl) -> None:
    assert BrokerUrl.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("localhost:1883", "does not begin with mqtt:// or mqtts://"),
        ("http://localhost", "does not begin with mqtt:// or mqtts://"),
        ("mqtt:localhost", "does not begin with mqtt:// or mqtts://"),
        ("", "does not begin with mqtt:// or mqtts://"),
        ("mqtt://", "names no host"),
        ("mqtt://:1883", "names no host"),
        ("mqtt://b:65536", "a port that is no number from 1 to 65535"),
        ("mqtt://b:0", "a port that is no number from 1 to 65535"),
        ("mqtt://b:mqtt", "a port that is no number from 1 to 65535"),
        ("mqtt://[::1", "a host that cannot be read"),
        ("mqtt://a..b", "a host that cannot be read"),
        ("mqtt://" + "a" * 64, "a host that cannot be read"),
        ("mqtt://b/fleet", "has something behind the port"),
        ("mqtt://:s3cret@b", "has a password or an '@' but no user"),
        ("mqtt://b ", "a space or a control character"),
        ("mqtt://b\n", "a space or a control character"),
    ],
)
def test_a_bad_address_is_refused_with_its_fault(text: str, fault: str) -> None:
    with pytest.raises(BadSettings) as refused:
        BrokerUrl.parse(text)
    assert fault in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "http://pi-1:s3cret@b",
        "pi-1:s3cret@b:1883",
        "mqtt://pi-1:s3cret/@b",
        "mqtt://pi-1:s3cret@b:port",
        "mqtt://pi-1:s3cret@[b",
        "mqtt://pi-1:s3cret#@b",
        "mqtt://:s3cret@b",
        "mqtt://pi-1:s3cret @b",
        "x@://s3cret@b",
    ],
)
def test_no_message_shows_a_password(text: str) -> None:
    with pytest.raises(BadSettings) as refused:
        BrokerUrl.parse(text)
    assert "s3cret" not in str(refused.value)


def test_neither_text_nor_repr_shows_the_password() -> None:
    url = BrokerUrl.parse("mqtts://pi-1:s3cret@[::1]:9")
    assert str(url) == "mqtts://pi-1@[::1]:9"
    assert url.address == "[::1]:9"
    assert "s3cret" not in repr(url)

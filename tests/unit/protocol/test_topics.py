"""Topics are built from checked names, parsed back, and fit the limits of brokers."""

from __future__ import annotations

import pytest

from protocol.errors import BadName
from protocol.topics import SPECS, TABLE, Address, Kind, Topics, check_name
from tests.builders import a_hash

DEVICE_KINDS = [Kind.STATUS, Kind.FEEDBACK, Kind.EVENT, Kind.WANTS, Kind.INPUT, Kind.OUTPUT]
ADDRESSES = [
    Address(Kind.DESIRED, model="digits"),
    Address(Kind.CHUNK, sha256=a_hash()),
    Address(Kind.PRESENCE, device="pi-1"),
    *(Address(kind, model="digits", device="pi-1") for kind in DEVICE_KINDS),
]


def built(address: Address, topics: Topics) -> str:
    """The topic of an address."""
    match address.kind:
        case Kind.DESIRED:
            return topics.desired(address.model)
        case Kind.CHUNK:
            return topics.chunk(address.sha256)
        case Kind.PRESENCE:
            return topics.presence(address.device)
        case kind:
            return topics.of_device(kind, address.device, address.model)


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: str(address.kind))
def test_a_built_topic_is_parsed_back(address: Address) -> None:
    topics = Topics("barn_2")
    assert topics.parse(built(address, topics)) == address


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: str(address.kind))
def test_a_topic_is_what_the_table_says(address: Address) -> None:
    filled = SPECS[address.kind].pattern.format(model=address.model, device=address.device, sha256=address.sha256)
    assert built(address, Topics()) == f"fleet/v1/{filled}"


def test_the_table_speaks_of_every_kind_once() -> None:
    assert [spec.kind for spec in TABLE] == list(Kind)


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: str(address.kind))
def test_no_topic_has_more_slashes_than_aws_takes(address: Address) -> None:
    assert built(address, Topics()).count("/") <= 6


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "fleet",
        "fleet/v1",
        "fleet/v1/",
        "fleet/v2/models/digits/desired",
        "other/v1/models/digits/desired",
        "fleet/v1/models/digits",
        "fleet/v1/models/digits/desired/",
        "fleet/v1/models/Digits/desired",
        "fleet/v1/models//desired",
        "fleet/v1/chunks/abc",
        f"fleet/v1/chunks/{a_hash().upper()}",
        "fleet/v1/devices/pi-1/digits/mood",
        "fleet/v1/devices/pi-1/digits/desired",
        "fleet/v1/devices/pi-1/digits/presence",
        "fleet/v1/devices/pi 1/presence",
        "fleet/v1/devices/pi-1\n/presence",
        f"fleet/v1/devices/{'x' * 65}/presence",
    ],
)
def test_a_topic_that_is_not_ours_is_none(topic: str) -> None:
    assert Topics().parse(topic) is None


@pytest.mark.parametrize("bad", ["", "a/b", "+", "#", "Pi", "pi.1", "pi 1", "pi\n", "ü", "x" * 65, "$sys", "a\0"])
def test_a_bad_name_never_reaches_a_topic(bad: str) -> None:
    topics = Topics()
    for build in (
        topics.desired,
        topics.presence,
        topics.chunk,
        lambda name: topics.of_device(Kind.STATUS, name, "digits"),
        lambda name: topics.of_device(Kind.STATUS, "pi-1", name),
        Topics,
    ):
        with pytest.raises(BadName):
            build(bad)


def test_a_bad_name_is_shown_with_what_may_be_used() -> None:
    with pytest.raises(BadName, match=r"device 'Pi\.1'") as refusal:
        check_name("Pi.1", "device")
    assert "a-z" in refusal.value.hint


def test_observers_listen_to_every_device_and_hear_nothing_of_chunks() -> None:
    topics = Topics()
    assert topics.of_every_device(Kind.PRESENCE) == "fleet/v1/devices/+/presence"
    assert topics.of_every_device(Kind.STATUS) == "fleet/v1/devices/+/+/status"

"""The table of the fleet from a real broker, and how commands show their results."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protocol.topics import Kind
from publisher.adapters.broker_client import BrokerClient, RetainedMessage
from tests.brokers import mosquitto
from tests.builders import a_presence, a_status
from tests.integration.publisher_cli import PROGRAM, PROJECT, TOPICS, PublisherCli, a_publisher, connect

LONG_REASON = "CPU load 97 % is over 80 %, and the battery at 12 % is under 30 %; looking again in ten minutes"


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[PublisherCli]:
    with mosquitto() as broker:
        yield a_publisher(tmp_path, broker.url)


def say(broker: BrokerClient, device: str, *, online: bool = True, **status: object) -> None:
    """What a device keeps on the broker."""
    now = datetime.now(UTC)
    line = a_status(device=device, at=now, **status).to_line()  # type: ignore[arg-type] # a builder's own keywords
    presence = a_presence(device, online=online, at=now).to_line()
    broker.put_all(
        [
            RetainedMessage(TOPICS.presence(device), presence),
            RetainedMessage(TOPICS.of_device(Kind.STATUS, device, "digits"), line),
        ]
    )


def test_the_table_says_who_runs_what_and_why_not(publisher: PublisherCli) -> None:
    publisher.run("enroll", "pi-9", "--out", publisher.folder / "pi-9")
    with connect(publisher.url) as broker:
        say(broker, "pi-1", state="committed", installed_version="1.1.0", latest_version="1.1.0", reason="all is well")
        say(
            broker, "pi-2", state="deferred", installed_version="1.0.0", latest_version="1.1.0", reason=LONG_REASON,
            online=False,
        )  # fmt: skip
        liar = a_status(device="pi-1", at=datetime.now(UTC)).to_line()
        strange = (
            RetainedMessage(TOPICS.of_device(Kind.STATUS, "pi-4", "digits"), liar),
            RetainedMessage(TOPICS.presence("pi-5"), b"?"),
        )
        broker.put_all(strange)
    table = publisher.run("status").out
    assert all(len(line) <= 80 for line in table.splitlines())
    rows = {line.split()[0]: line for line in table.splitlines()}
    assert "committed" in rows["pi-1"]
    assert "offline" in rows["pi-2"]
    assert "CPU load 97" in rows["pi-2"]
    assert "…" in rows["pi-2"]
    assert "never seen" in rows["pi-9"]
    assert "3 devices, 1 online; 1 on digits 1.0.0, 1 on digits 1.1.0" in table
    result = publisher.run("status", "--json").json
    assert result["unreadable_messages"] == 2
    assert result["summary"]["up_to_date"] == 1
    by_device = {row["device"]: row for row in result["devices"]}
    assert by_device["pi-2"]["reason"] == LONG_REASON
    assert by_device["pi-2"]["online"] is False
    assert by_device["pi-9"]["age_s"] is None


def test_the_fleet_is_seen_without_a_registry(publisher: PublisherCli, tmp_path: Path) -> None:
    with connect(publisher.url) as broker:
        say(broker, "pi-1", state="fetching", in_progress=True, update_percentage=40.0)
    assert "fetching 40 %" in publisher.run("status", "--registry", tmp_path / "nowhere").out


def test_an_empty_fleet_is_a_sentence(publisher: PublisherCli) -> None:
    assert "no device has said anything yet" in publisher.run("status").out
    assert publisher.run("status", "--json").json["devices"] == []


def test_a_watched_table_follows_the_fleet(publisher: PublisherCli) -> None:
    with connect(publisher.url) as broker:
        say(broker, "pi-1", state="fetching")
        watching = publisher.begin("status", "--watch", "--json")
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        say(broker, "pi-1", state="proving")
        second = json.loads(watching.stdout.readline())
        watching.send_signal(2)
        _, err = watching.communicate(timeout=60)
    assert [one["devices"][0]["state"] for one in (first, second)] == ["fetching", "proving"]
    assert (watching.returncode, err) == (130, "error: stopped\n")


def test_colours_are_for_terminals_only(publisher: PublisherCli) -> None:
    with connect(publisher.url) as broker:
        say(broker, "pi-1", state="rejected")
    assert "\x1b" not in publisher.run("status").out
    environment = {**publisher.environment(), "NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "xterm"}
    plain = subprocess.run(
        [*PROGRAM, "status"], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert "\x1b[31m" not in plain.stdout


TRAINING = ("tensorflow", "tf_keras", "sklearn", "matplotlib")
LIBRARIES = (*TRAINING, "numpy", "tuf", "paho")


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], LIBRARIES),
        (["rollout", "--help"], LIBRARIES),
        (["release", "--help"], TRAINING),
        (["serve", "--help"], (*TRAINING, "numpy")),
    ],
    ids=str,
)
def test_help_imports_nothing_heavy(words: list[str], heavy: tuple[str, ...]) -> None:
    program = (
        "import sys\n"
        "from publisher.cli import main\n"
        f"sys.argv[1:] = {words!r}\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"found = [name for name in {heavy!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    run = subprocess.run(
        [*PROGRAM[:2], program],
        cwd=PROJECT,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr

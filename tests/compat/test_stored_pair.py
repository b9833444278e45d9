"""Today's programs work with a registry and a device folder of an earlier commit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_client import EdgeModel
from protocol.mqtt.broker_url import BrokerUrl
from protocol.topics import Kind
from publisher.embedded_broker import EmbeddedBroker
from tests.integration.fleet import DeviceFolder, run_command
from tests.integration.fleet_observer import observing
from tests.integration.publisher_cli import PublisherCli
from tests.recorder import WITHIN_S

VERSIONS = ["0.9.0", "0.9.1", "1.0.0"]
TOLERANCE = 1e-5


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """An empty broker."""
    running = EmbeddedBroker(0)
    running.start()
    yield running
    running.stop()


def answers_of(pair: Path) -> tuple[str, Any, Any]:
    """The version that answered, the inputs, and the outputs."""
    known = json.loads((pair / "answers.json").read_text())
    return known["version"], np.array(known["x"], np.float32), np.array(known["output"], np.float32)


def test_the_device_tells_and_answers_without_a_broker_as_it_did(pair: Path) -> None:
    version, x, output = answers_of(pair)
    config = pair / "pi-1" / "device.toml"
    status = json.loads(run_command("status", "--json", "--config", str(config)).out)["models"][0]
    assert (status["installed_version"], status["previous_version"]) == (version, "0.9.0")
    assert [each["version"] for each in status["refused"]] == ["0.9.1"]
    with EdgeModel(config) as model:
        assert model.wait_ready(WITHIN_S)
        assert model.version == version
        np.testing.assert_allclose([model.predict(row).output for row in x], output, atol=TOLERANCE)


def test_the_registry_releases_the_next_version_and_the_device_follows(
    pair: Path, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher, pi = PublisherCli(pair, broker.url), DeviceFolder(pair / "pi-1", "pi-1")
    shown = publisher.run("show", "pumps", "--json").json
    assert [each["version"] for each in shown["versions"]] == VERSIONS
    assert [each["released_as"] for each in shown["trainings"]] == [*VERSIONS, None]
    assert shown["plan"]["rules"][0]["version"] == "1.0.0"

    publisher.run("release", "pumps", "--version", "1.1.0", "--recipe", pair / "recipe.py", "--from", "1.0.0")
    monkeypatch.setenv("EDGEFERRY_BROKER", broker.url)
    unsent = set(pi.outbox("feedback"))
    assert unsent
    _, x, _ = answers_of(pair)
    with observing(BrokerUrl.parse(broker.url)) as observer, EdgeModel(pi.config) as model:
        assert model.wait_ready(WITHIN_S)
        assert model.version == "1.0.0"
        adopted = threading.Event()
        asking = threading.Thread(target=ask_until, args=(adopted, model, x))
        asking.start()
        try:
            outcome = observer.wait(Kind.EVENT, lambda says: says["version"] == "1.1.0")
        finally:
            adopted.set()
            asking.join()
        assert (outcome["outcome"], outcome["from_version"]) == ("adopted", "1.0.0")
        assert model.version == "1.1.0"
        while unsent:
            unsent.discard(observer.wait(Kind.FEEDBACK, lambda says: says["event_id"] in unsent)["event_id"])
        listed = publisher.run("status", "--json").json
    row = listed["devices"][0]
    assert (row["device"], row["model"], row["installed"]) == ("pi-1", "pumps", "1.1.0")


def ask_until(over: threading.Event, model: EdgeModel, x: Any) -> None:
    """Give the shadow and the probation inputs to count."""
    row = 0
    while not over.wait(0.005):
        model.predict(x[row % len(x)])
        row += 1

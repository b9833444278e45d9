"""The smart strategy in a real process, without labels: what is usual outlives a
restart.

Inputs that drifted overnight raise the need for the update in the morning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.drifting import Leg, drifting
from protocol.topics import Kind
from tests.brokers import mosquitto, url_of
from tests.device_harness import FIT
from tests.integration import fleet_models
from tests.integration.fleet import DeviceFolder, a_device, running
from tests.integration.fleet_observer import FleetObserver, observing
from tests.integration.unchecked_publisher import Source, UncheckedPublisher

SMART = {"kind": "smart", "interval_min_s": 1, "interval_max_s": 3_600}
RATE_HZ = "400"
INPUTS = 1_500


@dataclass
class Scene:
    """A device whose processor is busy, and inputs for it."""

    pi: DeviceFolder
    publisher: UncheckedPublisher
    observer: FleetObserver
    upright: Path
    turned: Path


@pytest.fixture
def scene(digits: Path, tmp_path: Path) -> Iterator[Scene]:
    inputs = {"upright": Leg(INPUTS), "turned": Leg(INPUTS, (25.0, 25.0), (0.1, 0.1))}
    for name, leg in inputs.items():
        drifting([leg]).save(tmp_path / f"{name}.npz", labels=False)
    (tmp_path / "probe.json").write_text(json.dumps({**FIT, "cpu_percent": 97}))
    with (
        mosquitto() as broker,
        UncheckedPublisher(url_of(broker), tmp_path) as publisher,
        observing(url_of(broker)) as observer,
    ):
        publisher.add_version("1.0.0", Source.of(digits / "digits.tflite"))
        newer = tmp_path / "2.0.0.tflite"
        newer.write_bytes(fleet_models.nudged(digits, 1))
        publisher.add_version("2.0.0", Source.of(newer))
        publisher.announce("1.0.0")
        probe = str(tmp_path / "probe.json")
        conditions = {"cpu_max_percent": 80}
        root = publisher.authority.root
        pi = a_device(tmp_path / "pi", "pi", broker.url, root, probe_file=probe, strategy=SMART, conditions=conditions)
        yield Scene(pi, publisher, observer, tmp_path / "upright.npz", tmp_path / "turned.npz")


def test_inputs_that_drifted_overnight_press_for_the_update_in_the_morning(scene: Scene) -> None:
    observer = scene.observer
    with running(scene.pi, "--replay", str(scene.upright), "--rate", RATE_HZ) as evening:
        observer.state("pi", "committed", installed_version="1.0.0")
        scene.publisher.announce("2.0.0")
        observer.wait(Kind.STATUS, lambda says: "score 1.00 (drift 0." in says["reason"], device="pi")
        assert evening.stop() == 0
    wanted = [says["state"] for says in observer.of(Kind.STATUS) if says.get("latest_version") == "2.0.0"]
    assert set(wanted) <= {"assigned", "deferred"}, "all is well: it waits for a calm processor"
    night = observer.mark()
    with running(scene.pi, "--replay", str(scene.turned), "--rate", RATE_HZ):
        taken = observer.state("pi", "fetching", since=night, latest_version="2.0.0")
        assert "; comfort is waived: score 0." in taken["reason"]
        assert "(drift" in taken["reason"]
        ended = observer.wait(Kind.EVENT, lambda says: says["version"] == "2.0.0", device="pi", since=night)
        assert ended["from_version"] == "1.0.0"

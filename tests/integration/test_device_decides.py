"""A real device defers an update with a reason, and begins it once conditions allow.

Its readings come from a probe file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.brokers import mosquitto, url_of
from tests.integration import fleet_models
from tests.integration.fleet import DeviceFolder, Process, a_device, run_command, running
from tests.integration.fleet_observer import FleetObserver, observing
from tests.integration.unchecked_publisher import Source, UncheckedPublisher

FIT: Mapping[str, Any] = {
    "battery_percent": 80, "on_mains": False, "cpu_percent": 20, "temperature_c": 45, "metered": False,
    "link_kind": "wifi", "wifi_signal_dbm": -50, "throttled": False, "under_voltage": False, "clock_synchronised": True,
    "memory_free_bytes": 10**9, "disk_free_bytes": 10**10, "local_time": "2026-06-02T12:00:00",
}  # fmt: skip
LIMITS = {"cpu_max_percent": 80, "temperature_max_c": 75}


@dataclass
class Scene:
    """A device that runs 1.0.0 and has inputs to compare with."""

    publisher: UncheckedPublisher
    observer: FleetObserver
    pi: DeviceFolder
    process: Process
    probe: Path
    digits: Path
    releases: int = field(default=0)

    def reads(self, **readings: object) -> None:
        """Set the device's readings; atomically, as half a file would be no JSON."""
        fresh = self.probe.with_suffix(".fresh")
        fresh.write_text(json.dumps({**FIT, **readings}))
        fresh.replace(self.probe)

    def release(self) -> str:
        """Give the device something to want."""
        self.releases += 1
        version = f"1.{self.releases}.0"
        tflite = self.digits_file(version)
        self.publisher.add_version(version, Source.of(tflite))
        self.publisher.announce(version)
        return version

    def digits_file(self, version: str) -> Path:
        path = self.probe.with_name(f"{version}.tflite")
        path.write_bytes(fleet_models.nudged(self.digits, self.releases))
        return path

    def is_deferred(self, reason: str, since: int) -> Mapping[str, Any]:
        """Wait until it says why it waits, and until when."""
        said = self.observer.state(self.pi.device, "deferred", since=since)
        assert reason in said["reason"], said
        assert datetime.fromisoformat(said["next_check"]) > datetime.fromisoformat(said["at"])
        return said

    def updates_to(self, version: str, since: int) -> None:
        """Wait until it runs the version, in the same life of the process."""
        self.observer.state(self.pi.device, "committed", since=since, installed_version=version)
        assert self.process.alive


@contextmanager
def a_scene(digits: Path, folder: Path, **settings: Any) -> Iterator[Scene]:
    source = Source.of(digits / "digits.tflite")
    inputs = folder / "inputs.npz"
    np.savez(inputs, x=np.random.default_rng(9).uniform(0, 1, (40, 784)).astype(np.float32))
    probe = folder / "probe.json"
    probe.write_text(json.dumps(FIT))
    with (
        mosquitto() as broker,
        UncheckedPublisher(url_of(broker), folder) as publisher,
        observing(url_of(broker)) as observer,
    ):
        publisher.add_version("1.0.0", source)
        publisher.announce("1.0.0")
        root = publisher.authority.root
        pi = a_device(folder / "pi", "pi", broker.url, root, probe_file=str(probe), conditions=LIMITS, **settings)
        with running(pi, "--replay", str(inputs), "--rate", "100") as process:
            observer.state("pi", "committed", installed_version="1.0.0")
            yield Scene(publisher, observer, pi, process, probe, digits)


@pytest.fixture(scope="module")
def scene(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with a_scene(digits, tmp_path_factory.mktemp("decides")) as ready:
        yield ready


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"battery_percent": 12}, "battery 12 % is under 30 %"),
        ({"cpu_percent": 97}, "CPU load 97 % is over 80 %"),
        ({"metered": True}, "the link is metered"),
        ({"temperature_c": 88.5}, "temperature 88 °C is over 75 °C"),
        ({"throttled": True}, "the processor is throttled"),
        ({"wifi_signal_dbm": -93}, "Wi-Fi signal -93 dBm is under -85 dBm"),
    ],
)
def test_an_unfit_device_says_why_and_when_and_updates_without_a_restart_once_it_is_fit(
    scene: Scene, bad: dict[str, object], reason: str
) -> None:
    since = scene.observer.mark()
    scene.reads(**bad)
    version = scene.release()
    scene.is_deferred(reason, since)
    scene.reads()
    scene.updates_to(version, since)


def test_an_application_that_holds_is_waited_for_and_the_command_says_so(scene: Scene) -> None:
    since = scene.observer.mark()
    hold = scene.pi.state / "hold"
    hold.write_text("a patient is being measured\n")
    version = scene.release()
    scene.is_deferred("the application holds updates: a patient is being measured", since)
    result = run_command("status", "--config", str(scene.pi.config))
    assert "a patient is being measured" in result.out, result
    hold.unlink()
    scene.updates_to(version, since)


def test_a_battery_that_wavers_around_its_limit_must_come_well_back(scene: Scene) -> None:
    since = scene.observer.mark()
    scene.reads(battery_percent=12)
    version = scene.release()
    scene.is_deferred("battery 12 % is under 30 %", since)
    since = scene.observer.mark()
    scene.reads(battery_percent=33)
    scene.is_deferred("battery 33 % is under 35 %, for it was under 30 %", since)
    scene.reads(battery_percent=36)
    scene.updates_to(version, since)


def test_a_device_with_hours_waits_until_they_come_and_says_when(digits: Path, tmp_path: Path) -> None:
    strategy = {"kind": "periodic", "windows": ["02:00-03:00"], "zone": "Europe/Berlin"}
    (tmp_path / "first").mkdir()
    with a_scene(digits, tmp_path, strategy=strategy) as scene:  # the first version comes at noon: it is urgent
        since = scene.observer.mark()
        scene.reads(local_time="2026-06-02T01:59:56")
        version = scene.release()
        said = scene.is_deferred("outside the update windows; the next opens at 02:00 local time", since)
        assert (datetime.fromisoformat(said["next_check"]) - datetime.fromisoformat(said["at"])).total_seconds() <= 4
        scene.reads(local_time="2026-06-02T02:00:01")
        scene.updates_to(version, since)


def test_a_smart_device_does_not_wait_for_comfort_once_its_model_does_badly(digits: Path, tmp_path: Path) -> None:
    strategy = {"kind": "smart", "interval_min_s": 1, "interval_max_s": 3_600}
    with a_scene(digits, tmp_path, strategy=strategy) as scene:
        since = scene.observer.mark()
        scene.reads(cpu_percent=97, quality={"drift": 0.0, "confidence": 0.99, "inferences": 100})
        version = scene.release()
        said = scene.is_deferred("CPU load 97 % is over 80 %; looks every", since)
        assert "score 1.00 (drift 0.00, confidence 0.99)" in said["reason"]
        scene.reads(cpu_percent=97, quality={"drift": 0.8, "confidence": 0.6, "inferences": 100})
        scene.updates_to(version, since)

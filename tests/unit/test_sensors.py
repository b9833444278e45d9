"""Sensors: a value or a reason, never an exception, whatever the device lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_client.adapters.sensors import DeviceSensors
from device_client.core.readings import Readings, Unknown

PROJECT = Path(__file__).resolve().parents[2]


def read_with(tmp_path: Path, probe: object) -> Readings:
    path = tmp_path / "probe.json"
    path.write_text(probe if isinstance(probe, str) else json.dumps(probe))
    return DeviceSensors(tmp_path, path).read()


def test_every_reading_is_a_value_in_bounds_or_a_reason(tmp_path: Path) -> None:
    sensors = DeviceSensors(tmp_path)
    readings = sensors.read()
    for field in fields(Readings):
        value = getattr(readings, field.name)
        assert not isinstance(value, Unknown) or len(value.reason) > 5
    assert isinstance(readings.cpu_percent, Unknown) or 0 <= readings.cpu_percent <= 100
    assert isinstance(readings.memory_free_bytes, int)
    assert readings.memory_free_bytes > 1_000_000
    assert isinstance(readings.disk_free_bytes, int)
    assert isinstance(readings.local_time, datetime)
    assert readings.local_time.tzinfo is not None
    assert readings.held == ""


def test_the_processor_load_is_measured_between_two_looks(tmp_path: Path) -> None:
    sensors = DeviceSensors(tmp_path)
    load = sensors.read().cpu_percent
    while isinstance(load, Unknown):  # until the kernel has counted a tick; it counts a hundred a second
        assert load.reason == "no time has passed to measure"
        sum(range(100_000))
        load = sensors.read().cpu_percent
    assert 0 <= load <= 100


def test_a_load_of_long_ago_is_not_taken_for_one_of_now(tmp_path: Path) -> None:
    now_s = 0.0
    pauses: list[float] = []
    sensors = DeviceSensors(tmp_path, clock_s=lambda: now_s, pause=pauses.append)
    sensors.read()
    now_s = 9.0
    sensors.read()
    assert pauses == [], "the average of the last seconds will do"
    now_s = 3_600.0
    sensors.read()
    assert pauses == [0.1], "that of the last hour says nothing of now"


def test_a_device_without_psutil_says_so_and_reads_the_rest(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['psutil'] = None\n"
        "from pathlib import Path\n"
        "from device_client.adapters.sensors import DeviceSensors\n"
        "readings = DeviceSensors(Path(sys.argv[1])).read()\n"
        "print(readings.memory_free_bytes); print(readings.disk_free_bytes > 0)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.stderr) == ("Unknown(reason='psutil is not installed')\nTrue\n", "")


def test_a_state_folder_that_is_gone_is_a_reason_not_a_crash(tmp_path: Path) -> None:
    disk = DeviceSensors(tmp_path / "gone").read().disk_free_bytes
    assert isinstance(disk, Unknown)
    assert "FileNotFoundError" in disk.reason


def test_the_application_holds_with_a_file_and_its_reason(tmp_path: Path) -> None:
    sensors = DeviceSensors(tmp_path)
    (tmp_path / "hold").write_text("a patient is being measured\nsecond line\n")
    assert sensors.read().held == "a patient is being measured"
    (tmp_path / "hold").write_text("")
    assert sensors.read().held == "the hold file gives no reason"
    (tmp_path / "hold").unlink()
    assert sensors.read().held == ""
    (tmp_path / "hold").mkdir()
    assert sensors.read().held == "the hold file cannot be read: Is a directory"


def test_a_probe_file_overrides_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    probe = {"battery_percent": 12, "on_mains": False, "link_kind": "cellular", "metered": True,
             "local_time": "2026-06-01T01:01+00:00",
             "held": "demo", "temperature_c": 81.5, "some_day": 1}  # fmt: skip
    readings = read_with(tmp_path, probe)
    assert (readings.battery_percent, readings.on_mains, readings.temperature_c) == (12, False, 81.5)
    assert (readings.link_kind, readings.metered) == ("cellular", True)
    assert (readings.local_time, readings.held) == (datetime(2026, 6, 1, 1, 1, tzinfo=UTC), "demo")
    assert isinstance(readings.disk_free_bytes, int)


def test_a_probe_file_may_make_a_reading_unknown(tmp_path: Path) -> None:
    assert read_with(tmp_path, {"cpu_percent": None}).cpu_percent == Unknown("the probe file says it is unknown")


@pytest.mark.parametrize(
    ("name", "value"),
    [("battery_percent", "much"), ("battery_percent", True), ("on_mains", 1), ("disk_free_bytes", -1),
     ("disk_free_bytes", 1.5), ("link_kind", "pigeon"), ("link_kind", ["wifi"])],
)  # fmt: skip
def test_a_probe_value_of_the_wrong_kind_is_unknown_with_the_value(tmp_path: Path, name: str, value: object) -> None:
    reading = getattr(read_with(tmp_path, {name: value}), name)
    assert reading == Unknown(f"the probe file's {name} is {value!r}")


@pytest.mark.parametrize("content", ["{", "[1, 2]", "", '{"cpu_percent": 1' + " " * 20_000 + "}"])
def test_a_probe_file_that_cannot_be_read_makes_every_reading_unknown(tmp_path: Path, content: str) -> None:
    readings = read_with(tmp_path, content)
    for name in ("cpu_percent", "disk_free_bytes", "on_mains", "link_kind"):
        reading = getattr(readings, name)
        assert isinstance(reading, Unknown)
        assert "probe.json" in reading.reason


def test_a_probe_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    reading = DeviceSensors(tmp_path, tmp_path / "none.json").read().cpu_percent
    assert isinstance(reading, Unknown)
    assert "none.json" in reading.reason

"""Sensors: a value or a reason, never an exception, whatever the device lacks."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from device_client.adapters.sensors.device_sensors import DeviceSensors
from device_client.adapters.sensors.probe_settings import ProbeSettings
from device_client.adapters.sensors.probes.base import Findings, Probe, Unread
from device_client.adapters.sensors.probes.clock import zone_of
from device_client.adapters.sensors.probes.cpu import CpuProbe
from device_client.adapters.sensors.probes.memory_and_disk import MemoryAndDiskProbe
from device_client.adapters.sensors.probes.owner_command import OwnerCommandProbe
from device_client.adapters.sensors.probes.power_supply import PowerSupplyProbe
from device_client.core.conditions.model_quality import Quality
from device_client.core.conditions.readings import Readings, Unknown


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


def test_a_state_folder_that_is_gone_is_a_reason_not_a_crash(tmp_path: Path) -> None:
    disk = DeviceSensors(tmp_path / "gone").read().disk_free_bytes
    assert isinstance(disk, Unknown)
    assert "No such file or directory" in disk.reason


def test_the_application_holds_with_a_file_and_its_reason(tmp_path: Path) -> None:
    sensors = DeviceSensors(tmp_path)
    (tmp_path / "hold").write_text("a patient is being measured\nsecond line\n")
    assert sensors.read().held == sensors.hold_reason() == "a patient is being measured"
    (tmp_path / "hold").write_text("")
    assert sensors.read().held == "the hold file gives no reason"
    (tmp_path / "hold").unlink()
    assert sensors.read().held == sensors.hold_reason() == ""
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


# probes that misbehave


class Scripted:
    """A probe that does what a test says; a first-class liar."""

    names = ("battery_percent", "on_mains")

    def __init__(self, *looks: Callable[[], Findings]) -> None:
        self.looks = list(looks)

    def read(self) -> Findings:
        return self.looks.pop(0)()


def charged(percent: object) -> Callable[[], Findings]:
    return lambda: {"battery_percent": percent, "on_mains": False}


def with_probes(tmp_path: Path, *probes: Probe, timeout_s: float = 60.0) -> DeviceSensors:
    return DeviceSensors(tmp_path, probes=probes, sources=ProbeSettings(timeout_s=timeout_s))


@pytest.mark.parametrize("lie", [250, -1, float("nan"), float("inf"), "plenty", True, [12], 10**400, b"12", {}])
def test_a_battery_that_lies_is_unknown_with_what_it_said(tmp_path: Path, lie: object) -> None:
    battery = with_probes(tmp_path, Scripted(charged(lie))).read().battery_percent
    assert battery == Unknown(f"the probe Scripted's battery_percent is {lie!r}"[:200])


@pytest.mark.parametrize("failure", [ValueError("x"), OSError(5, "Input/output error"), Unread("x"), MemoryError()])
def test_a_probe_that_fails_is_unknown_and_the_others_are_heard(tmp_path: Path, failure: Exception) -> None:
    def fail() -> Findings:
        raise failure

    readings = with_probes(tmp_path, Scripted(fail), MemoryAndDiskProbe(tmp_path)).read()
    assert isinstance(readings.battery_percent, Unknown)
    assert isinstance(readings.on_mains, Unknown)
    assert isinstance(readings.disk_free_bytes, int)


def test_a_probe_that_hangs_is_left_behind_and_heard_again_when_it_is_back(tmp_path: Path) -> None:
    released, done = threading.Event(), threading.Event()

    def hang() -> Findings:
        released.wait(60)
        done.set()
        return {}

    probe = Scripted(hang, charged(71))
    sensors = with_probes(tmp_path, probe, timeout_s=0.1)
    for _ in range(3):  # it is not asked again, so no threads pile up
        hung = sensors.read().battery_percent
        assert isinstance(hung, Unknown)
        assert "has not answered for" in hung.reason
    assert len(probe.looks) == 1
    released.set()
    assert done.wait(60)
    while isinstance(sensors.read().battery_percent, Unknown):
        assert len(probe.looks) <= 1
    assert probe.looks == []


def test_a_file_that_never_ends_its_opening_is_left_behind(tmp_path: Path) -> None:
    supply = tmp_path / "supplies" / "BAT0"
    supply.mkdir(parents=True)
    (supply / "type").write_text("Battery")
    os.mkfifo(supply / "capacity")  # opening it waits for a writer that never comes
    sensors = with_probes(tmp_path, PowerSupplyProbe(supply.parent), timeout_s=0.1)
    assert isinstance(sensors.read().battery_percent, Unknown)
    os.close(os.open(supply / "capacity", os.O_WRONLY))  # let the thread go


def test_who_is_named_first_is_heard_and_speaks_also_by_failing(tmp_path: Path) -> None:
    def vanished() -> Findings:
        raise Unread("the supply is gone")

    named = Scripted(charged(12), vanished, lambda: {})
    sensors = with_probes(tmp_path, named, Scripted(*[charged(99)] * 3))
    assert sensors.read().battery_percent == 12
    assert sensors.read().battery_percent == Unknown("the supply is gone")
    assert sensors.read().battery_percent == 99, "who speaks for nothing leaves the word to others"


# the owner's own program


def a_command(path: Path, script: str) -> OwnerCommandProbe:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return OwnerCommandProbe([str(path)], timeout_s=60.0)


def test_the_owners_program_gives_readings_and_what_it_told_is_unknown_once_it_fails(tmp_path: Path) -> None:
    script = tmp_path / "mine"
    command = a_command(script, """echo '{"battery_percent": 12.5, "on_mains": false, "colour": "red"}'""")
    sensors = with_probes(tmp_path, command, Scripted(*[charged(99)] * 3), MemoryAndDiskProbe(tmp_path))
    assert (sensors.read().battery_percent, sensors.read().on_mains) == (12.5, False)
    a_command(script, "exit 1")
    readings = sensors.read()
    assert readings.battery_percent == readings.on_mains == Unknown("mine ended with exit code 1")
    assert isinstance(readings.disk_free_bytes, int)


@pytest.mark.parametrize("said", ["not JSON", "[1]", "", '{"battery_percent": '])
def test_a_program_that_never_answered_gives_the_reason_of_what_is_unknown(tmp_path: Path, said: str) -> None:
    readings = with_probes(
        tmp_path, a_command(tmp_path / "mine", f"echo '{said}'"), MemoryAndDiskProbe(tmp_path)
    ).read()
    assert isinstance(readings.battery_percent, Unknown)
    assert "JSON" in readings.battery_percent.reason
    assert isinstance(readings.disk_free_bytes, int)


def test_a_program_and_the_hold_file_both_hold_and_neither_lets_go_for_the_other(tmp_path: Path) -> None:
    sensors = with_probes(tmp_path, a_command(tmp_path / "mine", """echo '{"held": ""}'"""))
    (tmp_path / "hold").write_text("a patient")
    assert sensors.read().held == "a patient"
    a_command(tmp_path / "mine", """echo '{"held": "by the program"}'""")
    (tmp_path / "hold").unlink()
    assert sensors.read().held == "by the program"
    a_command(tmp_path / "mine", """echo '{"held": 5}'""")
    assert sensors.read().held != "", "a hold that makes no sense holds"


# the clock on the wall


@pytest.mark.parametrize("year", [1970, 2026, 2038, 2106])
def test_the_local_time_is_that_of_the_zone_in_any_year(tmp_path: Path, year: int) -> None:
    now = datetime(year, 1, 19, 3, 14, 8, tzinfo=UTC)
    berlin = zone_of("Europe/Berlin")
    sensors = DeviceSensors(tmp_path, probes=(), zone=berlin, wall=lambda zone: now.astimezone(zone))
    local = sensors.read().local_time
    assert isinstance(local, datetime)
    assert (local.hour, local.tzinfo) == (4, berlin)


def test_a_year_that_cannot_be_is_no_local_time(tmp_path: Path) -> None:
    late = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    local = DeviceSensors(tmp_path, probes=(), zone=UTC, wall=lambda _: late).read().local_time
    assert isinstance(local, Unknown)


def test_a_probe_file_gives_a_local_time_of_the_devices_zone_or_of_its_own(tmp_path: Path) -> None:
    probe = tmp_path / "probe.json"
    sensors = DeviceSensors(tmp_path, probe, probes=(), zone=zone_of("Asia/Kolkata"))
    for said in ("2026-06-01T07:00", "2026-06-01T01:30+00:00"):
        probe.write_text(json.dumps({"local_time": said}))
        local = sensors.read().local_time
        assert isinstance(local, datetime)
        assert (local.hour, local.minute) == (7, 0)
    for nonsense in ("noon", 5, "", "0001-01-01T00:00"):
        probe.write_text(json.dumps({"local_time": nonsense}))
        assert sensors.read().local_time == Unknown(f"the probe file's local_time is {nonsense!r}")


def test_a_probe_file_gives_a_quality_and_what_is_no_share_in_it_is_left_out(tmp_path: Path) -> None:
    told = {"quality": {"accuracy": 0.5, "drift": 7, "agreement": "all", "inferences": 90}}
    assert read_with(tmp_path, told).quality == Quality(accuracy=0.5, inferences=90)
    assert read_with(tmp_path, {"quality": "good"}).quality is None


def test_a_pipe_in_the_place_of_a_file_blocks_no_reading(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hold")
    os.mkfifo(tmp_path / "probe.json")
    readings = DeviceSensors(tmp_path, tmp_path / "probe.json", probes=()).read()
    assert readings.held == "the hold file gives no reason"
    assert isinstance(readings.battery_percent, Unknown)


def test_the_load_is_taken_before_the_programs_of_other_probes_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    (tmp_path / "stat").write_text("cpu  0 0 0 0 0 0 0 0 0 0\n")

    def busy() -> Findings:
        (tmp_path / "stat").write_text("cpu  999 0 0 1000 0 0 0 0 0 0\n")
        return {}

    processor = CpuProbe(dict, tmp_path)
    (tmp_path / "stat").write_text("cpu  10 0 0 90 0 0 0 0 0 0\n")
    assert with_probes(tmp_path, Scripted(busy), processor).read().cpu_percent == 10.0

"""Each probe on small real files, sockets and programs: its readings and reasons."""

from __future__ import annotations

import contextlib
import errno
import importlib
import re
import socket
import stat
import sys
import threading
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from device_client.adapters.sensors.probes import clock, system
from device_client.adapters.sensors.probes.base import Unread
from device_client.adapters.sensors.probes.cpu import CpuProbe
from device_client.adapters.sensors.probes.default_route import DefaultRouteProbe, default_interface
from device_client.adapters.sensors.probes.memory_and_disk import MemoryAndDiskProbe
from device_client.adapters.sensors.probes.metered_link import MeteredLinkProbe
from device_client.adapters.sensors.probes.nut_ups import NutUpsProbe
from device_client.adapters.sensors.probes.pi_firmware import PiFirmwareProbe
from device_client.adapters.sensors.probes.pisugar import PiSugarProbe
from device_client.adapters.sensors.probes.power_supply import PowerSupplyProbe
from device_client.adapters.sensors.probes.run_program import output_of
from device_client.adapters.sensors.probes.wifi_signal import WifiSignalProbe
from device_client.core.conditions.readings import Unknown
from protocol.errors import MissingPart

LONG_S = 30.0  # a busy machine; nothing here takes so long


def files(folder: Path, **content: object) -> Path:
    """Small files as the kernel has them; `__` in a name is a slash."""
    for name, text in content.items():
        path = folder.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder


def a_program(path: Path, script: str) -> tuple[str]:
    """A little program of the shell."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return (str(path),)


MISSING = ("no-such-program-here",)


# programs


def test_a_program_is_asked_for_its_answer(tmp_path: Path) -> None:
    assert output_of((*a_program(tmp_path / "echo", 'echo "$1"'), "hello"), LONG_S) == "hello\n"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exec sleep 60", "tool did not answer within 0.2 s"),
        ("sleep 60 & sleep 60", "tool did not answer within 0.2 s"),  # its children hold the pipe
        ("while :; do echo no end; done", "tool says more than 16384 bytes"),
        ("exit 3", "tool ended with exit code 3"),
    ],
)
def test_a_program_that_hangs_chatters_or_fails_is_a_reason(tmp_path: Path, script: str, told: str) -> None:
    with pytest.raises(Unread) as unread:
        output_of(a_program(tmp_path / "tool", script), LONG_S if "echo" in script or "exit" in script else 0.2)
    assert str(unread.value) == told


def test_a_program_that_is_missing_or_no_program_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(Unread, match="no-such-program-here"):
        output_of(MISSING, LONG_S)
    with pytest.raises(Unread, match="Permission denied"):
        output_of((str(files(tmp_path, plain="text") / "plain"),), LONG_S)


# psutil


def test_without_psutil_the_line_to_type_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "psutil", None)
        with pytest.raises(MissingPart) as missing:
            importlib.reload(system)
    assert missing.value.hint == 'type: pip install "edgeferry[device]"'
    importlib.reload(system)


# CPU


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that psutil reads in place of /proc."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    return tmp_path


def a_processor(folder: Path, chips: Mapping[str, float] | None = None, **more: Any) -> CpuProbe:
    sensors = {name: [SimpleNamespace(current=degrees)] for name, degrees in (chips or {}).items()}
    return CpuProbe(lambda: sensors, folder / "thermal", **more)


def test_the_load_is_the_share_of_busy_time_between_two_readings(proc: Path) -> None:
    files(proc, stat="cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1 1")
    processor = a_processor(proc)
    assert processor.read()["cpu_percent"] == Unknown("no time has passed to measure")
    files(proc, stat="cpu  160 10 110 820 0 0 0 0 0 0")
    assert processor.read()["cpu_percent"] == 80.0


def test_a_load_of_long_ago_is_not_taken_for_one_of_now(proc: Path) -> None:
    now_s, pauses = 0.0, list[float]()
    files(proc, stat="cpu  0 0 0 0 0 0 0 0 0 0")

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        files(proc, stat="cpu  905 0 0 1095 0 0 0 0 0 0")

    processor = a_processor(proc, clock_s=lambda: now_s, pause=pause)
    files(proc, stat="cpu  900 0 0 1000 0 0 0 0 0 0")
    now_s = 9.0
    assert processor.read()["cpu_percent"] == 47.4
    assert pauses == [], "the average of the last seconds will do"
    now_s = 3_600.0
    assert processor.read()["cpu_percent"] == 5.0
    assert pauses == [0.1], "that of the last hour says nothing of now"


@pytest.mark.parametrize("ticks", ["", "cpu  1 2 3", "cpu  a b c d e f g h"])
def test_ticks_that_make_no_sense_are_a_reason(proc: Path, ticks: str) -> None:
    load = a_processor(files(proc, stat=ticks)).read()["cpu_percent"]
    assert isinstance(load, Unknown)


def test_the_temperature_is_that_of_a_cpu_sensor_before_others(tmp_path: Path) -> None:
    files(tmp_path, thermal__thermal_zone0__temp="21000", thermal__thermal_zone0__type="acpitz")
    chips = {"nvme": 61.0, "k10temp": 55.5}
    assert a_processor(tmp_path, chips).read()["temperature_c"] == 55.5
    assert a_processor(tmp_path, {"cpu-thermal": 48.312}).read()["temperature_c"] == 48.312


def test_without_a_cpu_sensor_the_temperature_is_that_of_a_thermal_zone(tmp_path: Path) -> None:
    heat = a_processor(tmp_path, {"nvme": 61.0}).read()["temperature_c"]
    assert heat == Unknown("this device shows no temperature sensor")
    files(tmp_path, thermal__thermal_zone0__temp="21000", thermal__thermal_zone0__type="acpitz")
    assert a_processor(tmp_path, {"nvme": 61.0}).read()["temperature_c"] == 21.0
    files(tmp_path, thermal__thermal_zone1__temp="48312", thermal__thermal_zone1__type="cpu-thermal")
    assert a_processor(tmp_path).read()["temperature_c"] == 48.312
    files(tmp_path, thermal__thermal_zone1__temp="hot")
    heat = a_processor(tmp_path).read()["temperature_c"]
    assert isinstance(heat, Unknown)
    assert "'hot'" in heat.reason


def test_sensors_that_psutil_cannot_read_are_a_reason() -> None:
    def fails() -> Any:
        raise OSError(errno.EIO, "Input/output error")

    assert CpuProbe(fails).read()["temperature_c"] == Unknown("Input/output error")


# memory and disk

MEMORY = """MemTotal: 8000 kB
MemFree: 10 kB
MemAvailable: 4000 kB
Buffers: 1 kB
Cached: 1 kB
SReclaimable: 1 kB
Shmem: 1 kB
Active: 1 kB
Inactive: 1 kB
Slab: 1 kB"""


def test_free_memory_is_what_is_available_and_a_gone_folder_is_a_reason(proc: Path) -> None:
    files(proc, meminfo=MEMORY)
    found = MemoryAndDiskProbe(proc).read()
    assert found["memory_free_bytes"] == 4_096_000
    assert isinstance(found["disk_free_bytes"], int)
    files(proc, meminfo="MemTotal:  8000 kB")
    found = MemoryAndDiskProbe(proc / "gone").read()
    assert all(isinstance(value, Unknown) for value in found.values())


# firmware


@pytest.mark.parametrize(
    ("flags", "throttled", "under_voltage"),
    [("0", False, False), ("50000", False, False), ("50005", True, True), ("1", False, True), ("2", True, False),
     ("e0008", False, False), ("0x4", True, False)],
)  # fmt: skip
def test_the_flags_of_now_are_told_and_those_of_the_past_are_not(
    tmp_path: Path, flags: str, throttled: bool, under_voltage: bool
) -> None:
    board = PiFirmwareProbe(files(tmp_path, flags=flags) / "flags", tmp_path, MISSING)
    assert board.read() == {"throttled": throttled, "under_voltage": under_voltage}


def test_a_board_without_the_file_is_asked_with_vcgencmd(tmp_path: Path) -> None:
    vcgencmd = a_program(tmp_path / "vcgencmd", "echo throttled=0x50005")
    board = PiFirmwareProbe(tmp_path / "none", tmp_path, vcgencmd, timeout_s=LONG_S)
    assert board.read() == {"throttled": True, "under_voltage": True}


def test_a_board_with_the_voltage_sensor_alone_tells_of_the_voltage(tmp_path: Path) -> None:
    files(tmp_path, hwmon0__name="cpu_thermal", hwmon1__name="rpi_volt", hwmon1__in0_lcrit_alarm="1")
    found = PiFirmwareProbe(tmp_path / "none", tmp_path, MISSING).read()
    assert found["under_voltage"] is True
    assert isinstance(found["throttled"], Unknown)


def test_another_board_shows_no_flags_and_lies_are_no_flags(tmp_path: Path) -> None:
    with pytest.raises(Unread, match="firmware flags"):
        PiFirmwareProbe(tmp_path / "none", tmp_path, MISSING).read()
    with pytest.raises(Unread, match="'all is well'"):
        PiFirmwareProbe(files(tmp_path, flags="all is well") / "flags", tmp_path, MISSING).read()


# power supplies

BATTERY = {"BAT0__type": "Battery", "BAT0__status": "Discharging", "BAT0__capacity": "12"}
PLUG = {"AC__type": "Mains", "AC__online": "1"}


def power(folder: Path, **content: object) -> dict[str, object]:
    return dict(PowerSupplyProbe(files(folder, **content), lambda: None).read())


def charge_by_psutil(folder: Path, percent: float | None) -> object:
    battery = None if percent is None else SimpleNamespace(percent=percent)
    return PowerSupplyProbe(folder, lambda: battery).read()["battery_percent"]


def test_a_battery_and_a_plug_are_read(tmp_path: Path) -> None:
    assert power(tmp_path, **BATTERY) == {"battery_percent": 12.0, "on_mains": False}
    assert power(tmp_path, **PLUG)["on_mains"] is True
    assert power(tmp_path, AC__online="0")["on_mains"] is False
    assert power(tmp_path, USB__type="USB", USB__online="1")["on_mains"] is True


@pytest.mark.parametrize(("status", "on_mains"), [("Charging", True), ("Full", True), ("Not charging", True)])
def test_a_battery_alone_tells_of_the_plug_by_its_state(tmp_path: Path, status: str, on_mains: bool) -> None:
    assert power(tmp_path, **(BATTERY | {"BAT0__status": status}))["on_mains"] is on_mains
    unsure = power(tmp_path, BAT0__status="Unknown")["on_mains"]
    assert unsure == Unknown("no power supply says whether it is plugged in")


def test_charge_is_reckoned_where_no_percentage_is_told(tmp_path: Path) -> None:
    files(tmp_path, BAT0__type="Battery", BAT0__charge_now="300", BAT0__charge_full="400")
    assert power(tmp_path)["battery_percent"] == 75.0
    files(tmp_path, BAT1__type="Battery", BAT1__energy_now="100", BAT1__energy_full="400")
    assert power(tmp_path)["battery_percent"] == 50.0, "the mean of two"


def test_the_battery_of_a_mouse_is_not_the_devices(tmp_path: Path) -> None:
    with pytest.raises(Unread, match="shows no power supply"):
        power(tmp_path, mouse__type="Battery", mouse__scope="Device", mouse__capacity="3")
    found = power(tmp_path, **PLUG)
    assert found == {"battery_percent": Unknown("this device has no battery"), "on_mains": True}
    assert isinstance(power(tmp_path, BAT0__type="Battery", BAT0__present="0")["battery_percent"], Unknown)


def test_psutil_is_believed_of_a_single_battery_of_the_device_alone(tmp_path: Path) -> None:
    files(tmp_path, **BATTERY)
    read = [charge_by_psutil(tmp_path, percent) for percent in (75.5, 100.0, 0.0, 103.0, None)]
    assert read == [75.5, 100.0, 12.0, 12.0, 12.0], "the file says 12"
    files(tmp_path, hidpp_battery_0__type="Battery", hidpp_battery_0__scope="Device")
    assert charge_by_psutil(tmp_path, 75.5) == 12.0, "psutil may mean the mouse"
    files(tmp_path, hidpp_battery_0__scope="System", hidpp_battery_0__capacity="50")
    assert charge_by_psutil(tmp_path, 75.5) == 31.0, "psutil means one of the two"


def test_a_battery_that_psutil_cannot_read_is_read_here(tmp_path: Path) -> None:
    def fails() -> Any:
        raise FileNotFoundError("/sys/class/power_supply")

    assert PowerSupplyProbe(files(tmp_path, **BATTERY), fails).read()["battery_percent"] == 12.0


def test_a_battery_that_says_nonsense_is_a_reason(tmp_path: Path) -> None:
    lies = power(tmp_path, **(BATTERY | {"BAT0__capacity": "plenty"}))["battery_percent"]
    assert isinstance(lies, Unknown)
    assert "'plenty'" in lies.reason
    mute = power(tmp_path, BAT1__type="Battery")
    assert isinstance(mute["battery_percent"], Unknown)
    with pytest.raises(Unread, match="shows no power supply"):
        PowerSupplyProbe(tmp_path / "none").read()


# PiSugar


@contextlib.contextmanager
def a_pisugar(address: str | Path, answer: Callable[[str], str]) -> Iterator[str]:
    """Its server: responds to each line by `answer`, until the end of the block."""
    server = socket.create_server(("127.0.0.1", 0)) if address == "tcp" else socket.socket(socket.AF_UNIX)
    if address != "tcp":
        server.bind(str(address))
        server.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                client, _ = server.accept()
                with client, client.makefile("r") as asked:
                    for line in asked:
                        client.sendall(answer(line.strip()).encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield str(address) if address != "tcp" else f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(LONG_S)


def by_the_book(asked: str) -> str:
    return {"get battery": "battery: 12.25\n", "get battery_power_plugged": "battery_power_plugged: false\n"}[asked]


@pytest.mark.parametrize("where", ["unix", "tcp"])
def test_a_pisugar_is_asked_through_its_socket(tmp_path: Path, where: str) -> None:
    with a_pisugar(tmp_path / "socket" if where == "unix" else "tcp", by_the_book) as address:
        assert PiSugarProbe(address, timeout_s=LONG_S).read() == {"battery_percent": 12.25, "on_mains": False}


def test_a_tap_on_the_button_in_between_is_no_answer(tmp_path: Path) -> None:
    with a_pisugar(tmp_path / "socket", lambda asked: "single\n" + by_the_book(asked)) as address:
        assert PiSugarProbe(address, timeout_s=LONG_S).read()["battery_percent"] == 12.25


def test_where_no_pisugar_ever_was_nothing_is_said(tmp_path: Path) -> None:
    assert PiSugarProbe(str(tmp_path / "socket")).read() == {}


def test_a_pisugar_that_goes_away_is_missed(tmp_path: Path) -> None:
    probe = PiSugarProbe(str(tmp_path / "socket"), timeout_s=LONG_S)
    with a_pisugar(tmp_path / "socket", by_the_book):
        assert probe.read()["battery_percent"] == 12.25
    with pytest.raises(Unread, match="Connection refused"):
        probe.read()
    (tmp_path / "socket").unlink()
    with pytest.raises(Unread, match="No such file or directory"):
        probe.read()


def test_a_pisugar_that_says_nothing_of_use_is_a_reason(tmp_path: Path) -> None:
    with a_pisugar(tmp_path / "lies", lambda asked: f"{asked.removeprefix('get ')}: I2C not connected\n") as address:
        assert PiSugarProbe(address, timeout_s=LONG_S).read()["battery_percent"] == "I2C not connected"
    with (
        a_pisugar(tmp_path / "mute", lambda _: "") as address,
        pytest.raises(Unread, match="timed out"),
    ):
        PiSugarProbe(address, timeout_s=0.1).read()
    with (
        a_pisugar(tmp_path / "noise", lambda _: "no end\n" * 100) as address,
        pytest.raises(Unread, match=r"its battery$"),
    ):
        PiSugarProbe(address, timeout_s=LONG_S).read()


# NUT


@pytest.mark.parametrize(
    ("said", "percent", "on_mains"),
    [
        ("battery.charge: 12\nups.status: OB DISCHRG", 12.0, False),
        ("device.model: X: Y\nbattery.charge: 100\nups.status: OL CHRG", 100.0, True),
        ("ups.status: OL", Unknown("upsc does not tell battery.charge"), True),
        ("battery.charge: much\nups.status: OFF", Unknown("upsc says battery.charge: much"),
         Unknown("upsc says ups.status: OFF")),
        ("", Unknown("upsc does not tell battery.charge"), Unknown("upsc does not tell ups.status")),
    ],
)  # fmt: skip
def test_a_supply_of_nut_is_asked_by_its_name(tmp_path: Path, said: str, percent: object, on_mains: object) -> None:
    upsc = a_program(tmp_path / "upsc", f'[ "$1" = ups@host ] || exit 1\ncat <<END\n{said}\nEND')
    assert NutUpsProbe("ups@host", upsc, timeout_s=LONG_S).read() == {"battery_percent": percent, "on_mains": on_mains}
    with pytest.raises(Unread, match=r"^upsc .*\b1$"):
        NutUpsProbe("ups@gone", upsc, timeout_s=LONG_S).read()


# the link

ROUTES = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
wlan0 00000000 0101A8C0 0003 0 0 600 00000000 0 0 0
eth0 00000000 0101A8C0 0003 0 0 100 00000000 0 0 0
ppp0 00000000 0101A8C0 0002 0 0 1 00000000 0 0 0
eth0 0001A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0"""
ROUTES_6 = f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00000003 wwan0"


def test_the_interface_is_that_of_the_cheapest_default_route_that_is_up(tmp_path: Path) -> None:
    files(tmp_path, four=ROUTES, six=ROUTES_6, none="Iface Destination")
    assert default_interface(tmp_path / "four", tmp_path / "six") == "eth0"
    assert default_interface(tmp_path / "none", tmp_path / "six") == "wwan0"
    with pytest.raises(Unread, match="default route"):
        default_interface(tmp_path / "none", tmp_path / "none-6")


@pytest.mark.parametrize(
    ("interface", "has", "kind"),
    [("wlan0", "wireless/x", "wifi"), ("wlp2s0", "phy80211/x", "wifi"), ("wwan0", "type", "cellular"),
     ("usb0", "type", "cellular"), ("lan", "device/x", "ethernet"), ("enp3s0", "type", "ethernet"),
     ("tun0", "type", "other")],
)  # fmt: skip
def test_the_kind_of_the_link_is_told_by_its_folder(tmp_path: Path, interface: str, has: str, kind: str) -> None:
    folder = files(tmp_path / "net" / interface, type="1")
    (folder / has).parent.mkdir(exist_ok=True)
    (folder / has).touch()
    routes = files(tmp_path, routes=ROUTES.replace("eth0", interface)) / "routes"
    assert DefaultRouteProbe(tmp_path / "net", routes, tmp_path / "six").read() == {"link_kind": kind}


@pytest.mark.parametrize(
    ("word", "metered"), [("yes", True), ("no", False), ("yes (guessed)", True), ("no (guessed)", False)]
)
def test_network_manager_is_asked_for_the_interface_and_its_guess_counts(
    tmp_path: Path, word: str, metered: bool
) -> None:
    script = f'[ "$*" = "-t -f GENERAL.METERED device show wlan0" ] && echo "GENERAL.METERED:{word}"'
    nmcli = a_program(tmp_path / "nmcli", script)
    assert MeteredLinkProbe(nmcli, MISSING, interface=lambda: "wlan0", timeout_s=LONG_S).read() == {"metered": metered}


@pytest.mark.parametrize(("number", "metered"), [(1, True), (2, False), (3, True), (4, False)])
def test_without_nmcli_the_bus_is_asked(tmp_path: Path, number: int, metered: bool) -> None:
    busctl = a_program(tmp_path / "busctl", f"echo u {number}")
    assert MeteredLinkProbe(MISSING, busctl, interface=lambda: "wlan0", timeout_s=LONG_S).read() == {"metered": metered}


def test_each_source_that_does_not_know_of_metering_is_named(tmp_path: Path) -> None:
    nmcli = a_program(tmp_path / "nmcli", "echo GENERAL.METERED:unknown")
    busctl = a_program(tmp_path / "busctl", "echo u 0")
    with pytest.raises(Unread, match=r"'unknown'; .*'u 0'"):
        MeteredLinkProbe(nmcli, busctl, interface=lambda: "wlan0", timeout_s=LONG_S).read()
    with pytest.raises(Unread, match=r"no-such-program-here .*; no-such-program-here"):
        MeteredLinkProbe(MISSING, MISSING, interface=lambda: "wlan0").read()


WIRELESS = """Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
 wlan0: 0000   54.  -56.  -256        0      0      0      0      0        0
 wlan1: 0000   54.  190.  -256        0      0      0      0      0        0
 wlan2: 0000"""


def test_the_signal_is_the_level_of_the_interface(tmp_path: Path) -> None:
    table = files(tmp_path, wireless=WIRELESS) / "wireless"
    assert WifiSignalProbe(table, interface=lambda: "wlan0").read() == {"wifi_signal_dbm": -56.0}
    assert WifiSignalProbe(table, interface=lambda: "wlan1").read() == {"wifi_signal_dbm": -66.0}
    for interface, told in (("wlan2", "level"), ("eth0", "eth0")):
        with pytest.raises(Unread, match=told):
            WifiSignalProbe(table, interface=partial(str, interface)).read()
    with pytest.raises(Unread, match=r"^this device .*Wi-Fi"):
        WifiSignalProbe(tmp_path / "none").read()


# the clock


def test_a_zone_knows_of_daylight_saving_and_a_wrong_name_is_told() -> None:
    berlin = clock.zone_of("Europe/Berlin")
    offsets = [datetime(2026, month, 1, tzinfo=UTC).astimezone(berlin).utcoffset() for month in (1, 7)]
    assert offsets[0] != offsets[1]
    for name in ("Europe/Berln", "../passwd", "", "Europe"):
        with pytest.raises(ValueError, match=re.escape(repr(name))):
            clock.zone_of(name)


def test_the_systems_zone_is_that_of_its_link_unless_the_environment_says_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    july = datetime(2026, 7, 1, tzinfo=UTC)
    zones = next(Path(folder) for folder in zoneinfo.TZPATH if Path(folder, "Europe/Berlin").exists())
    monkeypatch.delenv("TZ", raising=False)
    (tmp_path / "localtime").symlink_to(zones / "Europe/Berlin")
    assert july.astimezone(clock.system_zone(tmp_path / "localtime")).hour == 2
    monkeypatch.setenv("TZ", ":Asia/Kolkata")
    assert july.astimezone(clock.system_zone(tmp_path / "localtime")).minute == 30
    monkeypatch.setenv("TZ", "Nowhere/At-All")
    assert july.astimezone(clock.system_zone(tmp_path / "none")).tzinfo is not None


def test_a_mark_of_the_time_service_is_believed(tmp_path: Path) -> None:
    (tmp_path / "synchronized").touch()
    assert clock.synchronised(tmp_path / "synchronized")
    assert clock.synchronised(tmp_path / "none") in (True, False)

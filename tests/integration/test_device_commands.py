"""`device-client` beside a broker: a clean end, and a doctor with remedies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from protocol.topics import Kind
from tests.brokers import Mosquitto, mosquitto, mosquitto_with_users, readable_folder, url_of
from tests.builders import an_authority
from tests.integration.command_result import CommandResult
from tests.integration.fleet import DeviceFolder, a_device, run_command, running
from tests.integration.fleet_observer import observing
from tests.integration.unchecked_publisher import Source, UncheckedPublisher

CLOSED = "mqtt://127.0.0.1:1"


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as running_broker:
        yield running_broker


def test_sigterm_ends_it_cleanly_with_its_last_window_and_without_a_will(
    broker: Mosquitto, digits: Path, tmp_path: Path
) -> None:
    known = tmp_path / "x.npz"
    np.savez(known, x=np.random.default_rng(9).uniform(0, 1, (40, 784)).astype(np.float32))
    with UncheckedPublisher(url_of(broker), tmp_path) as publisher, observing(url_of(broker)) as observer:
        publisher.add_version("1.0.0", Source.of(digits / "digits.tflite"))
        root = publisher.authority.root
        pi = a_device(tmp_path / "pi", "pi", broker.url, root, feedback={"every_s": 3_600.0})
        publisher.announce("1.0.0")
        with running(pi, "--replay", str(known), "--rate", "100") as process:
            observer.state("pi", "committed")
            assert process.stop() == 0, process.stderr
        offline = observer.wait(Kind.PRESENCE, lambda says: not says["online"], device="pi")
        assert "at" in offline, "a last will knows no time: this was said by the device itself"
        window = observer.wait(Kind.FEEDBACK, lambda says: says["version"] == "1.0.0", device="pi")
    (line,) = process.stdout.splitlines()
    counts = json.loads(line)
    assert counts["failed"] == 0
    assert counts["predictions"] == window["inferences"] > 0
    assert "Traceback" not in process.stderr


def test_a_killed_device_is_told_of_by_its_will(broker: Mosquitto, tmp_path: Path) -> None:
    with observing(url_of(broker)) as observer:
        pi = a_device(tmp_path / "pi", "pi-9", broker.url, an_authority().root)
        with running(pi) as process:
            online = observer.wait(Kind.PRESENCE, lambda says: says["online"], device="pi-9")
            process.kill()
            offline = observer.wait(Kind.PRESENCE, lambda says: not says["online"], device="pi-9")
    assert offline["session"] == online["session"]
    assert "at" not in offline


# --- doctor


def examined(pi: DeviceFolder) -> dict[str, dict[str, str]]:
    """What the doctor found, by name."""
    result = run_command("doctor", "--config", str(pi.config), "--json")
    result.is_plain()
    found = json.loads(result.out)
    checks = {check["name"]: check for check in found["checks"]}
    bad = any(check["level"] == "bad" for check in checks.values())
    assert (found["well"], result.code) == (not bad, int(bad))
    return checks


def test_the_doctor_finds_a_good_device_well_also_while_it_runs(broker: Mosquitto, tmp_path: Path) -> None:
    pi = a_device(tmp_path / "pi", "pi", broker.url, an_authority().root)
    checks = examined(pi)
    assert list(checks) == ["runtime", "root", "state folder", "disk", "clock", "broker", "status of digits"]
    assert {name for name, check in checks.items() if check["level"] == "bad"} == set()
    assert "opened and ran a model" in checks["runtime"]["found"]
    with observing(url_of(broker)) as observer, running(pi) as process:
        observer.state("pi", "idle")
        checks = examined(pi)
        assert f"process {process.popen.pid} already runs" in checks["state folder"]["found"]
        assert all(check["level"] != "bad" for check in checks.values())
        assert process.alive
    result = run_command("doctor", "--config", str(pi.config))
    assert result.code == 0
    assert "ok    broker: " in result.out


def test_an_unsynchronised_clock_is_a_warning_and_no_failure(broker: Mosquitto, tmp_path: Path) -> None:
    probe = tmp_path / "probe.json"
    pi = a_device(tmp_path / "pi", "pi", broker.url, an_authority().root, probe_file=str(probe))
    for synchronised, level in ((True, "ok"), (False, "warn"), (None, "warn")):
        probe.write_text(json.dumps({"clock_synchronised": synchronised}))
        clock = examined(pi)["clock"]
        assert clock["level"] == level
        assert ("timedatectl" in clock["fix"]) is (level == "warn")


@dataclass(frozen=True)
class Ailment:
    """What is done to a good device, and what the doctor must say of it."""

    check: str
    found: str
    fix: str
    ail: Callable[[DeviceFolder], object]


def a_file_for_a_folder(pi: DeviceFolder) -> None:
    pi.state.write_text("in the way")


AILMENTS = {
    "no root": Ailment("root", "cannot be read", "publisher enroll", lambda pi: (pi.path / "root.json").unlink()),
    "half a root": Ailment(
        "root", "is no root metadata", "publisher enroll", lambda pi: (pi.path / "root.json").write_text("{")
    ),
    "no state folder": Ailment("state folder", "cannot be used", "check who owns it", a_file_for_a_folder),
}


@pytest.mark.parametrize("case", AILMENTS)
def test_each_ailment_has_its_remedy(broker: Mosquitto, tmp_path: Path, case: str) -> None:
    ailment = AILMENTS[case]
    pi = a_device(tmp_path / "pi", "pi", broker.url, an_authority().root)
    ailment.ail(pi)
    check = examined(pi)[ailment.check]
    assert check["level"] == "bad"
    assert ailment.found in check["found"]
    assert ailment.fix in check["fix"]


def test_a_broker_that_is_down_is_told_by_its_address(tmp_path: Path) -> None:
    check = examined(a_device(tmp_path / "pi", "pi", CLOSED, an_authority().root))["broker"]
    assert (check["level"], check["found"]) == ("bad", "no broker listens at 127.0.0.1:1")
    assert check["fix"] == "check `broker` in device.toml, and that the broker runs"


def test_too_little_disk_for_any_update_is_bad(broker: Mosquitto, tmp_path: Path) -> None:
    pi = a_device(tmp_path / "pi", "pi", broker.url, an_authority().root, conditions={"disk_min_bytes": 10**15})
    disk = examined(pi)["disk"]
    assert disk["level"] == "bad"
    assert "under the 1,000,000,000 MB of disk_min_bytes: no update begins" in disk["found"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mosquitto reads an ACL file of another user only as root")
def test_rights_that_are_missing_on_the_broker_are_told_with_the_line_to_write(tmp_path: Path) -> None:
    acl = readable_folder() / "acl"
    acl.write_text("user pi\ntopic read fleet/v1/#\n")
    acl.chmod(0o644)
    with mosquitto_with_users({"pi": "pi"}, f"acl_file {acl}") as strict:
        pi = a_device(tmp_path / "pi", "pi", strict.url, an_authority().root, user="pi", password="pi")
        status = examined(pi)["status of digits"]
    assert status["level"] == "bad"
    assert "let user 'pi' write fleet/v1/devices/pi/#" in status["fix"]


def said_in_columns(result: CommandResult) -> list[str]:
    return [line[:4].strip() for line in result.out.splitlines() if not line.startswith("      ->")]


def test_the_doctor_speaks_in_lines_that_a_person_can_scan(tmp_path: Path) -> None:
    result = run_command("doctor", "--config", str(a_device(tmp_path / "pi", "pi", CLOSED, an_authority().root).config))
    assert set(said_in_columns(result)) <= {"ok", "warn", "bad"}
    assert "\n      -> check `broker` in device.toml" in result.out

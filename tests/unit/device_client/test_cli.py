"""`device-client` without a broker: a plain message and an exit code per mistake."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from device_client.adapters.storage.journal import Journal
from device_client.cli import COMMANDS, main, make_group
from device_client.core.state import Phase
from device_client.core.status import status_of
from device_client.engine.status_log import next_entry
from tests.builders import an_authority
from tests.life import Life
from tests.states import brought_to, settled

PROJECT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "root.json").write_bytes(an_authority().root)
    path = tmp_path / "device.toml"
    path.write_text('device = "pi-1"\nbroker = "mqtt://127.0.0.1:1"\n')
    return path


Run = Callable[..., Result]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process."""

    def run(*words: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["device-client", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capfd.readouterr()
        assert "Traceback" not in printed.err
        return Result(int(ended.value.code or 0), printed.out, printed.err)

    return run


def test_a_mistake_in_the_settings_is_one_line_and_a_hint(config: Path, run: Run) -> None:
    config.write_text('device = "pi-1"\nbrokr = "mqtt://x"\n')
    for command in ("run", "status", "doctor"):
        done = run(command, "--config", config)
        assert done.code == 2
        assert done.err == (f"error: {config}, line 2: there is no setting 'brokr'\nhint: did you mean 'broker'?\n")


ROOTS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "cannot be read: No such file or directory"),
    "no JSON": (b"root", "is no root metadata"),
    "another JSON": (b"{}", "is no root metadata"),
    "nested": (b"[" * 100_000, "is no root metadata"),
    "endless": (b"{" + b" " * 600_000, "is no root metadata"),
}


@pytest.mark.parametrize("case", ROOTS)
def test_a_root_that_is_none_says_where_one_comes_from(config: Path, case: str, run: Run) -> None:
    content, told = ROOTS[case]
    root = config.with_name("root.json")
    root.unlink()
    if content is not None:
        root.write_bytes(content)
    done = run("run", "--config", config)
    assert done.code == 2
    assert str(root) in done.err
    assert told in done.err
    assert "publisher enroll DEVICE" in done.err


def test_another_roles_metadata_is_no_root(config: Path, run: Run) -> None:
    config.with_name("root.json").write_bytes(an_authority().metadata["timestamp.json"])
    done = run("run", "--config", config)
    assert (done.code, "is no root metadata" in done.err) == (2, True)


def test_status_of_a_device_that_never_ran_says_so(config: Path, run: Run) -> None:
    done = run("status", "--config", config)
    assert (done.code, done.err) == (0, "")
    assert "installed    nothing" in done.out
    assert "why          no plan has been seen yet" in done.out
    facts = json.loads(run("status", "--config", config, "--json").out)
    assert facts["device"] == "pi-1"
    assert facts["models"][0]["installed_version"] is None


def test_predict_before_a_version_is_installed_says_who_fetches_one(config: Path, run: Run) -> None:
    data = config.with_name("x.npz")
    np.savez(data, x=np.zeros((2, 784), np.float32))
    done = run("predict", data, "--config", config)
    assert (done.code, done.out) == (9, "")
    assert done.err == ("error: no version of digits is installed here yet\nhint: `device-client run` fetches one\n")


def test_a_model_or_row_that_is_not_there_is_named(config: Path, run: Run) -> None:
    data = config.with_name("x.npz")
    np.savez(data, x=np.zeros((2, 784), np.float32))
    for words in (("status", "--model", "birds"), ("why", "birds")):
        done = run(*words, "--config", config)
        assert (done.code, done.err) == (2, "error: this device has no model 'birds'\nhint: it has digits\n")
    done = run("predict", data, "--config", config, "--row", "2")
    assert (done.code, done.err) == (2, f"error: {data} has 2 rows; there is no row 2\n")


REPLAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no npz": (lambda path: path.write_bytes(b"text"), "is no .npz of arrays"),
    "half an npz": (lambda path: path.write_bytes(path.read_bytes()[:300]), "is no .npz of arrays"),
    "a bare array": (lambda path: path.write_bytes(npy()), "is no .npz of arrays"),
    "objects": (lambda path: np.savez(path, x=np.array([print], dtype=object)), "is no .npz of arrays"),
    "no x": (lambda path: np.savez(path, images=np.zeros(3)), "has no array x"),
    "one number": (lambda path: np.savez(path, x=np.float32(1)), "has an x of shape [], which"),
    "a row": (lambda path: np.savez(path, x=np.zeros(784)), "has an x of shape [784], which holds no rows"),
    "no rows": (lambda path: np.savez(path, x=np.zeros((0, 784))), "has 0 inputs"),
    "too few labels": (lambda path: np.savez(path, x=np.zeros((3, 784)), y=np.zeros(2)), "has 3 inputs and 2 labels"),
    "words": (lambda path: np.savez(path, x=np.array(["a", "b"])), "is no .npz of arrays"),
    "missing": (lambda path: path.unlink(), "there is no"),
}


def npy() -> bytes:
    held = io.BytesIO()
    np.save(held, np.zeros((3, 784), np.float32))
    return held.getvalue()


@pytest.mark.parametrize("case", REPLAYS)
def test_a_replay_that_is_none_is_refused_before_anything_runs(config: Path, case: str, run: Run) -> None:
    data = config.with_name("x.npz")
    np.savez(data, x=np.zeros((3, 784), np.float32))
    spoil, told = REPLAYS[case]
    spoil(data)
    done = run("run", "--config", config, "--replay", data)
    assert done.code == 2
    assert str(data) in done.err
    assert told in done.err
    assert "numpy.savez(" in done.err
    assert not config.with_name("state").exists()


def test_why_of_a_device_that_never_ran_says_what_to_type_and_leaves_no_trace(config: Path, run: Run) -> None:
    done = run("why", "--config", config)
    assert (done.code, done.err) == (10, "")
    assert done.out.startswith("pi-1 / digits: device-client has never run here\n")
    assert "* device-client run" in done.out
    assert not config.with_name("state").exists()


def remember(config: Path, life: Life) -> Journal:
    """The journal of a device in this state; its holder counts as running."""
    journal = Journal(config.with_name("state") / "journal.db")
    journal.save("digits", life.device.model_dump_json().encode())
    status = status_of(life.policy, life.state, at=datetime.now(UTC), next_check=datetime.now(UTC) + timedelta(hours=3))
    journal.save_log_entry("digits", next_entry(None, status, life.state.moment).model_dump_json().encode())
    return journal


def test_why_answers_while_the_device_runs_and_when_it_does_not(config: Path, run: Run) -> None:
    journal = remember(config, brought_to(settled(), Phase.COMMITTED))
    done = run("why", "digits", "--config", config)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("pi-1 / digits: it is up to date: runs 2.0.0, as plan 2 asks")
    assert f"process {os.getpid()}" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    journal.close()
    done = run("why", "--config", config, "--json")
    [answer] = json.loads(done.out)["models"]
    assert (done.code, answer["stuck"]) == (10, True)
    assert answer["headline"] == "device-client does not run here, so nothing is updated"
    assert answer["facts"]["runs"] == "2.0.0 (float32)"


def test_why_looks_at_the_device_as_it_is_now(config: Path, run: Run) -> None:
    probes = config.with_name("probes.json")
    probes.write_text('{"battery_percent": 12, "on_mains": false, "memory_free_bytes": 900000000}')
    config.write_text(config.read_text() + 'probe_file = "probes.json"\n')
    journal = remember(config, brought_to(settled(), Phase.DEFERRED))
    done = run("why", "--config", config)
    journal.close()
    assert done.code == 10
    assert "  no battery      battery 12 % is under 30 % [safety]" in done.out
    assert "[conditions] battery_min_percent = 30\n" in done.out


@pytest.mark.parametrize("command", ["status", "why"])
def test_a_journal_that_cannot_be_read_is_one_line_and_a_way_out(command: str, config: Path, run: Run) -> None:
    path = config.with_name("state") / "journal.db"
    remember(config, settled()).close()
    with contextlib.closing(Journal(path)) as journal:
        journal.save("digits", b'{"phase": "dreaming"}')
    done = run(command, "--config", config)
    assert (done.code, done.out) == (2, "")
    assert ": phase" in done.err
    path.write_bytes(b"no database at all" * 100)
    done = run(command, "--config", config)
    assert (done.code, done.out) == (2, "")
    assert ": file is not a database\n" in done.err
    assert "`device-client run`" in done.err


def test_status_tells_the_next_check_in_the_time_of_the_device(config: Path, run: Run) -> None:
    remember(config, brought_to(settled(), Phase.DEFERRED)).close()
    done = run("status", "--config", config)
    assert done.code == 0
    assert "  why          battery 5 % is under 30 %" in done.out
    assert re.search(r"^  next check   \S+.* \(in 3 h\)$", done.out, re.MULTILINE)


def test_help_loads_neither_numpy_nor_a_runtime() -> None:
    program = (
        "import sys; sys.argv = ['device-client', '--help']\n"
        "from device_client.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'tflite_runtime', 'ai_edge_litert', 'psutil', 'paho', 'tuf'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("run", "status", "why", "predict", "doctor"):
        assert command in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_is_how_its_own_help_begins(name: str) -> None:
    text = make_group().commands[name].command.help  # type: ignore[attr-defined] # a LazyCommand
    assert " ".join(text.partition("\n\n")[0].split()) == COMMANDS[name][1]


def test_the_package_offers_what_an_application_needs_and_loads_it_when_used() -> None:
    program = (
        "import sys, device_client\n"
        "heavy = {'numpy', 'pydantic', 'tflite_runtime', 'ai_edge_litert', 'paho', 'tuf'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert all(getattr(device_client, name).__name__ == name for name in device_client.__all__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

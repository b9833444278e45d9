"""The `device-client` command without a broker: one plain message and an exit code for each mistake."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from device_client.cli import main
from tests.builders import an_authority

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "root.json").write_bytes(an_authority().root)
    path = tmp_path / "device.toml"
    path.write_text('device = "pi-1"\nbroker = "mqtt://127.0.0.1:1"\n')
    return path


def say(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> Said:
    monkeypatch.setattr(sys, "argv", ["device-client", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    heard = capfd.readouterr()
    assert "Traceback" not in heard.err
    return Said(int(ended.value.code or 0), heard.out, heard.err)


def test_a_mistake_in_the_settings_is_one_line_and_a_hint(
    config: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('device = "pi-1"\nbrokr = "mqtt://x"\n')
    for command in ("run", "status", "doctor"):
        said = say(capfd, monkeypatch, command, "--config", config)
        assert said.code == 2
        assert said.err == (f"error: {config}, line 2: there is no setting 'brokr'\nhint: did you mean 'broker'?\n")


ROOTS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "cannot be read: No such file or directory"),
    "no JSON": (b"root", "is no root metadata"),
    "another JSON": (b"{}", "is no root metadata"),
    "nested": (b"[" * 100_000, "is no root metadata"),
    "endless": (b"{" + b" " * 600_000, "is no root metadata"),
}


@pytest.mark.parametrize("case", ROOTS)
def test_a_root_that_is_none_says_where_one_comes_from(
    config: Path, case: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content, told = ROOTS[case]
    root = config.with_name("root.json")
    root.unlink()
    if content is not None:
        root.write_bytes(content)
    said = say(capfd, monkeypatch, "run", "--config", config)
    assert said.code == 2
    assert str(root) in said.err
    assert told in said.err
    assert "hint: `publisher enroll DEVICE --out FOLDER` writes root.json" in said.err


def test_another_roles_metadata_is_no_root(
    config: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config.with_name("root.json").write_bytes(an_authority().metadata["timestamp.json"])
    said = say(capfd, monkeypatch, "run", "--config", config)
    assert (said.code, "is no root metadata" in said.err) == (2, True)


def test_status_of_a_device_that_never_ran_says_so(
    config: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = say(capfd, monkeypatch, "status", "--config", config)
    assert (said.code, said.err) == (0, "")
    assert "installed  nothing" in said.out
    assert "why        no plan has been seen yet" in said.out
    facts = json.loads(say(capfd, monkeypatch, "status", "--config", config, "--json").out)
    assert facts["device"] == "pi-1"
    assert facts["models"][0]["installed_version"] is None


def test_predict_before_a_version_is_installed_says_who_fetches_one(
    config: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = config.with_name("x.npz")
    np.savez(data, x=np.zeros((2, 784), np.float32))
    said = say(capfd, monkeypatch, "predict", data, "--config", config)
    assert (said.code, said.out) == (9, "")
    assert said.err == ("error: no version of digits is installed here yet\nhint: `device-client run` fetches one\n")


def test_a_model_or_row_that_is_not_there_is_named(
    config: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = config.with_name("x.npz")
    np.savez(data, x=np.zeros((2, 784), np.float32))
    said = say(capfd, monkeypatch, "status", "--config", config, "--model", "birds")
    assert (said.code, said.err) == (2, "error: this device has no model 'birds'\nhint: it has digits\n")
    said = say(capfd, monkeypatch, "predict", data, "--config", config, "--row", "2")
    assert (said.code, said.err) == (2, f"error: {data} has 2 rows; there is no row 2\n")


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
def test_a_replay_that_is_none_is_refused_before_anything_runs(
    config: Path, case: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = config.with_name("x.npz")
    np.savez(data, x=np.zeros((3, 784), np.float32))
    spoil, told = REPLAYS[case]
    spoil(data)
    said = say(capfd, monkeypatch, "run", "--config", config, "--replay", data)
    assert said.code == 2
    assert str(data) in said.err
    assert told in said.err
    assert "hint: make it with numpy.savez(FILE, x=inputs, y=true_classes)" in said.err
    assert not config.with_name("state").exists()


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
    for command in ("run", "status", "predict", "doctor"):
        assert command in done.stdout

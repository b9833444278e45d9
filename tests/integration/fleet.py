"""Real device processes on this machine, and their folders.

Processes are started and ended by their own ids. Brokers are in tests/brokers.py,
releases in unchecked_publisher.py, what devices publish in fleet_observer.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from device_client.core.state import Device
from tests.integration.command_result import CommandResult
from tests.recorder import WITHIN_S, poll_until

PROJECT: Final = Path(__file__).resolve().parents[2]
COMMAND: Final = (sys.executable, "-c", "from device_client.cli import main; main()")
CHUNK_BYTES: Final = 61_440
BRISK: Final[dict[str, dict[str, Any]]] = {
    "strategy": {"recheck_s": 0.5},
    "conditions": {
        "cpu_max_percent": 100.0,  # six programs share this machine
        "temperature_max_c": 200.0,
        "round_trip_max_ms": 60_000.0,
        "memory_min_bytes": 0,
        "disk_min_bytes": 0,
    },
    "download": {"retry_min_s": 0.5, "retry_max_s": 1.0, "absent_grace_s": 0.3, "chunk_timeout_s": 5.0},
    "trial": {
        "labels_wait_s": 0.0,
        "accuracy_drop_max": 0.2,
        "probation_share": 1.0,
        "probation_inferences": 20,
        "probation_min_s": 0.3,
        "poll_s": 0.1,
        "latency_floor_ms": 10_000.0,  # nothing is timed on a busy machine
        "restarts_max": 50,
    },
    "feedback": {"every_s": 1.0},
}


@dataclass(slots=True)
class DeviceFolder:
    """A device's folder, as `publisher enroll` writes it, with the device's state."""

    path: Path
    device: str

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.path / "device.toml"

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.path / "state"

    def files(self, model: str = "digits") -> Path:
        """The folder of a model's files."""
        return self.state / "models" / model

    def remembered(self, model: str = "digits") -> Device | None:
        """What the journal holds, read beside the device and without touching it."""
        rows = self._rows("SELECT json FROM state WHERE model = ?", model)
        return Device.model_validate_json(rows[0][0]) if rows else None

    def outbox(self, kind: str = "event") -> dict[str, bytes]:
        """What no broker has acknowledged, by event id."""
        return dict(self._rows("SELECT event_id, payload FROM outbox WHERE kind = ?", kind))

    def until_delivered(self, within_s: float = WITHIN_S) -> None:
        """Wait until no outcome is left in the outbox."""
        poll_until(lambda: not self.outbox(), within_s, lambda: f"never acknowledged: {self.outbox()}")

    def _rows(self, query: str, argument: str) -> list[Any]:
        journal = self.state / "journal.db"
        if not journal.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True, timeout=30)) as database:
            try:
                return database.execute(query, (argument,)).fetchall()
            except sqlite3.OperationalError as early:  # killed before the tables were made
                if "no such table" not in str(early):
                    raise
                return []

    def check_files(self, model: str = "digits") -> None:
        """Check that the live file and `current.tflite` have the hash of their name."""
        folder, device = self.files(model), self.remembered(model)
        current = folder / "current.tflite"
        shown = [current.resolve(strict=True)] if current.is_symlink() else []
        lives = [folder / "files" / device.live.variant.sha256] if device and device.live else []
        for path in (*shown, *lives):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def a_device(
    folder: Path, device: str, broker: str, root: bytes, *, variant: str | None = None, **changes: Any
) -> DeviceFolder:
    """Write a device's folder with short delays.

    `changes` are keys or whole sections, merged. `variant`: the only one that it takes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "root.json").write_bytes(root)
    top: dict[str, Any] = {"device": device, "broker": broker}
    sections = {name: dict(section) for name, section in BRISK.items()}
    for name, value in changes.items():
        if isinstance(value, dict):
            if "kind" in value:
                sections.pop(name, None)  # another kind of strategy has other keys
            sections.setdefault(name, {}).update(value)
        else:
            top[name] = value
    only = f'\n[[models]]\nname = "digits"\nvariant = "{variant}"\n' if variant else ""
    (folder / "device.toml").write_text(toml(top, sections) + only)
    return DeviceFolder(folder, device)


def toml(top: Mapping[str, Any], sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Settings as text; TOML reads numbers, texts, lists and booleans as JSON writes
    them.
    """
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for name, section in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


@dataclass(slots=True)
class Process:
    """One life of a program; what it says is in two files."""

    popen: subprocess.Popen[bytes]
    out: Path
    err: Path
    _ended: bool = field(default=False)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen.poll() is None

    @property
    def stdout(self) -> str:
        """Its stdout so far."""
        return self.out.read_text()

    @property
    def stderr(self) -> str:
        """Its stderr so far."""
        return self.err.read_text()

    def kill(self) -> None:
        """As a power cut would."""
        self.popen.kill()
        self.popen.wait(WITHIN_S)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(WITHIN_S)

    def wait_for_stderr(self, text: str, within_s: float = WITHIN_S) -> None:
        """Wait for a word on stderr."""

        def written() -> bool:
            found = text in self.stderr
            assert found or self.alive, f"it has ended: {self.stderr}"
            return found

        poll_until(written, within_s, lambda: f"{text!r} is not in {self.stderr}")


def start(folder: DeviceFolder, *command: str) -> Process:
    """Start a program in a device's folder; no setting of ours gets into it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGEFERRY_")}
    environment["PYTHONPATH"] = str(PROJECT)
    out, err = folder.path / "stdout", folder.path / "stderr"
    with out.open("ab") as said, err.open("ab") as grumbled:
        popen = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=grumbled, env=environment, cwd=folder.path
        )
    return Process(popen, out, err)


def run_device(folder: DeviceFolder, *arguments: str) -> Process:
    """`device-client run` as a process."""
    return start(folder, *COMMAND, "run", "--config", str(folder.config), *arguments)


@contextlib.contextmanager
def running(folder: DeviceFolder, *arguments: str) -> Iterator[Process]:
    """The same for a `with` block; kills it at the end if it still runs."""
    process = run_device(folder, *arguments)
    try:
        yield process
    finally:
        if process.alive:
            process.kill()


def run_command(*arguments: str, **more: Any) -> CommandResult:
    """Run a `device-client` command to its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGEFERRY_")}
    environment |= {"PYTHONPATH": str(PROJECT)} | more.pop("env", {})
    done = subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False, **more
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)

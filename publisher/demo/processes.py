"""The processes of the demo: a broker and devices. Each is ended by its own handle."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from protocol.errors import FerryError, MissingPart

LOOPBACK: Final = "127.0.0.1"
LISTENS_WITHIN_S: Final = 15.0
ENDS_WITHIN_S: Final = 10.0
TERMINATED: Final = 143  # as the shell counts SIGTERM
SYSTEM_FOLDERS: Final = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"  # Debian's mosquitto may not be on PATH


@dataclass(frozen=True, slots=True)
class DemoProcess:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def log_tail(self, lines: int = 12) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Processes:
    """Ends what was started in its `with` block, last first; also on SIGTERM."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends = ExitStack()
        self._terminated = False
        self.children: list[DemoProcess] = []

    def __enter__(self) -> Self:
        self._ends.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, self._on_sigterm))
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def start(self, name: str, *command: str) -> DemoProcess:
        """Start a process; its stdout and stderr go to `<name>.log`."""
        log = self._folder / f"{name}.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EDGEFERRY_")}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment,
                start_new_session=True,  # Ctrl-C reaches the demo only, which then ends its children
            )  # fmt: skip
        child = DemoProcess(name, process, log)
        self.children.append(child)
        self._ends.callback(_end, process)
        return child

    def check_alive(self) -> None:
        """Raise FerryError with the end of the log if a process has ended."""
        if self._terminated:
            sys.exit(TERMINATED)
        for child in self.children:
            if child.process.poll() is not None:
                raise FerryError(f"{child.name} has ended by itself:\n{child.log_tail()}")

    def _on_sigterm(self, *_: object) -> None:
        self._terminated = True  # SystemExit may be swallowed within an import or a callback
        sys.exit(TERMINATED)


def start_broker(processes: Processes, folder: Path, *, embedded: bool) -> tuple[str, str]:
    """Start mosquitto or else the embedded broker; return its name and URL."""
    port = _free_port()
    program = None if embedded else shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}")
    if program:
        settings = folder / "mosquitto.conf"
        settings.write_text(
            f"listener {port} {LOOPBACK}\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n"
        )
        child = processes.start("mosquitto", program, "-c", str(settings))
    else:
        child = processes.start(
            "embedded-broker", sys.executable, "-m", "publisher.embedded_broker", "--port", str(port)
        )
    _wait_until_listening(child, port)
    return child.name, f"mqtt://{LOOPBACK}:{port}"


def start_device(
    processes: Processes, folder: Path, recording: Path, *, rate_hz: float, label_share: float
) -> DemoProcess:
    """Run a device from its enrolled folder; its application replays a recording."""
    return processes.start(
        folder.name, sys.executable, "-m", "device_client", "run", "--config", str(folder / "device.toml"),
        "--replay", str(recording), "--rate", f"{rate_hz:g}", "--label-share", f"{label_share:g}",
    )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _wait_until_listening(child: DemoProcess, port: int) -> None:
    until_s = time.monotonic() + LISTENS_WITHIN_S
    while time.monotonic() < until_s and child.process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.05)
    raise MissingPart(f"{child.name} does not answer on port {port}:\n{child.log_tail()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

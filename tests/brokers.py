"""Real brokers for tests: mosquitto or the embedded broker, on a free loopback port.

Each stops by its own process id or thread, and starts again on the same port, empty.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from protocol.mqtt.broker_url import BrokerUrl
from tests.recorder import WITHIN_S, poll_until

PROJECT: Final = Path(__file__).resolve().parent.parent
MOSQUITTO: Final = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
MOSQUITTO_PASSWD: Final = shutil.which("mosquitto_passwd")
LOOPBACK: Final = "127.0.0.1"
BARE: Final = ("allow_anonymous true", "persistence false", "set_tcp_nodelay true", "max_queued_messages 10000")


class RealBroker(Protocol):
    """What a test asks of a broker."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""

    def start(self) -> None:
        """Listen; returns when it does."""

    def stop(self) -> None:
        """Vanish, with everything that was kept."""


def url_of(broker: RealBroker, user: str | None = None, password: str | None = None) -> BrokerUrl:
    """The broker's address, with credentials."""
    bare = BrokerUrl.parse(broker.url)
    return BrokerUrl(bare.host, bare.port, user, password, bare.tls)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A real mosquitto, configured by `lines` besides its listener, or by a file."""

    def __init__(self, *lines: str, conf: Path | None = None, port: int = 0, tls: bool = False) -> None:
        self.port = port or free_port()
        self._lines = (f"listener {self.port} {LOOPBACK}", *(lines or BARE))
        self._conf = conf
        self._tls = tls
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is; by name with TLS, for certificates are made out to names."""
        return f"mqtts://localhost:{self.port}" if self._tls else f"mqtt://{LOOPBACK}:{self.port}"

    @property
    def log(self) -> str:
        """Its log so far."""
        return (self._folder / "log").read_text() if self._folder else ""

    @property
    def pid(self) -> int:
        """Its process id while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait for its port. Raises AssertionError with its log."""
        assert MOSQUITTO, "mosquitto is not installed"
        assert self._process is None
        self._folder = self._folder or readable_folder()
        conf = self._conf
        if conf is None:
            conf = self._folder / "mosquitto.conf"
            conf.write_text("\n".join(self._lines) + "\n")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", str(conf)], stdout=log, stderr=log, cwd=PROJECT)
        try:
            self._await_port()
        except AssertionError:
            self.stop()
            raise

    def _await_port(self) -> None:
        assert self._process is not None
        poll_until(self._listens, explain=lambda: f"mosquitto does not listen: {self.log}")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"mosquitto ended: {self.log}"
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=WITHIN_S):
            return True
        return False

    def reload(self) -> None:
        """Have it read its password and rights files again."""
        os.kill(self.pid, signal.SIGHUP)

    def stop(self) -> None:
        """Terminate it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it, like a power cut."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process:
            process.send_signal(number)
            process.wait(WITHIN_S)

    def clean_up(self) -> None:
        """Remove its folder."""
        if self._folder:
            shutil.rmtree(self._folder)
            self._folder = None


@contextlib.contextmanager
def mosquitto(*lines: str, conf: Path | None = None, port: int = 0, tls: bool = False) -> Iterator[Mosquitto]:
    """A running mosquitto for the length of a `with` block."""
    broker = Mosquitto(*lines, conf=conf, port=port, tls=tls)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
        broker.clean_up()


@contextlib.contextmanager
def mosquitto_with_users(users: Mapping[str, str], *lines: str) -> Iterator[Mosquitto]:
    """A mosquitto with passwords and further lines of configuration."""
    folder = readable_folder()
    try:
        passwords = write_passwords(folder / "passwords", users)
        with mosquitto("allow_anonymous false", f"password_file {passwords}", "persistence false", *lines) as broker:
            yield broker
    finally:
        shutil.rmtree(folder)


def write_passwords(path: Path, users: Mapping[str, str]) -> Path:
    """Write a mosquitto password file; one that exists gets further users."""
    assert MOSQUITTO_PASSWD, "mosquitto_passwd is not installed"
    path.touch()
    for user, password in users.items():
        subprocess.run([MOSQUITTO_PASSWD, "-b", str(path), user, password], check=True, capture_output=True)
    path.chmod(0o644)  # a mosquitto started by root reads it as another user
    return path


def readable_folder() -> Path:
    """A new folder that a mosquitto can read, if root starts it as another user."""
    folder = Path(tempfile.mkdtemp(prefix="edgeferry-broker-"))
    folder.chmod(0o755)
    return folder

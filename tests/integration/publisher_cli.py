"""For tests of the publisher: its command line, and a broker as a device sees it."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from protocol.content.chunks import children, name
from protocol.messages.manifest import Tree
from protocol.mqtt.broker_url import BrokerUrl
from protocol.topics import Topics
from protocol.trust.verification import Accepted, verify
from publisher.adapters.broker_client import BrokerClient
from tests.integration.command_result import CommandResult

PROGRAM: Final = (sys.executable, "-c", "from publisher.cli import main; main()")
PROJECT: Final = Path(__file__).resolve().parent.parent.parent
RUN_S: Final = 500.0  # a limit for tests that fail: the machine may be slow
TOPICS: Final = Topics()


@dataclass(frozen=True, slots=True)
class PublisherCli:
    """Runs the publisher's commands with one registry and one broker."""

    folder: Path
    url: str

    def run(self, *words: str | Path, expect: int = 0) -> CommandResult:
        """Run a command in a process; check its exit code and for tracebacks."""
        done = subprocess.run(
            [*PROGRAM, *map(str, words)],
            cwd=PROJECT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        return _checked(CommandResult(done.returncode, done.stdout, done.stderr), words, expect)

    def run_here(self, *words: str | Path, expect: int = 0) -> CommandResult:
        """The same within this process, which has imported TensorFlow already.

        In a thread, for the command's signal handlers would replace those of pytest.
        """
        out, err = io.StringIO(), io.StringIO()
        arguments = [*map(str, words), "--broker", self.url, "--registry", str(self.registry)]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), ThreadPoolExecutor(1) as thread:
            code = thread.submit(_command, arguments).result()
        return _checked(CommandResult(code, out.getvalue(), err.getvalue()), words, expect)

    def begin(self, *words: str | Path) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [*PROGRAM, *map(str, words)],
            cwd=PROJECT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """The environment of a command."""
        return {
            **os.environ,
            "EDGEFERRY_BROKER": self.url,
            "EDGEFERRY_REGISTRY": str(self.registry),
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def registry(self) -> Path:
        """The registry's folder."""
        return self.folder / "registry"

    def enrolled_root(self, device: str = "pi-1") -> bytes:
        """Enrol a device; returns its root of trust."""
        self.run("enroll", device, "--out", self.folder / device)
        return (self.folder / device / "root.json").read_bytes()


def a_publisher(folder: Path, url: str) -> PublisherCli:
    """A publisher with a fresh registry."""
    publisher = PublisherCli(folder, url)
    publisher.run("init")
    return publisher


def _checked(ended: CommandResult, words: Iterable[str | Path], code: int) -> CommandResult:
    ended.is_plain()
    assert ended.code == code, f"{words} ended with {ended.code}: {ended.out}{ended.err}"
    return ended


def _command(arguments: list[str]) -> int:
    """Run a command in this thread; returns its exit code."""
    from publisher.cli import make_group  # takes half a second, for those who need it

    try:
        make_group()(arguments, prog_name="publisher")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def connect(url: str) -> BrokerClient:
    """A client of the broker."""
    return BrokerClient.connect(BrokerUrl.parse(url), name="test")


def announced(broker: BrokerClient, model: str, root: bytes) -> Accepted | None:
    """What a device accepts of the model's retained bundle; None without one."""
    topic = TOPICS.desired(model)
    bundle = broker.read([topic]).get(topic)
    if bundle is None:
        return None
    return verify(bundle, model=model, root=root, trusted={}, now=datetime.now(UTC), clock_trusted=True)


def missing_chunks(broker: BrokerClient, accepted: Accepted) -> list[str]:
    """The announced chunks that a device would not find."""
    trees = [tree for manifest in accepted.manifests.values() for tree in manifest.trees()]
    return [sha256 for tree in trees for sha256 in _missing(broker, tree)]


def _missing(broker: BrokerClient, tree: Tree) -> list[str]:
    level, lost = [tree.root], list[str]()
    for depth in range(tree.depth, -1, -1):
        got = {
            sha256: payload
            for topic, payload in broker.read_each(map(TOPICS.chunk, level))
            if name(payload) == (sha256 := topic.rpartition("/")[2])
        }
        lost += [sha256 for sha256 in level if sha256 not in got]
        level = _below(got.values()) if depth else []
    return lost


def _below(nodes: Iterable[bytes]) -> list[str]:
    return [child for node in nodes for child in children(node)]


def another_model(model: bytes, seed: int) -> bytes:
    """The same network with other weights: the low bytes of floats are changed."""
    changed = bytearray(model)
    span = slice(len(model) // 10 // 4 * 4, len(model) * 9 // 10 // 4 * 4, 4)
    changed[span] = bytes((byte + seed) % 256 for byte in changed[span])
    return bytes(changed)

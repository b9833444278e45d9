"""What tests of the publisher share: its command as a process, and a broker seen with a device's eyes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
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
RUN_S: Final = 200.0
TOPICS: Final = Topics()


@dataclass(frozen=True, slots=True)
class PublisherCli:
    """A registry and a broker's address, for commands that run one after another."""

    folder: Path
    url: str

    def run(self, *words: str | Path, expect: int = 0) -> CommandResult:
        """Run a command to its end; check its exit code, and that it shows no traceback."""
        done = subprocess.run(
            [*PROGRAM, *map(str, words)],
            cwd=PROJECT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        ended = CommandResult(done.returncode, done.stdout, done.stderr)
        ended.is_plain()
        assert ended.code == expect, f"{words} ended with {ended.code}: {ended.out}{ended.err}"
        return ended

    def begin(self, *words: str | Path) -> subprocess.Popen[str]:
        """Run a command beside the test."""
        return subprocess.Popen(
            [*PROGRAM, *map(str, words)],
            cwd=PROJECT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """What commands find in their environment."""
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
        """The root of trust that a device is given."""
        self.run("enroll", device, "--out", self.folder / device)
        return (self.folder / device / "root.json").read_bytes()


def a_publisher(folder: Path, url: str) -> PublisherCli:
    """A publisher with a fresh registry."""
    publisher = PublisherCli(folder, url)
    publisher.run("init")
    return publisher


def connect(url: str) -> BrokerClient:
    """A conversation with the broker."""
    return BrokerClient.connect(BrokerUrl.parse(url), name="test")


def announced(broker: BrokerClient, model: str, root: bytes) -> Accepted | None:
    """What a device accepts of what stands on the model's topic; None when nothing stands there."""
    topic = TOPICS.desired(model)
    bundle = broker.read([topic]).get(topic)
    if bundle is None:
        return None
    return verify(bundle, model=model, root=root, trusted={}, now=datetime.now(UTC), clock_trusted=True)


def missing_chunks(broker: BrokerClient, accepted: Accepted) -> list[str]:
    """Every chunk that a device that follows the announcement would not find."""
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


def make_big_model(folder: Path) -> None:
    """Write `big.tflite`: 1.6 MB of random weights that do not compress, so that an upload has a middle."""
    program = """
import sys
import tf_keras as keras
from tensorflow import lite
keras.utils.set_random_seed(3)
layers = keras.layers
network = keras.Sequential([layers.Input((784,)), layers.Dense(500, "relu"), layers.Dense(10, "softmax")])
open(sys.argv[1], "wb").write(lite.TFLiteConverter.from_keras_model(network).convert())
"""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-c", program, str(folder / "big.tflite")]
    run = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, run.stderr


def another_model(model: bytes, seed: int) -> bytes:
    """The same network with other weights: the low bytes of its floats in the middle of the file are changed."""
    changed = bytearray(model)
    span = slice(len(model) // 10 // 4 * 4, len(model) * 9 // 10 // 4 * 4, 4)
    changed[span] = bytes((byte + seed) % 256 for byte in changed[span])
    return bytes(changed)

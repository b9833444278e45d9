"""`publisher serve` with a broker that forgets, missing chunks, and killed commands."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, Queue

import pytest

from protocol.messages.device import Wants
from protocol.topics import Kind, Topics
from protocol.trust.verification import verify
from publisher.adapters.broker_client import RetainedMessage
from publisher.adapters.registry import Registry
from publisher.operations.announce.plan_announcement import stage
from publisher.operations.context import PublisherContext
from publisher.operations.progress import SilentProgress
from publisher.operations.serve.effects import ReconcileEffects
from publisher.operations.serve.service import Service
from publisher.settings import Settings
from tests.brokers import Mosquitto
from tests.integration.publisher_cli import TOPICS, PublisherCli, announced, connect, missing_chunks

PATIENCE_S = 60.0


class Served:
    """A `publisher serve` that runs, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output: list[str] = []
        self._lines: Queue[str] = Queue()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Tell it to stop; its exit code, and what it printed."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.send_signal(number)
        code, printed = self.process.wait(PATIENCE_S), self.process.stdout.read()
        self._thread.join(PATIENCE_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return code, printed

    def await_line(self, *words: str) -> str:
        """Wait for a line with all these words."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            try:
                line = self._lines.get(timeout=0.5)
            except Empty:
                assert self.process.poll() is None, self.output
                continue
            self.output.append(line)
            if all(word in line for word in words):
                return line
        raise AssertionError(f"no line with {words} in {self.output}")


@contextmanager
def serving(publisher: PublisherCli) -> Iterator[Served]:
    served = Served(publisher.begin("serve", "--json"))
    try:
        served.await_line("compared")
        yield served
    finally:
        assert served.end()[0] == 0, served.output


def test_a_broker_that_came_back_empty_is_filled_again(
    publisher: PublisherCli, broker: Mosquitto, big: Path, flowers: Path
) -> None:
    root = publisher.enrolled_root()
    publisher.run("release", "big", "--version", "1.0.0", "--tflite", big)
    publisher.run("release", "flowers", "--version", "1.0.0", "--tflite", flowers)
    with serving(publisher) as served:
        broker.stop()
        broker.start()
        served.await_line("announced", "big")
        served.await_line("announced", "flowers")
        with connect(publisher.url) as looking:
            for model in ("big", "flowers"):
                accepted = announced(looking, model, root)
                assert accepted is not None
                assert missing_chunks(looking, accepted) == []


def test_a_chunk_that_a_device_misses_is_put_back(publisher: PublisherCli, flowers: Path) -> None:
    publisher.run("release", "flowers", "--version", "1.0.0", "--tflite", flowers)
    with connect(publisher.url) as looking, serving(publisher) as served:
        accepted = announced(looking, "flowers", publisher.enrolled_root())
        assert accepted is not None
        sha256 = accepted.manifests["1.0.0"].variants[0].encodings[0].tree.root
        topic = TOPICS.chunk(sha256)
        looking.put_all([RetainedMessage(topic, b"")])
        wants = Wants(chunks=(sha256, "0" * 64), device="pi-1", model="flowers").to_line()
        looking.put_all([RetainedMessage(TOPICS.of_device(Kind.WANTS, "pi-1", "flowers"), b"not json")])
        looking.put_all([RetainedMessage(TOPICS.of_device(Kind.WANTS, "pi-1", "flowers"), wants)])
        served.await_line("put back 1 chunks that were asked for")
        assert topic in looking.read([topic])


def test_a_release_beside_a_server_is_not_disturbed(publisher: PublisherCli, flowers: Path) -> None:
    with serving(publisher) as served:
        publisher.run("release", "flowers", "--version", "1.0.0", "--tflite", flowers, "--wait", "0")
        publisher.run("release", "flowers", "--version", "1.1.0", "--tflite", flowers, "--wait", "0")
        assert served.process.poll() is None
    with connect(publisher.url) as looking:
        accepted = announced(looking, "flowers", publisher.enrolled_root())
    assert accepted is not None
    assert accepted.plan.sequence == 2


def test_a_server_announces_what_a_killed_command_left(publisher: PublisherCli, flowers: Path) -> None:
    publisher.run("release", "flowers", "--version", "1.0.0", "--tflite", flowers)
    with serving(publisher) as served:
        with an_office(publisher) as context, context.registry.lock():
            plan = context.registry.announcements.plan("flowers")
            assert plan is not None
            stage(context, plan.model_copy(update={"sequence": 2, "hold": True}))  # and here it dies
        served.await_line("announced plan 2 of flowers")
    with Registry.open(publisher.registry) as registry:
        assert registry.announcements.pending() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_cleanly_on_a_signal(publisher: PublisherCli, number: signal.Signals) -> None:
    served = Served(publisher.begin("serve"))
    served.await_line("compared")
    assert served.end(number) == (0, "stopped; put 0 chunks and 0 announcements\n")


def test_signatures_are_renewed_in_time_and_devices_accept_them(publisher: PublisherCli, flowers: Path) -> None:
    publisher.run("release", "flowers", "--version", "1.0.0", "--tflite", flowers)
    root = publisher.enrolled_root()
    later = datetime.now(UTC) + timedelta(days=20)
    with an_office(publisher) as now:
        before = now.registry.announcements.bundle("flowers")
        service = Service(replace(now, clock=lambda: later), ReconcileEffects(replace(now, clock=lambda: later)))
        until_s = time.monotonic() + PATIENCE_S
        served = service.run(lambda: service.counters.announcements == 0 and time.monotonic() < until_s)
    assert (served.renewals, served.chunks) == (1, 0)
    with connect(publisher.url) as looking:
        bundle = looking.read([TOPICS.desired("flowers")])[TOPICS.desired("flowers")]
    assert bundle != before
    month_end = datetime.now(UTC) + timedelta(days=45)  # the first signature has run out by then
    accepted = verify(bundle, model="flowers", root=root, trusted={}, now=month_end, clock_trusted=True)
    assert accepted.sequence == 1


@contextmanager
def an_office(publisher: PublisherCli) -> Iterator[PublisherContext]:
    """The registry in this process."""
    settings = Settings.read({"broker": publisher.url, "registry": str(publisher.registry)}, {})
    with Registry.open(publisher.registry) as registry:
        yield PublisherContext(registry, Topics(), settings, SilentProgress())

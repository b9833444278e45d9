"""Bundles, chunks and models that a device must reject, with a reason."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest

from device_client.adapters.runtime.tflite import open_model
from protocol.content import chunks
from protocol.topics import Kind, Topics
from tests.brokers import LOOPBACK, Mosquitto, mosquitto, url_of
from tests.integration import fleet_models
from tests.integration.fleet import DeviceFolder, Process, a_device, run_command, running
from tests.integration.fleet_observer import FleetObserver, observing
from tests.integration.unchecked_publisher import Source, UncheckedPublisher, golden_of

DESIRED = Topics().desired("digits")
HUGE_BYTES = 100_000_000
HUGE_MAY_COST_BYTES = 40_000_000


@dataclass(frozen=True)
class Scene:
    """A device that runs 1.0.0 and predicts all the time."""

    broker: Mosquitto
    publisher: UncheckedPublisher
    observer: FleetObserver
    pi: DeviceFolder
    process: Process
    known: Path
    source: Source
    folder: Path

    def is_unharmed(self, since: int, version: str = "1.0.0") -> None:
        """It runs and answers right with its old version, by its feedback and files."""
        said = self.observer.wait(
            Kind.FEEDBACK,
            lambda says: says["version"] == version and says["inferences"] > 5,
            device=self.pi.device,
            since=max(since, self.observer.mark()),  # a window that ends from now on
            while_=lambda: self.process.alive,
        )
        assert (said["errors"], said["accuracy"]) == (0, 1.0)
        self.pi.check_files()
        assert "Traceback" not in self.process.stderr, self.process.stderr

    def hears(self, payload: bytes) -> int:
        """Put anything where the device looks for its plan."""
        since = self.observer.mark()
        self.publisher.retain(DESIRED, payload)
        return since

    def says(self, text: str, since: int) -> None:
        """Wait until the device's status gives this as a reason."""
        self.observer.wait(Kind.STATUS, lambda says: text in says["reason"], device=self.pi.device, since=since)


@contextmanager
def a_scene(digits: Path, folder: Path, *, state: Path | None = None) -> Iterator[Scene]:
    source = Source.of(digits / "digits.tflite")
    known = folder / "known.npz"
    x = np.random.default_rng(9).uniform(0, 1, (40, 784)).astype(np.float32)
    np.savez(known, x=x, y=open_model(source.tflite).run([x])[0].argmax(axis=1))
    probe = folder / "probe.json"
    probe.write_text('{"clock_synchronised": true, "disk_free_bytes": 10000000000}')
    where = {"state": str(state)} if state else {}
    with (
        mosquitto() as broker,
        UncheckedPublisher(url_of(broker), folder) as publisher,
        observing(url_of(broker)) as observer,
    ):
        publisher.add_version("1.0.0", source)
        root = publisher.authority.root
        pi = a_device(folder / "pi", "pi", broker.url, root, probe_file=str(probe), **where)
        publisher.announce("1.0.0")
        with running(pi, "--replay", str(known), "--rate", "50", "--label-share", "1") as process:
            observer.state("pi", "committed", installed_version="1.0.0")
            yield Scene(broker, publisher, observer, pi, process, known, source, folder)


@pytest.fixture(scope="module")
def scene(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with a_scene(digits, tmp_path_factory.mktemp("scene")) as ready:
        yield ready


# --- bundles


def unsigned(scene: Scene) -> bytes:
    bundle = json.loads(scene.publisher.bundle("1.0.0"))
    for name, text in bundle["metadata"].items():
        bundle["metadata"][name] = json.dumps(json.loads(text) | {"signatures": []})
    return json.dumps(bundle).encode()


def altered(scene: Scene) -> bytes:
    bundle = json.loads(scene.publisher.bundle("1.0.0"))
    plan = bundle["targets"]["digits/plan.json"]
    bundle["targets"]["digits/plan.json"] = plan.replace('"1.0.0"', '"6.6.6"')
    return json.dumps(bundle).encode()


def replayed(scene: Scene) -> bytes:
    old = scene.publisher.bundle("1.0.0")
    scene.publisher.announce("1.0.0")
    sequence = scene.publisher.sequence
    scene.observer.wait(Kind.STATUS, lambda says: says["plan_sequence"] == sequence)
    return old


def expired(scene: Scene) -> bytes:
    return scene.publisher.bundle("1.0.0", now=datetime.now(UTC) - timedelta(days=3 * 365))


def of_a_stranger(scene: Scene) -> bytes:
    stranger = UncheckedPublisher(url_of(scene.broker), scene.folder)
    stranger.manifests = scene.publisher.manifests
    stranger.sequence = 1_000
    return stranger.bundle("1.0.0")


def of_another_model(scene: Scene) -> bytes:
    other = UncheckedPublisher(url_of(scene.broker), scene.folder, model="birds", authority=scene.publisher.authority)
    other.manifests = {"1.0.0": scene.publisher.manifests["1.0.0"].model_copy(update={"model": "birds"})}
    return other.bundle("1.0.0")


BUNDLES: dict[str, tuple[Callable[[Scene], bytes], str]] = {
    "unsigned": (unsigned, "is not signed by keys that are trusted"),
    "altered": (altered, "was altered, or mixed from two"),
    "replayed": (replayed, "is older than what was accepted before"),
    "expired": (expired, "has expired"),
    "of a stranger": (of_a_stranger, "is not signed by keys that are trusted"),
    "of another model": (of_another_model, "the bundle of 'birds' stands where 'digits' is announced"),
    "no JSON": (lambda _scene: b"\xff\x00 no plan", "not a bundle"),
    "another JSON": (lambda _scene: b'{"v": 1, "plan": "run 6.6.6"}', "not a bundle"),
    "a newer format": (lambda _scene: b'{"v": 2}', "a bundle of format 2 cannot be read here"),
    "too long": (lambda _scene: b"[" * 70_000, "is over the limit of 65536"),
}


@pytest.mark.parametrize("case", BUNDLES)
def test_a_bad_bundle_is_refused_by_name_and_changes_nothing(scene: Scene, case: str) -> None:
    make, told = BUNDLES[case]
    since = scene.hears(make(scene))
    scene.says(told, since)
    scene.is_unharmed(since)
    since = scene.hears(scene.publisher.bundle("1.0.0"))
    scene.observer.wait(Kind.STATUS, lambda says: "not taken" not in says["reason"], since=since)


def test_a_bundle_of_100_mb_costs_a_device_neither_memory_nor_its_way_back(scene: Scene) -> None:
    process = psutil.Process(scene.process.popen.pid)
    before_bytes, since = process.memory_info().rss, scene.observer.mark()
    publish_huge(scene.broker.port, DESIRED, HUGE_BYTES)
    scene.is_unharmed(since)
    assert process.memory_info().rss - before_bytes < HUGE_MAY_COST_BYTES
    scene.publisher.announce("1.0.0")
    sequence = scene.publisher.sequence
    scene.observer.wait(Kind.STATUS, lambda says: says["plan_sequence"] == sequence, since=since)


def publish_huge(port: int, topic: str, size_bytes: int) -> None:
    """MQTT 3.1.1, QoS 1, retained, by hand: our own client refuses to send it."""
    name = topic.encode()
    head = len(name).to_bytes(2, "big") + name + b"\x00\x01"
    length, left = bytearray(), len(head) + size_bytes
    while left:
        left, digit = divmod(left, 128)
        length.append(digit | (0x80 if left else 0))
    with socket.create_connection((LOOPBACK, port), timeout=60) as broker:
        broker.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04huge")
        assert broker.recv(4) == b"\x20\x02\x00\x00"
        broker.sendall(b"\x33" + bytes(length) + head)
        for _ in range(size_bytes // 1_000_000):
            broker.sendall(bytes(1_000_000))
        assert broker.recv(4) == b"\x40\x02\x00\x01"
        broker.sendall(b"\xe0\x00")


# --- chunks


def test_a_chunk_that_lies_is_not_taken_and_the_true_one_is(scene: Scene, digits: Path) -> None:
    tflite = scene.folder / "2.0.0.tflite"
    tflite.write_bytes(fleet_models.nudged(digits, 2))
    scene.publisher.add_version("2.0.0", Source.of(tflite))
    leaf = chunks.cut(tflite).leaves[3]
    topic = scene.publisher.topics.chunk(leaf.sha256)
    truth = tflite.read_bytes()[leaf.offset : leaf.offset + leaf.size_bytes]
    scene.publisher.retain(topic, truth[:-1] + bytes([truth[-1] ^ 1]))
    since = scene.observer.mark()
    scene.publisher.announce("2.0.0")
    scene.process.wait_for_stderr("the broker sent a damaged chunk")
    scene.is_unharmed(since)
    scene.publisher.retain(topic, truth)
    scene.observer.state("pi", "committed", since=since, installed_version="2.0.0")
    since = scene.observer.mark()
    scene.publisher.announce("1.0.0")  # for the next story
    scene.observer.state("pi", "committed", since=since, installed_version="1.0.0")


# --- models, rightly signed


def truncated(source: Source, path: Path) -> Source:
    path.write_bytes(source.tflite.read_bytes()[:200_000])
    return replace(source, tflite=path)


def of_noise(source: Source, path: Path) -> Source:
    tflite = bytearray(source.tflite.read_bytes())
    rng = random.Random(4)
    for at in range(8, len(tflite), 7):
        tflite[at] = rng.randrange(256)
    path.write_bytes(tflite)
    return replace(source, tflite=path)


def of_lies(source: Source, path: Path) -> Source:
    """A good file with golden answers that are another's."""
    path.write_bytes(source.tflite.read_bytes() + b"other")
    inputs = np.random.default_rng(2).uniform(0, 1, (4, 784)).astype(np.float32)
    return replace(source, tflite=path, golden=golden_of(inputs, np.eye(10, dtype=np.float32)[:4]))


def of_another_shape(source: Source, path: Path) -> Source:
    path.write_bytes(source.tflite.read_bytes() + b"shape")
    tensor = source.contract.inputs[0].model_copy(update={"shape": (1, 28, 28)})
    return replace(source, tflite=path, contract=source.contract.model_copy(update={"inputs": (tensor,)}))


def without_golden(source: Source, path: Path) -> Source:
    path.write_bytes(source.tflite.read_bytes() + b"golden")
    return replace(source, tflite=path, golden=b"PK no archive")


def no_model(source: Source, path: Path) -> Source:
    path.write_bytes(b"#!/bin/sh\nrm -rf /\n" * 100)
    return replace(source, tflite=path)


HOSTILE: dict[str, tuple[Callable[[Source, Path], Source], str]] = {
    "truncated": (truncated, ""),  # the runtime's own words, or the signal that killed the child
    "of noise": (of_noise, ""),
    "of lies": (of_lies, "of golden sample 0 differs by"),
    "of another shape": (of_another_shape, "input 0 of the file is float32 [1, 784]"),
    "without golden": (without_golden, "the golden set cannot be read"),
    "no model": (no_model, "is no TensorFlow Lite file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_model_that_is_rightly_signed_kills_its_proof_alone(scene: Scene, case: str) -> None:
    make, told = HOSTILE[case]
    version = f"6.6.{list(HOSTILE).index(case)}"
    scene.publisher.add_version(version, make(scene.source, scene.folder / f"{version}.tflite"))
    since = scene.observer.mark()
    scene.publisher.announce(version)
    event = scene.observer.wait(Kind.EVENT, lambda says: says["version"] == version, since=since)
    assert (event["outcome"], event["from_version"]) == ("rejected", "1.0.0")
    assert event["reason"]
    assert told in event["reason"]
    scene.observer.state("pi", "rejected", since=since, installed_version="1.0.0")
    scene.is_unharmed(since)


# --- the disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_stops_the_update_and_nothing_else(digits: Path, small_disk: Path, tmp_path: Path) -> None:
    with a_scene(digits, tmp_path, state=small_disk / "state") as scene:
        pi = replace(scene.pi, path=small_disk)
        ballast = small_disk / "ballast"
        tflite = tmp_path / "2.0.0.tflite"
        tflite.write_bytes(fleet_models.nudged(digits, 2))
        scene.publisher.add_version("2.0.0", Source.of(tflite))
        fill(ballast, leave_bytes=300_000)
        since = scene.observer.mark()
        scene.publisher.announce("2.0.0")
        said = scene.observer.wait(Kind.STATUS, lambda says: says["state"] == "deferred", since=since)
        assert "are needed in" in said["reason"] or "the disk" in said["reason"]
        now = replace(scene, pi=pi)
        now.is_unharmed(since)
        ballast.unlink()
        since = scene.observer.mark()
        scene.publisher.announce("2.0.0")  # any news makes a device look again
        scene.observer.state("pi", "committed", since=since, installed_version="2.0.0")
        pi.check_files()


def test_after_a_power_cut_on_a_disk_that_cannot_be_written_the_live_model_answers(
    digits: Path, small_disk: Path, tmp_path: Path
) -> None:
    with a_scene(digits, tmp_path, state=small_disk / "state") as scene:
        ballast = small_disk / "ballast"
        life = scene.process
        for trouble in ("full", "read-only"):
            life.kill()
            if trouble == "full":
                fill(ballast, leave_bytes=0)
            else:
                remount(small_disk, "ro")
            with running(scene.pi, "--replay", str(scene.known), "--rate", "50") as life:
                life.wait_for_stderr(f"feedback cannot be kept yet, and adds up until it can be: the disk is {trouble}")
                assert life.stop() == 0, life.stderr
            assert json.loads(life.stdout.splitlines()[-1])["predictions"] > 0
            assert json.loads(life.stdout.splitlines()[-1])["failed"] == 0
            result = run_command("predict", str(scene.known), "--config", str(scene.pi.config))
            assert result.code == 0, result.err
            assert "Traceback" not in life.stderr, life.stderr
            remount(small_disk, "rw")
            ballast.unlink(missing_ok=True)
            since = scene.observer.mark()
            with running(scene.pi, "--replay", str(scene.known), "--rate", "50") as life:
                scene.observer.wait(Kind.FEEDBACK, lambda says: says["inferences"] > 0, since=since)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def fill(path: Path, *, leave_bytes: int) -> None:
    free = os.statvfs(path.parent)
    path.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - leave_bytes)))


# --- other processes


def test_a_second_process_with_the_same_folder_is_sent_away(scene: Scene) -> None:
    since = scene.observer.mark()
    result = run_command("run", "--config", str(scene.pi.config))
    assert result.code == 7
    assert f"process {scene.process.popen.pid} already runs with the folder" in result.err
    assert f"kill {scene.process.popen.pid}" in result.err
    result.is_plain()
    scene.is_unharmed(since)

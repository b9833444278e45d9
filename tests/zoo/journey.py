"""One file's way through a fleet: released, adopted, updated, recalled.

The publisher is its command line, the device an `EdgeModel` with its service, the
broker mosquitto. Every answer is compared, bit for bit, with a bare interpreter's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from device_client import EdgeModel
from device_client.core.state import Device
from device_client.serving.prediction import Prediction
from tests.integration.fleet import DeviceFolder, a_device
from tests.integration.publisher_cli import PublisherCli
from tests.zoo import models
from tests.zoo.catalogue import ZooFile
from tests.zoo.models import Array
from tests.zoo.wheels import folder_of

ROWS: Final = 18
SAMPLES: Final = 8  # of the golden set
SEED: Final = 3
WITHIN_S: Final = 240.0
TRIAL: Final = {  # a detector that never detects anything here is adopted at the deadline, for lack of evidence
    "shadow_cpu_percent": 100.0,
    "proof_wall_max_s": 300.0,
}


@dataclass(frozen=True, slots=True)
class Answers:
    """A version's bytes and what a bare interpreter answers to each row with them."""

    tflite: bytes
    right: list[list[Array]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a journey showed, for the table."""

    sha256: str
    size_bytes: int
    types: str
    task: str
    judged_by: str
    release_s: float
    adopted_s: float
    inputs_to_verdict: int
    recall_s: float
    compared: int


class Traveller:
    """A device that follows one model, and the rows that its application asks for."""

    def __init__(self, model: EdgeModel, device: DeviceFolder, name: str, rows: Sequence[Array]) -> None:
        self.compared = 0
        self._model, self._device, self._name, self._rows, self._at = model, device, name, rows, 0

    def reaches(self, version: str, known: dict[str, Answers]) -> float:
        """Ask until a version is committed, and compare each answer; the seconds."""
        began_s = time.monotonic()
        while not self._committed(version):
            assert time.monotonic() - began_s < WITHIN_S, _reason(self._device, self._name)
            if self._model.wait_ready(0.05):
                self.asks(known)
        return time.monotonic() - began_s

    def asks(self, known: dict[str, Answers]) -> None:
        """Ask for the next row; a model with state for all of them, as a new stream."""
        contract = self._model.contract
        if contract is not None and contract.stateful:
            with self._model.stream() as stream:
                for row, given in enumerate(self._rows):
                    self._compare(stream.predict(given), row, known)
            return
        row, self._at = self._at, (self._at + 1) % len(self._rows)
        self._compare(self._model.predict(self._rows[row]), row, known)

    def asks_all(self, known: dict[str, Answers]) -> None:
        """Ask for every row at least once."""
        for _ in self._rows:
            self.asks(known)

    @property
    def task(self) -> str:
        """What the device says the model is for."""
        return self._model.task.title if self._model.task else ""

    @property
    def judged_by(self) -> str:
        """The question that decided, by the device's evidence of the shadow."""
        device = self._device.remembered(self._name)
        evidence = device.evidence if device else None
        return (evidence.shadow_decided_by if evidence else None) or ""

    def _compare(self, answer: Prediction, row: int, known: dict[str, Answers]) -> None:
        check_bits(answer.outputs, known[answer.version].right[row])
        self.compared += 1

    def _committed(self, version: str) -> bool:
        device = self._device.remembered(self._name)
        live = device.live if device else None
        assert not _rejected(device), _reason(self._device, self._name)
        return bool(device and live and live.version == version and device.phase.value == "committed")


def travel(
    file: ZooFile, path: Path, publisher: PublisherCli, root: bytes, folder: Path, *, deadline_s: float = 20.0
) -> Figures:
    """Take a file through its whole way; `deadline_s`: of shadow and probation."""
    first = path.read_bytes()
    shape = models.input_shape(first, file.free_size)
    rows = models.rows_like(file.like, shape, ROWS, SEED)
    known = {"1.0.0": Answers(first, models.answers(first, rows))}
    second = models.second_version(first)
    known["2.0.0"] = Answers(second, models.answers(second, rows))
    np.savez(folder / "data.npz", x=np.stack(models.rows_like(file.like, shape, SAMPLES, SEED + 1)))
    with _travelling(file, folder, publisher, root, rows, deadline_s) as traveller:
        release_s = _release(file, "1.0.0", path, publisher, folder)
        adopted_s = traveller.reaches("1.0.0", known)
        traveller.asks_all(known)
        newer = folder / "second.tflite"
        newer.write_bytes(second)
        _release(file, "2.0.0", newer, publisher, folder)
        before = traveller.compared
        traveller.reaches("2.0.0", known)
        inputs_to_verdict, judged_by, task = traveller.compared - before, traveller.judged_by, traveller.task
        publisher.run_here("rollback", file.name)
        recall_s = traveller.reaches("1.0.0", known)
        traveller.asks_all(known)
        compared = traveller.compared
    return Figures(
        sha256=models.sha256(first),
        size_bytes=len(first),
        types=models.types(first),
        task=task,
        judged_by=judged_by,
        release_s=release_s,
        adopted_s=adopted_s,
        inputs_to_verdict=inputs_to_verdict,
        recall_s=recall_s,
        compared=compared,
    )


def check_bits(given: Sequence[Array], right: Sequence[Array]) -> None:
    """The same types, values and shapes, but for a batch of one."""
    assert len(given) == len(right)
    for ours, theirs in zip(given, right, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape in (theirs.shape, theirs.shape[1:])
        assert ours.tobytes() == theirs.tobytes(), float(np.abs(np.subtract(ours, theirs, dtype=np.float64)).max())


def _release(file: ZooFile, version: str, path: Path, publisher: PublisherCli, folder: Path) -> float:
    began_s = time.monotonic()
    given: tuple[str | Path, ...] = ("--tflite", path, "--data", folder / "data.npz")
    if file.labels:
        given += ("--labels", folder_of(file) / file.labels)
    publisher.run_here("release", file.name, "--version", version, *given)
    return time.monotonic() - began_s


@contextmanager
def _travelling(
    file: ZooFile, folder: Path, publisher: PublisherCli, root: bytes, rows: Sequence[Array], deadline_s: float
) -> Iterator[Traveller]:
    trial = {**TRIAL, "shadow_deadline_s": deadline_s, "probation_deadline_s": deadline_s}
    device = a_device(folder / "pi", f"pi-{file.name}", publisher.url, root, trial=trial)
    device.config.write_text(f'{device.config.read_text()}\n[[models]]\nname = "{file.name}"\n')
    with EdgeModel(device.config) as model:
        yield Traveller(model, device, file.name, rows)


def _reason(folder: DeviceFolder, model: str) -> str:
    device = folder.remembered(model)
    return f"{device.phase}: {device.reason}; {device.evidence}" if device else "nothing remembered"


def _rejected(device: Device | None) -> bool:
    return device is not None and device.phase.value in ("rejected", "rolled_back")

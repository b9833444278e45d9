"""Drift on the digits model: turned and noisy inputs raise it, clean ones lower it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.drifting import spoilt
from device_client.adapters.runtime.tflite import open_model
from device_client.feedback.drift_detector import LEARN
from device_client.feedback.drift_state import VERSIONS_MAX, DriftStateStore
from device_client.feedback.window import to_message
from device_client.ports.serving import ModelFile
from device_client.serving.live_serving import LiveServing
from tests.integration import fleet_models

Float32 = NDArray[np.float32]
WINDOW = 250  # inferences


@dataclass
class Stream:
    """An application that predicts test digits, clean or spoilt, and labels some."""

    serving: LiveServing
    x: Float32
    y: NDArray[np.int64]
    file: ModelFile
    rows: np.random.Generator = field(default_factory=lambda: np.random.default_rng(9))

    def ask(self, x: Float32, windows: int = 1) -> float:
        """The drift after so many windows; each must fit into a message."""
        for _ in range(windows):
            for row in self.rows.integers(0, len(x), WINDOW):
                answer = self.serving.predict(x[row])
                if row % 5 == 0:
                    self.serving.label(answer, int(self.y[row]))
            window = self.serving.take_window(at_least=1)
            assert window is not None
            assert len(to_message(window, "pi-1", "digits", "e-1").to_line()) < 1_024
        quality = self.serving.quality()
        assert quality is not None
        assert quality.drift is not None
        return quality.drift


@pytest.fixture(params=["float32", "int8"])
def stream(
    request: pytest.FixtureRequest, once_per_run: Callable[[str, Callable[[Path], None]], Path], tmp_path: Path
) -> Iterator[Stream]:
    folder = once_per_run("fleet digits", fleet_models.make_digits)
    made = fleet_models.made(folder, "1.0.0")
    variant = next(variant for variant in made.variants if variant.name == request.param)
    path = tmp_path / "digits.tflite"
    path.write_bytes(variant.tflite)
    serving = LiveServing(wall_s=lambda: 1_700_000_000.0)
    file = ModelFile(path, "1.0.0", variant.name, made.contract, made.labels, made.statistics)
    serving.swap(file)
    with np.load(folder / "held.npz") as held_out:
        yield Stream(serving, held_out["x"], held_out["y"], file)
    serving.close()


def turned(x: Float32) -> Float32:
    """By a quarter: the network is as sure as ever, and nearly always wrong."""
    return np.ascontiguousarray(np.rot90(x.reshape(-1, 28, 28), axes=(1, 2))).reshape(-1, 784)


def noisy(x: Float32) -> Float32:
    noise = np.random.default_rng(5).normal(0, 0.5, x.shape)
    return np.clip(x + noise, 0, 1).astype(np.float32)


@pytest.mark.parametrize("spoil", [turned, noisy])
def test_drift_rises_with_spoilt_inputs_and_falls_with_clean_ones(
    stream: Stream, spoil: Callable[[Float32], Float32]
) -> None:
    assert stream.ask(stream.x, windows=8) < 0.1
    before = stream.serving.quality()
    assert stream.ask(spoil(stream.x), windows=3) == pytest.approx(1.0, abs=0.1)
    spoilt = stream.serving.quality()
    assert stream.ask(stream.x, windows=4) < 0.1
    assert before is not None
    assert spoilt is not None
    assert before.accuracy is not None
    assert spoilt.accuracy is not None
    assert before.accuracy > 0.9
    assert spoilt.accuracy < before.accuracy, "of ten windows, eight of which were clean"


def test_only_the_windows_of_that_time_are_drifting(stream: Stream) -> None:
    drifting = []
    for x in (stream.x, stream.x, turned(stream.x), stream.x, stream.x, stream.x, stream.x):
        for row in range(WINDOW):
            stream.serving.predict(x[row])
        window = stream.serving.take_window(at_least=1)
        assert window is not None
        drifting.append(window.sums.drifting)
    assert drifting[:3] == [False, False, True]
    assert drifting[-1] is False


def test_without_statistics_confidence_shows_drift(stream: Stream, tmp_path: Path) -> None:
    path, live = tmp_path / "digits.tflite", stream.serving
    live.swap(ModelFile(path, "1.0.0", "bare", open_model(path).contract))
    for row in range(LEARN):
        live.predict(stream.x[row])
    assert stream.ask(stream.x, windows=2) < 0.1
    assert stream.ask(noisy(stream.x)) > 0.9
    assert live.take_window(at_least=1) is None


def a_little_turned(x: Float32) -> Float32:
    """So little changes the confidence, and hardly the distance."""
    rng = np.random.default_rng(6)
    return spoilt(x, np.full(len(x), 20.0), np.full(len(x), 0.1), rng)


def test_a_restart_does_not_take_inputs_that_have_drifted_for_the_usual_ones(stream: Stream) -> None:
    assert stream.ask(stream.x, windows=3) < 0.2
    assert stream.ask(a_little_turned(stream.x), windows=2) > 0.8
    remembered = stream.serving.drift_states()
    for known, expected in ((remembered, pytest.approx(1.0, abs=0.2)), (None, pytest.approx(0.0, abs=0.4))):
        again = Stream(LiveServing(drift_states=known), stream.x, stream.y, stream.file)
        again.serving.swap(stream.file)
        assert again.ask(a_little_turned(stream.x), windows=2) == expected, known
        again.serving.close()


def test_a_new_version_starts_without_reference_and_a_former_one_resumes(stream: Stream) -> None:
    usual = stream.file
    stream.ask(stream.x, windows=3)
    assert stream.ask(a_little_turned(stream.x), windows=2) > 0.8
    stream.serving.swap(replace(usual, version="2.0.0"))
    assert stream.serving.quality() is None
    assert stream.ask(a_little_turned(stream.x), windows=2) < 0.4, "its own first inputs are what is usual to it"
    stream.serving.swap(usual)
    assert stream.ask(a_little_turned(stream.x)) > 0.8
    for number in range(VERSIONS_MAX + 2):
        stream.serving.swap(replace(usual, version=f"3.{number}.0"))
    kept = DriftStateStore(stream.serving.drift_states())
    known = [number for number in range(VERSIONS_MAX + 2) if kept.get(f"3.{number}.0", usual.variant)]
    assert known == list(range(2, VERSIONS_MAX + 2))
    assert kept.get(usual.version, usual.variant) is None

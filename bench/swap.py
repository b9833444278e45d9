"""Latency of predictions during swaps, and the overhead of `EdgeModel.predict()` over
the bare runtime, on the digits model and on pictures of 224 x 224.

Usage: scripts/bench swap [--seconds 10] [--threads 4] [--rate 200]

Threads predict at a steady rate; a latency is from call to return. Before: no swaps.
During: four swaps a second, far more than a device ever performs; calls that overlap a
swap get a row of their own. After: no swaps again. For the overhead, predictions and
bare runs alternate. Predictions go through `EdgeModel.predict()`, as an application's
do, on an enrolled device whose broker is unreachable.
"""

# ruff: noqa: T201 - the output of a benchmark is what it prints
from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tflite_runtime.interpreter import Interpreter

from device_client import EdgeModel
from device_client.adapters.runtime.tflite import open_model, runtime_name
from device_client.ports.serving import ModelFile
from device_client.serving.live_serving import LiveServing
from protocol.messages.manifest import InputStatistics

Floats = NDArray[np.float32]
Inputs = NDArray[Any]
AIM_OVERHEAD_US: Final = 15.0
AIM_P99_RATIO: Final = 1.5
ROUNDS: Final = 60  # of the overhead: bare runs and predictions in turn, 200 each
SWAP_EVERY_S: Final = 0.25
ENGINE_NICE: Final = 5  # of the thread that swaps, as in a device
MAKE: Final = """
import sys
from pathlib import Path
from publisher.learning.recipe.heldout import write_heldout_npz
from publisher.learning.artifacts.build import build_from_recipe
from publisher.learning.recipe.recipe import load_recipe
folder, recipe = Path(sys.argv[1]), load_recipe("digits")
write_heldout_npz(recipe, folder / "held.npz")
for version, epochs in (("1.0.0", 6), ("1.1.0", 8)):
    made = build_from_recipe(recipe, epochs=epochs)
    for variant in made.variants:
        (folder / f"{version}-{variant.name}.tflite").write_bytes(variant.tflite)
    (folder / "statistics.json").write_text(made.statistics.model_dump_json())
"""
MAKE_PICTURES: Final = """
import sys
from pathlib import Path
import tensorflow as tf
weights = tf.random.stateless_normal([14 * 14 * 3, 10], [1, 2])
for dtype in (tf.uint8, tf.float32):
    def classify(x):  # every 16th pixel: little to compute, so that what is measured is the rest
        pixels = tf.reshape(tf.cast(x[:, ::16, ::16], tf.float32), [1, -1])
        return tf.nn.softmax(pixels @ weights / 255.0)
    function = tf.function(classify).get_concrete_function(tf.TensorSpec([1, 224, 224, 3], dtype))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    (Path(sys.argv[1]) / f"pictures-{dtype.name}.tflite").write_bytes(converter.convert())
"""
PUBLISHER: Final = (sys.executable, "-c", "from publisher.cli import main; main()")
NO_BROKER: Final = "mqtt://127.0.0.1:9"  # the discard port: no listener


@dataclass(frozen=True, slots=True)
class Span:
    """An interval, in seconds of one monotonic clock."""

    begun_s: float
    ended_s: float

    @property
    def took_s(self) -> float:
        """Its duration in seconds."""
        return self.ended_s - self.begun_s

    def meets(self, other: Span) -> bool:
        """Whether the two intervals overlap."""
        return self.begun_s <= other.ended_s and other.begun_s <= self.ended_s


@dataclass(frozen=True, slots=True)
class TimedCall:
    """One prediction."""

    span: Span
    failed: bool


def main() -> None:
    """Make the models, measure, print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _make(folder)
        config = _enroll(folder)
        print(f"{runtime_name()}, Python {platform.python_version()}, {os.cpu_count()} cores, digits 784-128-64-10\n")
        for variant in ("float32", "int8"):
            files = [_file(folder, version, variant) for version in ("1.0.0", "1.1.0")]
            x = np.load(folder / "held.npz")["x"]
            with EdgeModel(config) as model:
                serving = model._shared.service.servings["digits"]  # versions are swapped here without a broker
                serving.swap(files[0])
                overhead(model, files[0], x)
                swap(model, serving, files, x, arguments)
        pictures = np.random.default_rng(2).integers(0, 256, (20, 224, 224, 3), np.uint8)
        with EdgeModel(config) as model:
            for variant in ("uint8", "float32"):
                file = _picture_file(folder, variant)
                model._shared.service.servings["digits"].swap(file)
                overhead(model, file, pictures if variant == "uint8" else pictures.astype(np.float32) / 255)


def overhead(model: EdgeModel, file: ModelFile, x: Inputs) -> None:
    """Print what `predict()` takes beside set_tensor, invoke, get_tensor."""
    bare, ours = _timed(_bare(file.path), model.predict, x)
    more_us = 1e6 * (np.median(ours) - np.median(bare))
    print(
        f"{file.path.stem}: bare {1e6 * np.median(bare):.1f} us, predict() {1e6 * np.median(ours):.1f} us (medians):"
        f" {more_us:.1f} us more, {np.median(ours) / np.median(bare):.2f} times; aim: at most {AIM_OVERHEAD_US:.0f} us"
    )


def swap(
    model: EdgeModel, serving: LiveServing, files: list[ModelFile], x: Floats, arguments: argparse.Namespace
) -> None:
    """Print the latencies before, during and after."""
    threads, rate_hz = arguments.threads, arguments.rate
    phases: dict[str, list[TimedCall]] = {}
    swaps: list[Span] = []
    for phase in ("before", "during", "after"):
        over = threading.Event()
        with ThreadPoolExecutor(threads + 1) as pool:
            running = [pool.submit(_predict, model, x, over, threads / rate_hz, at / rate_hz) for at in range(threads)]
            swapping = pool.submit(_swap, serving, files, over) if phase == "during" else None
            time.sleep(arguments.seconds)
            over.set()
            phases[phase] = [call for each in running for call in each.result()]
            swaps += swapping.result() if swapping else []
        if phase == "during":
            phases["met a swap"] = [call for call in phases[phase] if any(map(call.span.meets, swaps))]
    print(f"  {rate_hz:.0f} predictions a second from {threads} threads; {len(swaps)} swaps, each about", end=" ")
    print(f"{1e3 * float(np.median([span.took_s for span in swaps])):.1f} ms")
    _print_phases(phases)


def _print_phases(phases: dict[str, list[TimedCall]]) -> None:
    print("             predictions  failed   p50 ms   p99 ms   max ms   of before: p50    p99    max")
    before = _figures(phases["before"])
    for phase, call in phases.items():
        if not call:
            print(f"  {phase:10} {0:11}")
            continue
        figures = _figures(call)
        cells = "".join(f"{figure:9.3f}" for figure in figures)
        ratios = "".join(f"{ours / theirs:7.2f}" for ours, theirs in zip(figures, before, strict=True))
        print(f"  {phase:10} {len(call):11} {sum(each.failed for each in call):7}{cells}           {ratios}")
    ratio = _figures(phases["during"])[1] / before[1]
    print(f"  p99 during over before: {ratio:.2f}; aim: at most {AIM_P99_RATIO}\n")


def _figures(call: list[TimedCall]) -> tuple[float, float, float]:
    """p50, p99 and maximum in milliseconds."""
    latencies_s = [each.span.took_s for each in call]
    p50, p99, most = (float(figure) for figure in 1e3 * np.quantile(latencies_s, (0.5, 0.99, 1.0)))
    return p50, p99, most


def _predict(model: EdgeModel, x: Floats, over: threading.Event, every_s: float, offset_s: float) -> list[TimedCall]:
    """Predict at the given rate until `over` is set."""
    call: list[TimedCall] = []
    due_s = time.perf_counter() + offset_s
    while not over.wait(max(0.0, due_s - time.perf_counter())):
        begun_s, failed = time.perf_counter(), False
        try:
            model.predict(x[len(call) % len(x)])
        except Exception as failure:  # noqa: BLE001 - failures of any kind are what is counted
            failed = True
            print(f"  failed: {failure}", file=sys.stderr)
        call.append(TimedCall(Span(begun_s, time.perf_counter()), failed))
        due_s += every_s
    return call


def _swap(serving: LiveServing, files: list[ModelFile], over: threading.Event) -> list[Span]:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), ENGINE_NICE)
    swaps: list[Span] = []
    while not over.wait(SWAP_EVERY_S):
        begun_s = time.perf_counter()
        serving.swap(files[(len(swaps) + 1) % len(files)])
        swaps.append(Span(begun_s, time.perf_counter()))
    return swaps


def _timed(bare: Callable[[Inputs], object], ours: Callable[[Inputs], object], x: Inputs) -> tuple[Floats, Floats]:
    """Time both alternately, so that load on the machine affects both alike."""
    took: tuple[list[float], list[float]] = ([], [])
    rows = list(x[:200])
    for _ in range(ROUNDS):
        for call, latencies in zip((bare, ours), took, strict=True):
            for row in rows:
                begun_s = time.perf_counter()
                call(row)
                latencies.append(time.perf_counter() - begun_s)
    return np.array(took[0], np.float32), np.array(took[1], np.float32)


def _bare(path: Path) -> Callable[[Inputs], object]:
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(x: Inputs) -> object:
        interpreter.set_tensor(into, x[np.newaxis])
        interpreter.invoke()
        return interpreter.get_tensor(out)

    return run


def _file(folder: Path, version: str, variant: str) -> ModelFile:
    path = folder / f"{version}-{variant}.tflite"
    statistics = InputStatistics.model_validate_json((folder / "statistics.json").read_text())
    labels = tuple(str(digit) for digit in range(10))
    return ModelFile(path, version, variant, open_model(path).contract, labels, statistics)


def _picture_file(folder: Path, variant: str) -> ModelFile:
    path = folder / f"pictures-{variant}.tflite"
    return ModelFile(path, "1.0.0", variant, open_model(path).contract)


def _enroll(folder: Path) -> Path:
    """Return the settings file of a device, written by `publisher enroll`."""
    environment = {**os.environ, "EDGEFERRY_BROKER": NO_BROKER, "EDGEFERRY_REGISTRY": str(folder / "registry")}
    for words in (("init",), ("enroll", "bench", "--model", "digits", "--out", str(folder / "bench"))):
        subprocess.run([*PUBLISHER, *words], env=environment, check=True, stdout=subprocess.DEVNULL)
    return folder / "bench" / "device.toml"


def _make(folder: Path) -> None:
    """Train two versions in their own process: TensorFlow and tflite-runtime clash."""
    print("training two versions of the digits model ...", file=sys.stderr)
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    for program in (MAKE, MAKE_PICTURES):
        command = [sys.executable, "-c", program, str(folder)]
        subprocess.run(command, env=quiet, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench swap", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rate", type=float, default=200.0, help="predictions a second, of all threads together")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""How long the whole ladder of a real network takes, and how much memory.

Usage: scripts/bench ladder [--minutes 15] [--memory-mb 2000] [flags of compress]

A MobileNetV2 0.35 at 96 x 96 learns to tell crops of two photographs that scikit-learn
brings: 280 pictures, from random weights. Then `publisher compress` makes its default
ladder in a process of its own. Fails over the limits.
"""

# ruff: noqa: T201 - a benchmark is there to print
from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tf_keras

SIZE: Final = 96  # pixels
PICTURES: Final = 140  # of each photograph
EPOCHS: Final = 25
PROGRAM: Final = "from publisher.cli import main; main()"


def main() -> None:
    """Train the network, compress it, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--memory-mb", type=float, default=2_000.0)
    limits, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="edgeferry-bench-") as place:
        folder = Path(place)
        _write_inputs(folder)
        words = ["compress", "--keras", "net.keras", "--data", "pictures.npz", "--out", "ladder", *flags]
        began_s = time.monotonic()
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=folder, env=environment, check=True)
        took_s, used = time.monotonic() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
        facts = json.loads((folder / "ladder" / "ladder.json").read_text())
    minutes, memory_mb = took_s / 60, used.ru_maxrss * 1024 / 1e6
    cpu_minutes = (used.ru_utime + used.ru_stime) / 60
    print(f"{len(facts['rungs'])} rungs in {minutes:.1f} min ({cpu_minutes:.1f} min of processor time)")
    print(f"memory at most {memory_mb:.0f} MB; load of this machine {os.getloadavg()[1]:.1f}")
    if minutes > limits.minutes or memory_mb > limits.memory_mb:
        sys.exit(f"over the limit of {limits.minutes:g} min or {limits.memory_mb:g} MB")


def _write_inputs(folder: Path) -> None:
    x, y = _pictures()
    np.savez(folder / "pictures.npz", x=x, y=y)
    _trained(x, y).save(folder / "net.keras")


def _pictures() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    from sklearn.datasets import load_sample_image  # the publisher's extra has it

    rng = np.random.default_rng(0)
    crops = []
    for name in ("china.jpg", "flower.jpg"):
        photograph = load_sample_image(name)
        height, width, _ = photograph.shape
        for _ in range(PICTURES):
            top, left = rng.integers(0, height - SIZE), rng.integers(0, width - SIZE)
            crops.append(photograph[top : top + SIZE, left : left + SIZE])
    order = rng.permutation(len(crops))
    y = np.repeat(np.arange(2), PICTURES)
    return (np.stack(crops)[order] / 127.5 - 1).astype(np.float32), y[order]


def _trained(x: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> Any:
    tf_keras = load_tf_keras()
    tf_keras.utils.set_random_seed(0)
    with silence_tensorflow():
        body = tf_keras.applications.MobileNetV2(
            input_shape=(SIZE, SIZE, 3), alpha=0.35, weights=None, include_top=False, pooling="avg"
        )
        for layer in body.layers:
            if isinstance(layer, tf_keras.layers.BatchNormalization):
                layer.momentum = 0.8  # its statistics settle in few epochs
        network = tf_keras.Model(body.input, tf_keras.layers.Dense(2, activation="softmax")(body.output))
        network.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        network.fit(x, y, epochs=EPOCHS, batch_size=32, verbose=0)
    return network


if __name__ == "__main__":
    main()

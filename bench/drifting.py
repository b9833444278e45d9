"""A stream of handwritten digits whose inputs drift: upright, then increasingly rotated
and noisy, then as requested.

    python -m bench.drifting --out FILE.npz  # for `device-client run --replay`

The digits are the held-out part of the built-in recipe. A leg is a number of inputs;
models, devices and time play no role here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from publisher.recipes import digits

Float32 = NDArray[np.float32]
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
SIDE: Final = digits.SIDE_PIXELS
AT_A_TIME: Final = 2_000  # images in memory while they are turned


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of the stream: rotation (degrees, anticlockwise) and noise (standard
    deviation), each from the first value to the second.
    """

    inputs: int
    turned_deg: tuple[float, float] = (0.0, 0.0)
    noise: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """`x`: (inputs, 784) float32 in 0..1; `y`: (inputs,) the digits; `turned_deg`,
    `noise`: (inputs,) the rotation and noise applied.
    """

    x: Float32
    y: Labels
    turned_deg: Floats
    noise: Floats

    def save(self, path: Path, *, labels: bool = True) -> None:
        """Write the .npz file that `--replay` reads."""
        np.savez(path, **({"x": self.x, "y": self.y} if labels else {"x": self.x}))


def drifting(legs: Sequence[Leg], seed: int = 1) -> Stream:
    """Draw held-out digits at random, leg after leg, from a seed."""
    _, _, x, y = digits.load_data()
    rng = np.random.default_rng(seed)
    turned_deg = np.concatenate([np.linspace(*leg.turned_deg, leg.inputs) for leg in legs])
    noise = np.concatenate([np.linspace(*leg.noise, leg.inputs) for leg in legs])
    rows = rng.integers(0, len(x), len(noise))
    return Stream(spoilt(x[rows], turned_deg, noise, rng), y[rows].astype(np.int64), turned_deg, noise)


def spoilt(x: Float32, turned_deg: Floats, noise: Floats, rng: np.random.Generator) -> Float32:
    """Rotate and add noise to digits (inputs, 784), each by its own amount."""
    after = x.copy()
    changed = np.flatnonzero((turned_deg != 0.0) | (noise != 0.0))
    for part in np.split(changed, range(AT_A_TIME, len(changed), AT_A_TIME)):
        grain = rng.standard_normal((len(part), x.shape[1]), np.float32) * noise[part, None].astype(np.float32)
        after[part] = np.clip(turned(x[part], turned_deg[part]) + grain, 0.0, 1.0)
    return after


def turned(x: Float32, turned_deg: Floats) -> Float32:
    """Rotate digits (inputs, 784) about their centre: bilinear, empty outside."""
    images = np.pad(x.reshape(-1, SIDE, SIDE), ((0, 0), (1, 2), (1, 2)))  # an empty border for out-of-range samples
    angles = np.deg2rad(turned_deg).astype(np.float32)[:, None]
    down, right = (grid.ravel().astype(np.float32) - (SIDE - 1) / 2 for grid in np.mgrid[0:SIDE, 0:SIDE])
    from_down = np.cos(angles) * down + np.sin(angles) * right + (SIDE - 1) / 2
    from_right = np.cos(angles) * right - np.sin(angles) * down + (SIDE - 1) / 2
    at_down, at_right = (np.clip(each, -1.0, SIDE) for each in (from_down, from_right))
    top, left = np.floor(at_down).astype(np.intp), np.floor(at_right).astype(np.intp)
    below, beside = at_down - top.astype(np.float32), at_right - left.astype(np.float32)
    which = np.arange(len(x))[:, None]

    def pixel(one_down: int, one_right: int) -> Float32:
        found: Float32 = images[which, top + 1 + one_down, left + 1 + one_right]
        return found

    upper = pixel(0, 0) * (1 - beside) + pixel(0, 1) * beside
    lower = pixel(1, 0) * (1 - beside) + pixel(1, 1) * beside
    level: Float32 = upper * (1 - below) + lower * below
    return level


def main() -> None:
    """Write a minute upright, a minute rotating, a minute upright, at ten a second."""
    parser = argparse.ArgumentParser(description="Make a stream of digits that drifts.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--inputs", type=int, default=600, help="of each leg")
    parser.add_argument("--turned", type=float, default=45.0, help="degrees at the worst")
    parser.add_argument("--noise", type=float, default=0.2, help="standard deviation at the worst; a pixel is 0 to 1")
    parser.add_argument("--without-labels", action="store_true")
    arguments = parser.parse_args()
    turning = Leg(arguments.inputs, (0.0, arguments.turned), (0.0, arguments.noise))
    stream = drifting([Leg(arguments.inputs), turning, Leg(arguments.inputs)])
    stream.save(arguments.out, labels=not arguments.without_labels)
    print(f"{len(stream.x):,} inputs: {arguments.out}")  # noqa: T201 - its answer


if __name__ == "__main__":
    main()

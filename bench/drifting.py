"""Makes a stream of handwritten digits that drifts: upright, then turned further and further and noisy, then as told.

    python -m bench.drifting --out FILE.npz    # for `device-client run --replay FILE.npz`

The digits are those that the built-in recipe holds back. Knows no model, no device
and no time: a leg has so many inputs.
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
    """A stretch of the stream: turned (degrees, anticlockwise) and noisy (standard deviation) from here to there."""

    inputs: int
    turned_deg: tuple[float, float] = (0.0, 0.0)
    noise: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """`x`: (inputs, 784) float32 in 0..1; `y`: (inputs,) the digits; `turned_deg`, `noise`: (inputs,) what was done."""

    x: Float32
    y: Labels
    turned_deg: Floats
    noise: Floats

    def save(self, path: Path, *, labels: bool = True) -> None:
        """Write it as a replay wants it."""
        np.savez(path, **({"x": self.x, "y": self.y} if labels else {"x": self.x}))


def drifting(legs: Sequence[Leg], seed: int = 1) -> Stream:
    """Draw held-back digits at random, leg after leg; nearly the same again from the same seed."""
    _, _, x, y = digits.load_data()
    rng = np.random.default_rng(seed)
    turned_deg = np.concatenate([np.linspace(*leg.turned_deg, leg.inputs) for leg in legs])
    noise = np.concatenate([np.linspace(*leg.noise, leg.inputs) for leg in legs])
    rows = rng.integers(0, len(x), len(noise))
    return Stream(spoilt(x[rows], turned_deg, noise, rng), y[rows].astype(np.int64), turned_deg, noise)


def spoilt(x: Float32, turned_deg: Floats, noise: Floats, rng: np.random.Generator) -> Float32:
    """Digits (inputs, 784), each turned and noisy in its own measure."""
    after = x.copy()
    changed = np.flatnonzero((turned_deg != 0.0) | (noise != 0.0))
    for part in np.split(changed, range(AT_A_TIME, len(changed), AT_A_TIME)):
        grain = rng.standard_normal((len(part), x.shape[1]), np.float32) * noise[part, None].astype(np.float32)
        after[part] = np.clip(turned(x[part], turned_deg[part]) + grain, 0.0, 1.0)
    return after


def turned(x: Float32, turned_deg: Floats) -> Float32:
    """Digits (inputs, 784), each turned about its middle; straight lines between pixels, nothing beyond the edge."""
    images = np.pad(x.reshape(-1, SIDE, SIDE), ((0, 0), (1, 2), (1, 2)))  # an empty frame, in which every gap is found
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
    """A minute upright, a minute of turning, a minute upright, at ten a second."""
    parser = argparse.ArgumentParser(description="Make a stream of digits that drifts.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--inputs", type=int, default=600, help="of each leg")
    parser.add_argument("--turned", type=float, default=45.0, help="degrees at the worst")
    parser.add_argument("--noise", type=float, default=0.2, help="standard deviation at the worst; a pixel is 0 to 1")
    parser.add_argument("--without-labels", action="store_true")
    asked = parser.parse_args()
    turning = Leg(asked.inputs, (0.0, asked.turned), (0.0, asked.noise))
    stream = drifting([Leg(asked.inputs), turning, Leg(asked.inputs)])
    stream.save(asked.out, labels=not asked.without_labels)
    print(f"{len(stream.x):,} inputs: {asked.out}")  # noqa: T201 - its answer


if __name__ == "__main__":
    main()

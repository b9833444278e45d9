"""Preprocesses inputs from a seed and prints the SHA-256 of every result.

`python -m tests.preprocessing_bits` prints the same on every machine, see
docs/PREPROCESSING.md. Needs numpy, pydantic and `protocol` alone.
"""

from __future__ import annotations

import hashlib
import json
import platform
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.messages.contract import Contract, Tensor
from protocol.messages.preprocessing import Preprocessing
from protocol.preprocessing.preprocessor import Preprocessor

SEED: Final = "edgeferry preprocessing 1"
Array = NDArray[Any]

PICTURE: Final = {"kind": "picture"}
SOUND: Final = {"kind": "audio", "sample_rate_hz": 16_000, "samples": 16_000}
FRAMES: Final = {"step": "window", "length": 480, "hop": 160}
SIZED: Final = {"step": "resize", "width": 96, "height": 80}
MOVED: Final = {"step": "scale", "offset": -128}
TINY: Final = {"step": "normalize", "mean": [1e-39], "std": [0.01]}
THIRD: Final = {"step": "scale", "factor": 1 / 3}
NORMALIZED: Final = {"step": "normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}

CASES: Final[dict[str, tuple[dict[str, Any], list[dict[str, Any]], tuple[int, ...], str]]] = {
    "nearest": (PICTURE, [{**SIZED, "method": "nearest"}], (80, 96, 3), "uint8"),
    "bilinear": (PICTURE, [SIZED], (80, 96, 3), "uint8"),
    "antialias": (PICTURE, [{**SIZED, "antialias": True}], (80, 96, 3), "uint8"),
    "larger": (PICTURE, [{"step": "resize", "width": 700, "height": 500}], (500, 700, 3), "uint8"),
    "grey": (PICTURE, [SIZED, {"step": "colour", "order": "grey"}], (80, 96, 1), "uint8"),
    "normalized": (PICTURE, [SIZED, {"step": "scale", "factor": 1 / 255}, NORMALIZED], (80, 96, 3), "float32"),
    "int8": (PICTURE, [SIZED, MOVED, {"step": "cast", "dtype": "int8"}], (80, 96, 3), "int8"),
    "third": (PICTURE, [SIZED, THIRD, {"step": "cast", "dtype": "int16"}], (80, 96, 3), "int16"),
    "float16": (PICTURE, [SIZED, THIRD, {"step": "cast", "dtype": "float16"}], (80, 96, 3), "float16"),
    "waveform": (SOUND, [], (16_000,), "float32"),
    "hann": (SOUND, [FRAMES], (98, 480), "float32"),
    "hamming": (SOUND, [{**FRAMES, "function": "hamming"}], (98, 480), "float32"),
    "subnormal": (PICTURE, [SIZED, {"step": "scale", "factor": 2e-41}, TINY], (80, 96, 3), "float32"),
    "mel": (SOUND, [FRAMES, {"step": "mel", "bins": 40, "fft_size": 512, "fmin_hz": 20}], (98, 40), "float32"),
    "magnitude": (
        SOUND,
        [FRAMES, {"step": "mel", "bins": 64, "fft_size": 2048, "spectrum": "magnitude", "floor": 1e-3}],
        (98, 64),
        "float32",
    ),
    "mel int8": (
        SOUND,
        [
            FRAMES,
            {"step": "mel", "bins": 40, "fft_size": 512, "log": False},
            {"step": "scale", "factor": 12.7, "offset": -3.3},
            {"step": "cast", "dtype": "int8"},
        ],
        (98, 40, 1),
        "int8",
    ),
}  # fmt: skip


def raw_of(kind: str) -> Array:
    """A picture or a sound with structure and noise, in integers from the seed."""
    shape, dtype = ((213, 321, 3), np.uint8) if kind == "picture" else ((16_000,), np.int16)
    count = int(np.prod(shape))
    noise = np.frombuffer(hashlib.shake_256(f"{SEED} {kind}".encode()).digest(2 * count), "<u2")
    places = np.arange(count, dtype=np.int64)
    waves = (places * places // 37 + places * 11) % 40_009
    return ((waves + noise // 8) % (256 if kind == "picture" else 65_536)).astype(dtype).reshape(shape)


def hashes() -> dict[str, str]:
    return {name: _hash(Preprocessor(*_built(*case)), raw_of(case[0]["kind"])) for name, case in CASES.items()}


def _built(
    raw: dict[str, Any], steps: list[dict[str, Any]], shape: tuple[int, ...], dtype: str
) -> tuple[Preprocessing, Contract]:
    declared = Preprocessing.model_validate({"inputs": [{"raw": raw, "steps": steps}]})
    tensor = Tensor(name="x", shape=(1, *shape), dtype=dtype)
    return declared, Contract(inputs=(tensor,), outputs=(Tensor(name="y", shape=(1, 2)),))


def _hash(preprocessor: Preprocessor, raw: Array) -> str:
    (made,) = preprocessor.apply(preprocessor.arrange(raw)[0])
    little = np.ascontiguousarray(made, made.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{little.dtype.str}{little.shape}".encode() + little.tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    print(json.dumps({"machine": platform.machine(), "numpy": np.__version__, **hashes()}, indent=1))  # noqa: T201

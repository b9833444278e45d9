"""For the zoo: inputs that resemble real ones, a bare interpreter, a second version.

Imports no code of the product.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image
from tflite_runtime.interpreter import Interpreter

Array = npt.NDArray[Any]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
NOISE: Final = 1e-4  # of each float weight, as a share; and a step of one 8-bit weight in 200
STEPPED: Final = 200
RATE: Final = 16_000  # samples of sound a second
MINIMUM: Final = 64  # values; smaller constants may occur anywhere in a file


def _pictures(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """0-1: a woman's head and shoulders in two of three, else only their colours."""
    portrait = _portrait()
    width, height = portrait.size
    side = rng.uniform(0.55, 0.95) * width
    left, top = rng.uniform(0, width - side), rng.uniform(0, 0.35) * height
    if rng.integers(3) == 0:
        left, top, side = 0.0, 0.8 * height, 0.1 * width
    cut = portrait.crop((int(left), int(top), int(left + side), int(top + side)))
    picture = np.asarray(cut.resize((shape[-2], shape[-3]), Image.Resampling.BILINEAR), np.float32) / 255
    lit = picture * rng.uniform(0.8, 1.2) + rng.normal(0, 0.01, shape[-3:])
    return np.asarray(np.clip(lit, 0, 1), np.float32)


@functools.cache
def _portrait() -> Image.Image:
    """Rear Admiral Grace Hopper, in the public domain; matplotlib brings her."""
    with Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg") as picture:
        return picture.convert("RGB")


def _sound(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Four tones that swell and fade, and noise, within -1 and 1."""
    count = max(shape)
    at = np.arange(count) / RATE
    tones = sum(np.sin(2 * np.pi * rng.uniform(80, 6000) * at + rng.uniform(0, 6)) for _ in range(4))
    swell = np.sin(np.pi * np.clip(at / at[-1] * rng.uniform(0.5, 3), 0, None)) ** 2
    sound = 0.2 * tones * swell + rng.normal(0, 0.01, count)
    return np.asarray(np.clip(sound, -1, 1).reshape(shape), np.float32)


def _bytes(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Frames of a spectrum in the 256 steps of int8."""
    spectrum = rng.integers(-128, 90, shape[-1]) + rng.integers(-30, 31, shape)
    return np.clip(spectrum, -128, 127).astype(np.int8)


def _places(rng: np.random.Generator, _shape: tuple[int, ...]) -> Array:
    return np.array([rng.uniform(-60, 70), rng.uniform(-180, 180), rng.integers(1, 49)], np.float32)


DRAWS: Final[dict[str, Draw]] = {
    "pictures": _pictures,
    "sound": _sound,
    "bytes": _bytes,
    "places": _places,
    "embeddings": lambda rng, shape: rng.normal(0, rng.choice([1, 15]), shape).astype(np.float32),
    "spectra": lambda rng, shape: rng.uniform(-2, 8, shape).astype(np.float32),
    "angles": lambda rng, shape: rng.uniform(0, 2 * np.pi, shape).astype(np.float32),
}


def rows_like(what: str, shape: tuple[int, ...], count: int, seed: int) -> list[Array]:
    """Inputs of one row each, without the batch."""
    rng = np.random.default_rng(seed)
    return [DRAWS[what](rng, shape) for _ in range(count)]


def input_shape(tflite: bytes, free_size: int) -> tuple[int, ...]:
    """Of one row of a model with one input, with `free_size` where a size is free."""
    (tensor,) = Interpreter(model_content=tflite).get_input_details()
    return tuple(free_size if size < 0 else int(size) for size in tensor["shape_signature"][1:])


def answers(tflite: bytes, rows: Sequence[Array]) -> list[list[Array]]:
    """What a bare interpreter gives for row after row, in the model's own types."""
    model = Interpreter(model_content=tflite, num_threads=1)
    (given,) = model.get_input_details()
    if tuple(given["shape"]) != (1, *rows[0].shape):
        model.resize_tensor_input(given["index"], (1, *rows[0].shape))
    model.allocate_tensors()
    found = []
    for row in rows:
        model.set_tensor(given["index"], row[None])
        model.invoke()
        found.append([model.get_tensor(tensor["index"]).copy() for tensor in model.get_output_details()])
    return found


def second_version(tflite: bytes) -> bytes:
    """The same network with noise in its weights, too little to matter."""
    rng, changed, places = np.random.default_rng(5), bytearray(tflite), 0
    for values in _constants(tflite):
        content = values.tobytes()
        at = tflite.find(content)
        if at < 0 or tflite.find(content, at + 1) >= 0:
            continue  # computed, or not to be told from another
        changed[at : at + len(content)] = _noisy(values, rng).tobytes()
        places += 1
    assert places, "no weights were found"
    return bytes(changed)


def _noisy(values: Array, rng: np.random.Generator) -> Array:
    if values.dtype.kind == "f":
        return np.asarray(values * (1 + NOISE * rng.standard_normal(values.shape)), values.dtype)
    stepped = rng.integers(0, STEPPED, values.shape) == 0
    return np.where(stepped & (values < np.iinfo(values.dtype).max), values + 1, values).astype(values.dtype)


def _constants(tflite: bytes) -> list[Array]:
    """Weights as the file has them; read as the publisher does, for the same reason."""
    model = Interpreter(model_content=tflite, num_threads=1)
    ops = model._get_ops_details()
    made = {int(index) for op in ops for index in op["outputs"]}
    taken = {int(index) for op in ops for index in op["inputs"]} - made - {-1}
    taken -= {int(tensor["index"]) for tensor in model.get_input_details()}
    found = []
    for index in sorted(taken):
        kind = np.dtype(model._interpreter.TensorType(index, 0))
        if kind in (np.float32, np.float16, np.int8):
            values = model.get_tensor(index)
            found += [values] if values.size >= MINIMUM else []
    return found


def types(tflite: bytes) -> str:
    """What it takes and gives, such as `int8 [1, 3, 40] to uint8 [1, 1]`."""
    model = Interpreter(model_content=tflite)
    sides = (model.get_input_details(), model.get_output_details())
    return " to ".join(", ".join(_type(tensor) for tensor in side) for side in sides)


def _type(tensor: dict[str, Any]) -> str:
    return f"{np.dtype(tensor['dtype']).name} {[int(size) for size in tensor['shape_signature']]}"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

"""The child's side of `keras_file`: opens one model file and converts it. Run as a program; needs TensorFlow.

The folder given holds `job.json` and perhaps `calibration.npy`; `result.json` and the .tflite files are left in it.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.errors import BadModel, FerryError
from publisher.learning.conversion.keras_model_file import kind_of, open_network
from publisher.learning.conversion.tflite_converter import run_converter
from publisher.learning.data.dataset import Floats
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tensorflow

MEMORY_BASE_BYTES: Final = 16_000_000_000  # address space; TensorFlow reserves far more than it uses
ERROR_MAX_CHARS: Final = 600


def main(folder: Path) -> int:
    """Do the job of this folder."""
    job = json.loads((folder / "job.json").read_text())
    path = Path(job["path"])
    _limit(job["timeout_s"])
    try:
        result = convert(path, folder, trust_code=job["trust_code"])
    except FerryError as refused:
        result = {"error": refused.message, "hint": refused.hint, "kind": type(refused).__name__}
    except MemoryError:
        result = {
            "error": f"{path.name} needs more memory than there is",
            "hint": "use a smaller model",
            "kind": "BadModel",
        }
    except Exception as failure:  # noqa: BLE001 - Keras and TensorFlow raise anything at a file that is wrong
        said = " ".join(str(failure).split())[:ERROR_MAX_CHARS]
        result = {"error": f"{type(failure).__name__}: {said}", "kind": "Unforeseen"}
    (folder / "result.json").write_text(json.dumps(result))
    return 0


def convert(path: Path, folder: Path, *, trust_code: bool) -> dict[str, Any]:
    """Write `float32.tflite`, and `int8.tflite` where there is something to calibrate it with."""
    begin = _converters(path, trust_code=trust_code)
    float32 = _called(path, lambda: run_converter(begin()))
    (folder / "float32.tflite").write_bytes(float32)
    reason = _why_no_int8(folder, float32)
    if not reason:
        reason = _int8_written(begin(), folder)
    return {"left_out": {"int8": reason} if reason else {}}


def _called(path: Path, convert: Callable[[], bytes]) -> bytes:
    """What it gives; a refusal that names the file."""
    try:
        return convert()
    except BadModel as refused:
        raise BadModel(f"{path.name}: {refused.message}", hint=refused.hint) from refused


def _int8_written(converter: Any, folder: Path) -> str:
    """Write `int8.tflite`; or the reason why it cannot be made of what could be converted to floats."""
    try:
        (folder / "int8.tflite").write_bytes(_int8(converter, np.load(folder / "calibration.npy", allow_pickle=False)))
    except BadModel as refused:
        return refused.message
    return ""


def _converters(path: Path, *, trust_code: bool) -> Callable[[], Any]:
    """Makes a converter of the file as often as it is asked."""
    if kind_of(path) == "saved_model":  # from its graph: no layer is made, no code of theirs runs
        return lambda: load_tensorflow().lite.TFLiteConverter.from_saved_model(str(path))
    network = open_network(path, trust_code=trust_code)  # refuses much before TensorFlow is loaded
    return lambda: load_tensorflow().lite.TFLiteConverter.from_keras_model(network)


def _why_no_int8(folder: Path, float32: bytes) -> str:
    tf = load_tensorflow()
    with silence_tensorflow():
        inputs = tf.lite.Interpreter(model_content=float32).get_input_details()
    if len(inputs) != 1:
        return f"the model takes {len(inputs)} inputs, and ranges are found for one only"
    place = folder / "calibration.npy"
    if not place.is_file():
        return "it needs samples to find its ranges by: give --data"
    taken, given = list(inputs[0]["shape"][1:]), list(np.load(place, mmap_mode="r").shape[1:])
    return "" if taken == given else "the data does not fit the model"


def _int8(converter: Any, calibration: Floats) -> bytes:
    tf = load_tensorflow()

    def representative() -> Iterator[list[Floats]]:
        for index in range(len(calibration)):
            yield [calibration[index : index + 1]]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return run_converter(converter)


def _limit(timeout_s: int) -> None:
    """Bound what a hostile file can take: processor time on two cores, memory, and no core file."""
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, 2 * timeout_s),
        (resource.RLIMIT_AS, MEMORY_BASE_BYTES),
    ):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

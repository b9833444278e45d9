"""The program of `keras_sandbox`: converts one model file. Needs TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.errors import BadModel, FerryError
from protocol.host.child_process import serve_job
from publisher.learning.conversion.keras_model_file import kind_of, open_network
from publisher.learning.conversion.keras_sandbox import unopened
from publisher.learning.conversion.recurrent_layers import with_loops
from publisher.learning.conversion.tflite_converter import run_converter, run_int8_converter
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tensorflow

ERROR_MAX_CHARS: Final = 600
LOOP: Final = "WHILE"


def work(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Convert the file of the job. Raises BadModel, MissingPart."""
    path = Path(job["path"])
    try:
        return convert(path, folder, trust_code=job["trust_code"])
    except FerryError:
        raise
    except MemoryError:
        raise BadModel(f"{path.name} needs more memory than there is", hint="use a smaller model") from None
    except Exception as failure:  # noqa: BLE001 - Keras and TensorFlow raise anything at a file that is wrong
        message = " ".join(str(failure).split())[:ERROR_MAX_CHARS]
        raise unopened(path, f"{type(failure).__name__}: {message}") from None


def convert(path: Path, folder: Path, *, trust_code: bool) -> dict[str, Any]:
    """Write `float32.tflite`, and `int8.tflite` when there is calibration data."""
    begin = _converters(path, trust_code=trust_code)
    try:
        float32 = run_converter(begin())
    except BadModel as refused:
        raise BadModel(f"{path.name}: {refused.message}", hint=refused.hint) from refused
    (folder / "float32.tflite").write_bytes(float32)
    reason = _why_no_int8(folder, float32) or _write_int8(begin(), folder)
    return {"left_out": {"int8": reason} if reason else {}}


def _write_int8(converter: Any, folder: Path) -> str:
    """Write `int8.tflite`, or return why it cannot be made although float32 could."""
    try:
        calibration = np.load(folder / "calibration.npy", allow_pickle=False)
        (folder / "int8.tflite").write_bytes(run_int8_converter(converter, [calibration]))
    except BadModel as refused:
        return refused.message
    return ""


def _converters(path: Path, *, trust_code: bool) -> Callable[[], Any]:
    """A function that returns a new converter of the file at each call."""
    if kind_of(path) == "saved_model":  # from its graph: no layer is made, none of its code runs
        return lambda: load_tensorflow().lite.TFLiteConverter.from_saved_model(str(path))
    network = open_network(path, trust_code=trust_code)  # rejects most bad files before TensorFlow is loaded
    looped = with_loops(network)
    return lambda: load_tensorflow().lite.TFLiteConverter.from_keras_model(looped)


def _why_no_int8(folder: Path, float32: bytes) -> str:
    tf = load_tensorflow()
    with silence_tensorflow():
        model = tf.lite.Interpreter(model_content=float32)
        inputs, operations = model.get_input_details(), {op["op_name"] for op in model._get_ops_details()}
    if LOOP in operations:  # the quantizer would end the process
        return "it has loops, in which the converter finds no ranges"
    if len(inputs) != 1:
        return f"the model takes {len(inputs)} inputs, and ranges are found for one only"
    place = folder / "calibration.npy"
    if not place.is_file():
        return "it needs samples to find its ranges by: give --data"
    taken, given = list(inputs[0]["shape"][1:]), list(np.load(place, mmap_mode="r").shape[1:])
    return "" if taken == given else "the data does not fit the model"


if __name__ == "__main__":
    serve_job(work)

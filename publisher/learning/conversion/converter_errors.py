"""Turns long errors of TensorFlow Lite's converter into one line."""

from __future__ import annotations

import re
from typing import Final

from protocol.errors import BadModel

REFUSED: Final = re.compile(r"'tf\.(\w+)' op ")  # the operations that it names as the cause
NAMED: Final = re.compile(r"""['"]tf\.(\w+)['"]""")  # any operation left in its partial output
DOUBLES: Final = re.compile(r"tensor<[^>]*xf64>")
LISTS: Final = "TensorList"  # what a loop over time steps stores its results in
NAMED_MAX: Final = 4
REMARK_MAX_CHARS: Final = 160


def conversion_error(failure: Exception) -> BadModel:
    """The error for a person, in one line; the caller adds the name of the file."""
    text = str(failure)
    operations = ", ".join(operations_of(text))
    if DOUBLES.search(text):
        which = f" ({operations})" if operations else ""
        return BadModel(
            f"the network computes in float64{which}, which TensorFlow Lite cannot",
            hint="keep it in float32: leave dtype='float64' and set_floatx('float64') out",
        )
    if LISTS in operations:
        return BadModel(
            f"the network has a loop over time steps that TensorFlow Lite cannot run ({operations})",
            hint="make it of LSTM, GRU or RNN layers of tf_keras, or unroll it: unroll=True",
        )
    if operations:
        return BadModel(
            f"the network needs {operations}, which TensorFlow Lite does not have",
            hint="put other operations in its place, or do that part to the samples before the network gets them",
        )
    remark = next((line.strip() for line in text.splitlines() if line.strip()), type(failure).__name__)
    return BadModel(
        f"the network cannot be converted to TensorFlow Lite: {remark[:REMARK_MAX_CHARS]}",
        hint="build it of layers that TensorFlow Lite knows, such as Dense and Conv2D",
    )


def operations_of(text: str) -> list[str]:
    return list(dict.fromkeys(REFUSED.findall(text) or NAMED.findall(text)))[:NAMED_MAX]

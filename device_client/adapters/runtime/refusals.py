"""Reads why the runtime does not open or run a file, from its own words."""

from __future__ import annotations

import re
from typing import Final

from protocol.errors import BadModel, FerryError, MissingPart

EDGE_TPU: Final = "edgetpu-custom-op"  # all that is left of a file compiled for Coral's accelerator
_CUSTOM: Final = re.compile(r"unresolved custom op: (\S+?)\.?\s")
_FLEX: Final = re.compile(r"\(Flex(\w+)\)")
_BUILTIN: Final = re.compile(r"builtin opcode '(\w+)' version '(\d+)'")


def open_error(name: str, failure: BaseException) -> FerryError:
    """The error for the file `name`, with the operation that the runtime lacks."""
    text = f"{failure.__cause__ or failure} "
    if flex := _FLEX.search(text):
        return BadModel(
            f"{name} needs {flex[1]} of full TensorFlow, which a TensorFlow Lite runtime has not",
            hint="convert it without SELECT_TF_OPS",
        )
    if custom := _CUSTOM.search(text):
        if custom[1] == EDGE_TPU:
            return MissingPart(
                f"{name} is compiled for an Edge TPU, and no delegate for one is set on this device",
                hint='set delegates = [{ library = "libedgetpu.so.1" }] for the model in device.toml',
            )
        return BadModel(
            f"{name} needs the custom operation {custom[1]}, which this runtime has not",
            hint="convert it without, or set a delegate that computes it",
        )
    if builtin := _BUILTIN.search(text):
        return BadModel(
            f"{name} needs {builtin[1]} in version {builtin[2]}, which this runtime has not",
            hint="update the runtime, or convert the model with an older TensorFlow",
        )
    return BadModel(f"the runtime could not open {name}: {first_line(failure)}")


def first_line(failure: BaseException) -> str:
    text = str(failure.__cause__ or failure).strip()
    return text.splitlines()[0][:300] if text else type(failure).__name__

"""Opens a picture file as an application gives a picture to a model. Needs Pillow.

Pillow only decodes: sizes and numbers are the model's own preprocessing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadInput, MissingPart
from protocol.messages.contract import Contract, described
from protocol.messages.preprocessing import PictureInput, Preprocessing
from protocol.preprocessing.raw_input import PIXELS_MAX

CHANNELS: Final = {1: "grey", 3: "RGB"}


def read_picture(path: Path, order: str = "RGB") -> NDArray[np.uint8]:
    """uint8 (height, width, channels), upright. Raises BadInput, MissingPart."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError  # here, as it may not be installed
    except ModuleNotFoundError:
        raise MissingPart(
            "picture files are opened with Pillow, which is not installed", hint='type: pip install "edgeferry[image]"'
        ) from None
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > PIXELS_MAX:
                raise BadInput(f"{path} has {width} x {height} pixels, over the limit of {PIXELS_MAX:,}")
            upright = ImageOps.exif_transpose(image).convert("L" if order == "grey" else "RGB")
            array = np.asarray(upright, np.uint8)
    except FileNotFoundError:
        raise BadInput(f"there is no {path}") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as broken:
        raise BadInput(f"{path} is no picture that Pillow opens: {str(broken)[:200]}") from None
    array = array.reshape(array.shape[0], array.shape[1], -1)
    return array[..., ::-1] if order == "BGR" else array


def order_for(preprocessing: Preprocessing | None, contract: Contract) -> str:
    """The channels of a picture for this model. Raises BadInput if it takes none."""
    if len(contract.inputs) != 1:
        raise BadInput(
            f"the model takes {len(contract.inputs)} inputs, a picture is one", hint="give an .npz with all of them"
        )
    raw: Any = preprocessing.inputs[0].raw if preprocessing else None
    if isinstance(raw, PictureInput):
        return raw.order
    shape, tensor = contract.row_shape(contract.inputs[0]), contract.inputs[0]
    if raw is None and tensor.dtype == "uint8" and len(shape) == 3 and shape[2] in CHANNELS:
        return CHANNELS[shape[2]]
    raise BadInput(
        f"the model takes {described(tensor)}, and no preprocessing says how a picture becomes that",
        hint="give an .npz; or release the model with --preprocessing: docs/PREPROCESSING.md",
    )

"""A picture file as an application gives a picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from device_client.diagnostics.picture_file import order_for, read_picture
from protocol.errors import BadInput
from protocol.messages.contract import Contract, Tensor
from protocol.messages.preprocessing import Preprocessing
from tests.test_architecture import ROOT

COLOURS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(COLOURS).save(path)
    return path


def a_contract(*, dtype: str = "uint8", shape: tuple[int, ...] = (1, 4, 6, 3), inputs: int = 1) -> Contract:
    tensors = tuple(Tensor(name=f"x{index}", shape=shape, dtype=dtype) for index in range(inputs))
    return Contract(inputs=tensors, outputs=(Tensor(name="y", shape=(1, 2)),))


def test_a_picture_has_the_channels_that_are_asked_for(file: Path) -> None:
    np.testing.assert_array_equal(read_picture(file), COLOURS)
    np.testing.assert_array_equal(read_picture(file, "BGR"), COLOURS[..., ::-1])
    assert read_picture(file, "grey").shape == (4, 6, 1)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_every_kind_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / f"picture.{'jpg' if mode == 'CMYK' else 'png'}"
    Image.fromarray(COLOURS).convert(mode).save(path)
    assert read_picture(path).shape == (4, 6, 3)


def test_a_camera_that_was_held_upright_is_believed(tmp_path: Path) -> None:
    path, turned = tmp_path / "turned.jpg", Image.Exif()
    turned[0x0112] = 6  # a quarter to the right
    Image.fromarray(COLOURS).save(path, exif=turned)
    assert read_picture(path).shape == (6, 4, 3)


def test_what_is_no_picture_is_told_by_its_name(tmp_path: Path, file: Path) -> None:
    words, half = tmp_path / "words.jpg", tmp_path / "half.png"
    words.write_text("no picture")
    half.write_bytes(file.read_bytes()[:60])
    for path in (words, half, tmp_path, tmp_path / "none.jpg"):
        with pytest.raises(BadInput, match=path.name):
            read_picture(path)


@pytest.mark.parametrize(
    ("declared", "contract", "order"),
    [
        ({"raw": {"kind": "picture", "order": "BGR"}}, a_contract(), "BGR"),
        (None, a_contract(), "RGB"),
        (None, a_contract(shape=(1, 4, 6, 1)), "grey"),
    ],
)
def test_the_model_says_which_channels(declared: Any, contract: Contract, order: str) -> None:
    preprocessing = Preprocessing.model_validate({"inputs": [declared]}) if declared else None
    assert order_for(preprocessing, contract) == order


@pytest.mark.parametrize("contract", [a_contract(dtype="float32"), a_contract(shape=(1, 4)), a_contract(inputs=2)])
def test_a_model_of_no_pictures_is_told(contract: Contract) -> None:
    with pytest.raises(BadInput):
        order_for(None, contract)


def test_without_pillow_the_command_to_install_it_is_told() -> None:
    program = (
        "import sys; from pathlib import Path; sys.modules['PIL'] = None\n"
        "from device_client.diagnostics.picture_file import read_picture\n"
        "from protocol.errors import MissingPart\n"
        "try: read_picture(Path('cat.jpg'))\n"
        "except MissingPart as missing: print(missing.hint)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "edgeferry[image]" in run.stdout

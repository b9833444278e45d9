"""A recipe that declares its preprocessing is trained on what devices will compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadRecipe
from protocol.messages.contract import Contract, Tensor
from protocol.preprocessing.preprocessor import Preprocessor
from publisher.learning.recipe.heldout import write_heldout_npz
from publisher.learning.recipe.recipe import Recipe, load_recipe

RECIPE = """
import numpy as np

preprocessing = {
    "raw": {"kind": "picture"},
    "steps": [{"step": "resize", "width": 4, "height": 3}, {"step": "scale", "factor": 1 / 255}],
}

def load_data():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 9, 8, 3), dtype=np.uint8)
    y = np.arange(40) % 4
    return x[:30], y[:30], x[30:], y[30:]

def build_model():
    raise RuntimeError("loading a recipe builds no network")
"""


def loaded(folder: Path, added: str = "") -> Recipe:
    path = folder / "recipe.py"
    path.write_text(RECIPE + added)
    return load_recipe(path)


def test_both_halves_are_what_a_device_computes_of_the_raw_pictures(tmp_path: Path) -> None:
    recipe = loaded(tmp_path)
    assert recipe.data.features == (3, 4, 3)
    assert recipe.preprocessing is not None
    assert recipe.raw_test[0].shape == (10, 9, 8, 3)
    contract = Contract(inputs=(Tensor(name="x", shape=(1, 3, 4, 3)),), outputs=(Tensor(name="y", shape=(1, 4)),))
    (on_the_device,) = Preprocessor(recipe.preprocessing, contract).apply(list(recipe.raw_test))
    np.testing.assert_array_equal(recipe.data.x_test, on_the_device)


def test_held_back_pictures_are_written_raw_for_a_replay(tmp_path: Path) -> None:
    write_heldout_npz(loaded(tmp_path), tmp_path / "held.npz")
    with np.load(tmp_path / "held.npz") as held:
        assert (held["x"].dtype, held["x"].shape) == (np.uint8, (10, 9, 8, 3))


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ("preprocessing['steps'].append({'step': 'rotate'})", "preprocessing in recipe.py: there is no step 'rotate'"),
        ("preprocessing['steps'].pop()", "leads to uint8"),
        ("preprocessing['steps'].pop(0)", r"lead to float32 \[\?, \?, 3\]"),
        ("preprocessing = {'inputs': [{}]}", "has no raw"),
        ("preprocessing = {'inputs': [preprocessing] * 2}", "leads to 2 inputs"),
        ("def preprocess(x): return x", "both preprocess"),
        ("preprocessing['raw'] = {'kind': 'picture', 'order': 'grey'}", "load_data.. in recipe.py: the input is uint8"),
        ("old = load_data\ndef load_data(): return {'a': 1}, *old()[1:]", "returned a dict"),
    ],
)
def test_a_recipe_whose_steps_lead_nowhere_is_refused(tmp_path: Path, added: str, told: str) -> None:
    with pytest.raises(BadRecipe, match=told):
        loaded(tmp_path, added)

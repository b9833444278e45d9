"""`publisher release --preprocessing`: raw data, raw golden inputs, what may change."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_client.adapters.runtime.tflite import open_model
from protocol.messages.preprocessing import Preprocessing
from protocol.preprocessing.preprocessor import Preprocessor
from publisher.adapters.registry.registry import Registry
from tests.integration.publisher_cli import PublisherCli

RESIZE = {"step": "resize", "width": 2, "height": 2}
SCALE = {"step": "scale", "factor": 1 / 255}


def written(folder: Path, name: str, *steps: dict[str, Any], order: str = "grey") -> Path:
    path = folder / name
    path.write_text(json.dumps({"raw": {"kind": "picture", "order": order}, "steps": steps}))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    path = tmp_path / "pictures.npz"
    rng = np.random.default_rng(1)
    np.savez(path, x=rng.integers(0, 256, (40, 9, 7, 1), dtype=np.uint8), y=rng.integers(0, 3, 40))
    return path


def test_raw_data_are_prepared_measured_and_kept_raw_as_golden_inputs(
    publisher: PublisherCli, flowers: Path, tmp_path: Path, pictures: Path
) -> None:
    declared = written(tmp_path, "pre.json", RESIZE, SCALE)
    release = ("release", "flowers", "--tflite", flowers, "--json", "--version")
    said = publisher.run_here(*release, "1.0.0", "--preprocessing", declared, "--data", pictures).json
    assert said["accuracy"] is not None
    with Registry.open(publisher.registry) as registry:
        manifest = registry.versions.manifest("flowers", "1.0.0")
        content = registry.blobs.path(manifest.golden.sha256).read_bytes()
    assert isinstance(manifest.preprocessing, Preprocessing)
    assert manifest.variants[0].requires.runtime == "tflite+preprocessing"
    golden = np.load(io.BytesIO(content))
    assert (golden["input_0"].dtype, golden["input_0"].shape[1:]) == (np.uint8, (9, 7, 1))
    (inputs,) = Preprocessor(manifest.preprocessing, manifest.contract).apply([golden["input_0"]])
    np.testing.assert_allclose(
        golden["original_output_0"], open_model(flowers).run([inputs])[0], atol=manifest.variants[0].golden_tolerance
    )


def test_steps_may_change_and_go_on_by_themselves_but_not_what_applications_give(
    publisher: PublisherCli, flowers: Path, tmp_path: Path
) -> None:
    release = ("release", "flowers", "--tflite", flowers, "--version")
    publisher.run_here(*release, "1.0.0", "--preprocessing", written(tmp_path, "one.json", RESIZE, SCALE))
    publisher.run_here(*release, "1.0.1")  # as before
    changed = written(tmp_path, "two.json", {**RESIZE, "antialias": True}, SCALE)
    told = publisher.run_here(*release, "1.1.0", "--preprocessing", changed).err
    assert "the preprocessing of input 0 is resize(width=2, height=2, antialias=True)" in told
    shown = publisher.run_here("show", "flowers", "1.1.0").out
    assert "an application gives uint8 (height, width, 1) of any size, grey" in shown
    refused = publisher.run_here(*release, "2.0.0", "--preprocessing", "none", expect=2).err
    assert "an application must give float32" in refused
    with Registry.open(publisher.registry) as registry:
        manifests = [registry.versions.manifest("flowers", version) for version in ("1.0.0", "1.0.1", "1.1.0")]
    assert manifests[0].preprocessing == manifests[1].preprocessing != manifests[2].preprocessing


RECIPE = """
import numpy as np
from sklearn.datasets import load_digits

preprocessing = {
    "raw": {"kind": "picture", "order": "grey"},
    "steps": [{"step": "resize", "width": 6, "height": 6, "antialias": True}, {"step": "scale", "factor": 1 / 255}],
}

def load_data():
    digits = load_digits()
    x = (digits.images * 15).astype(np.uint8)[..., None]
    return x[:1500], digits.target[:1500], x[1500:], digits.target[1500:]

def build_model():
    import tf_keras
    layers = [tf_keras.Input(shape=(6, 6, 1)), tf_keras.layers.Flatten(), tf_keras.layers.Dense(10, "softmax")]
    return tf_keras.Sequential(layers)
"""


@pytest.mark.slow
def test_a_recipe_trains_on_raw_pictures_and_releases_how_they_are_prepared(
    publisher: PublisherCli, tmp_path: Path
) -> None:
    recipe = tmp_path / "small_digits.py"
    recipe.write_text(RECIPE)
    release = ("release", "digits", "--version", "1.0.0", "--recipe", recipe, "--variants", "float32", "--force")
    said = publisher.run(*release, "--epochs", "5", "--json").json
    assert said["accuracy"] > 0.5
    with Registry.open(publisher.registry) as registry:
        manifest = registry.versions.manifest("digits", "1.0.0")
        golden = np.load(registry.blobs.path(manifest.golden.sha256))
        raw, expected = golden["input_0"], golden["float32_output_0"]
        model = open_model(registry.blobs.path(manifest.variants[0].sha256))
    assert (raw.dtype, raw.shape[1:]) == (np.uint8, (8, 8, 1))
    assert manifest.known_preprocessing is not None
    (inputs,) = Preprocessor(manifest.known_preprocessing, manifest.contract).apply([raw])
    outputs = np.concatenate([model.run([each[np.newaxis]])[0] for each in inputs])
    np.testing.assert_allclose(outputs, expected, atol=manifest.variants[0].golden_tolerance)
    assert manifest.variants[0].requires.runtime == "tflite+preprocessing"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--preprocessing", "nowhere.toml"], "cannot be read"),
        (["--preprocessing", "metadata"], "describe no picture"),
        (["--preprocessing", "MISFIT"], "does not fit flowers-float32.tflite"),
        (["--preprocessing", "GOOD", "--data", "FLOATS"], "floats.npz: the input is float32"),
    ],
)
def test_what_cannot_be_is_told(
    publisher: PublisherCli, flowers: Path, tmp_path: Path, words: list[str], told: str
) -> None:
    np.savez(tmp_path / "floats.npz", x=np.zeros((9, 4), np.float32))
    places = {
        "MISFIT": written(tmp_path, "misfit.json", SCALE),
        "GOOD": written(tmp_path, "good.json", RESIZE, SCALE),
        "FLOATS": tmp_path / "floats.npz",
    }
    arguments = [places.get(word, word) for word in words]
    assert (
        told
        in publisher.run_here("release", "flowers", "--version", "1", "--tflite", flowers, *arguments, expect=2).err
    )

"""Versions with their own preprocessing: proved, served and shadowed on raw inputs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from device_client import EdgeModel
from device_client.adapters.runtime.tflite import open_model
from device_client.adapters.sandbox.parent import TrialProcess
from device_client.core.state import Device, Phase
from device_client.ports.proof import NotTried, Proof, ProofOrder
from device_client.ports.serving import ModelFile
from device_client.serving.live_serving import LiveServing
from protocol.errors import BadInput, BadModel
from protocol.messages.contract import Contract
from protocol.messages.preprocessing import NewerPreprocessing, Preprocessing
from protocol.preprocessing.preprocessor import Preprocessor
from tests.brokers import mosquitto, url_of
from tests.integration.fleet import a_device, run_command
from tests.integration.unchecked_publisher import Source, UncheckedPublisher, golden_of
from tests.recorder import WITHIN_S, poll_until

Array = NDArray[Any]
SCALE: Final = {"step": "scale", "factor": 1 / 16, "offset": -8.0}  # so far from 0 that there are several answers


def declared(*steps: dict[str, Any], order: str = "grey") -> Preprocessing:
    return Preprocessing.model_validate({"inputs": [{"raw": {"kind": "picture", "order": order}, "steps": steps}]})


# The flowers model takes four numbers: here, a picture of two by two.
WHOLE: Final = declared({"step": "resize", "width": 2, "height": 2, "antialias": True}, SCALE)
MIDDLE: Final = declared(
    {"step": "crop", "width": 24, "height": 20}, {"step": "resize", "width": 2, "height": 2, "antialias": True}, SCALE
)


def some_pictures() -> Array:
    """Four areas of one level each, and noise: the middle is much like the whole."""
    rng = np.random.default_rng(2)
    areas = rng.integers(20, 236, (12, 2, 2, 1)).repeat(15, axis=1).repeat(20, axis=2)
    return (areas + rng.integers(-20, 20, areas.shape)).astype(np.uint8)


PICTURES: Final = some_pictures()


def inputs_of(preprocessing: Preprocessing, contract: Contract, pictures: Array = PICTURES) -> list[Array]:
    preprocessor = Preprocessor(preprocessing, contract)
    return preprocessor.apply(preprocessor.arrange(pictures)[0])


def answers_of(file: Path, preprocessing: Preprocessing) -> Array:
    """What a bare interpreter gives for the preprocessed pictures, one by one."""
    model = open_model(file)
    (inputs,) = inputs_of(preprocessing, model.contract)
    return np.concatenate([model.run([inputs[at : at + 1]])[0] for at in range(len(inputs))])


def a_source(file: Path, preprocessing: Preprocessing) -> Source:
    golden = golden_of(PICTURES[:8], answers_of(file, preprocessing)[:8])
    return Source(file, open_model(file).contract, golden, tolerance=1e-6, preprocessing=preprocessing)


@pytest.fixture
def serving() -> Iterator[LiveServing]:
    opened = LiveServing()
    yield opened
    opened.close()


def a_file(path: Path, preprocessing: Preprocessing | NewerPreprocessing, version: str = "1.0.0") -> ModelFile:
    return ModelFile(path, version, "float32", open_model(path).contract, preprocessing=preprocessing)


def test_two_versions_take_the_same_raw_pictures_each_in_its_own_way(flowers: Path, tmp_path: Path) -> None:
    right = {version: answers_of(flowers, each) for version, each in (("1.0.0", WHOLE), ("2.0.0", MIDDLE))}
    assert not np.array_equal(right["1.0.0"], right["2.0.0"])
    alike = np.flatnonzero(right["1.0.0"].argmax(axis=1) == right["2.0.0"].argmax(axis=1))  # the trial adopts
    with (
        mosquitto() as broker,
        UncheckedPublisher(url_of(broker), tmp_path) as publisher,
    ):
        pi = a_device(tmp_path / "pi", "pi", broker.url, publisher.authority.root)
        publisher.add_version("1.0.0", a_source(flowers, WHOLE))
        publisher.add_version("2.0.0", a_source(flowers, MIDDLE))
        with EdgeModel(pi.config) as model:
            assert model.preprocessing is None
            for version, preprocessing in (("1.0.0", WHOLE), ("2.0.0", MIDDLE)):
                publisher.announce(version)
                assert model.wait_ready(WITHIN_S)
                deadline_s = time.monotonic() + WITHIN_S
                while (device := pi.remembered()) is None or not _committed(device, version):
                    assert time.monotonic() < deadline_s, device
                    for at in alike:
                        answer = model.predict(PICTURES[at])
                        np.testing.assert_array_equal(answer.output, right[answer.version][at])
                assert model.preprocessing == preprocessing
        picture = tmp_path / "picture.png"
        Image.fromarray(PICTURES[3, ..., 0]).save(picture)
        for version in ("1.0.0", "2.0.0"):
            asked = ("predict", "--image", str(picture), "--config", str(pi.config), "--version", version)
            said = json.loads(run_command(*asked, "--json").out)
            assert said["version"] == version
            np.testing.assert_array_equal(np.array(said["output"], np.float32), right[version][3])
        assert "3.0.0 is not installed here" in run_command(*asked[:-1], "3.0.0").err


def _committed(device: Device, version: str) -> bool:
    return device.phase is Phase.COMMITTED and device.live is not None and device.live.version == version


def prove(order: ProofOrder) -> Proof:
    told: Queue[Proof | NotTried] = Queue()
    TrialProcess().start(order, told.put)
    proof = told.get(timeout=WITHIN_S)
    assert isinstance(proof, Proof), proof.reason
    return proof


def test_raw_golden_inputs_prove_the_preprocessing(flowers: Path, tmp_path: Path) -> None:
    golden = tmp_path / "golden.npz"
    golden.write_bytes(a_source(flowers, WHOLE).golden)
    contract = open_model(flowers).contract
    order = ProofOrder(flowers, golden, "float32", 1e-6, contract, 200_000_000, WITHIN_S, preprocessing=WHOLE)
    proof = prove(order)
    assert proof.passed, proof.reason
    assert proof.max_error == 0.0
    assert not prove(replace(order, preprocessing=MIDDLE)).passed
    misfit = prove(replace(order, preprocessing=declared(SCALE)))
    assert "does not fit" in misfit.reason


def test_a_shadow_gets_the_raw_picture_and_prepares_it_itself(serving: LiveServing, flowers: Path) -> None:
    serving.swap(a_file(flowers, WHOLE))
    serving.start_shadow(a_file(flowers, MIDDLE, "2.0.0"))
    for picture in PICTURES:
        serving.predict(picture)
    poll_until(lambda: serving.tally().inputs == len(PICTURES), WITHIN_S, lambda: str(serving.tally()))
    same = answers_of(flowers, WHOLE).argmax(axis=1) == answers_of(flowers, MIDDLE).argmax(axis=1)
    assert serving.tally().shadow_errors == 0
    assert serving.tally().agreed == same.sum()


def test_a_batch_of_raw_pictures_is_each_of_them(serving: LiveServing, flowers: Path) -> None:
    serving.swap(a_file(flowers, WHOLE))
    batch = serving.predict(PICTURES)
    np.testing.assert_array_equal(batch.output, [serving.predict(picture).output for picture in PICTURES])


def test_what_is_no_picture_is_told_and_counted_as_the_applications_error(serving: LiveServing, flowers: Path) -> None:
    serving.swap(a_file(flowers, MIDDLE))
    for wrong in (np.zeros(4, np.float32), np.zeros((4, 4), np.uint8)):  # the second is too small for the crop
        with pytest.raises(BadInput):
            serving.predict(wrong)
    window = serving.take_window(at_least=1)
    assert window is not None
    assert (window.sums.inferences, window.sums.errors) == (2, 2)
    assert serving.tally().live_errors == 0


def test_a_file_whose_preprocessing_is_not_known_is_not_served(serving: LiveServing, flowers: Path) -> None:
    serving.swap(a_file(flowers, WHOLE))
    newer = NewerPreprocessing.model_validate({"inputs": [{"steps": [{"step": "rotate"}]}]})
    for unusable in (newer, declared(SCALE)):
        with pytest.raises(BadModel):
            serving.swap(a_file(flowers, unusable, "2.0.0"))
    assert serving.predict(PICTURES[0]).version == "1.0.0"

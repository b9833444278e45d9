"""The types of the public API for an application. Checked by mypy, never run.

`test_public_api.py` checks that wrong uses are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from device_client import EdgeModel, Prediction, Stream
from device_client.settings.loader import DeviceSettings, load
from protocol.messages.contract import Contract, TaskDeclaration
from protocol.messages.device import Feedback, Status
from protocol.messages.inference import InferenceRequest
from protocol.messages.plan import Assignment, Plan


def application(config: Path, x: NDArray[np.float32], picture: NDArray[np.uint8]) -> None:
    with EdgeModel(config, "digits") as model:
        assert_type(model, EdgeModel)
        assert_type(model.wait_ready(1.0), bool)
        assert_type(model.version, str | None)
        assert_type(model.labels, tuple[str, ...])
        assert_type(model.file("anchors.npy"), Path)
        with model.files() as files:
            assert_type(files["anchors.npy"], Path)
            assert_type(files.version, str)
        answer = model.predict(x)
        assert_type(answer, Prediction)
        assert_type(model.predict([x, x]), Prediction)
        assert_type(model.predict({"sound": x, "picture": picture}), Prediction)
        assert_type(model.predict(picture), Prediction)
        assert_type(answer.real_output, NDArray[Any])
        assert_type(answer.real_outputs, tuple[NDArray[Any], ...])
        assert_type(model.contract, Contract | None)
        assert_type(model.task, TaskDeclaration | None)
        with model.stream() as stream:
            assert_type(stream, Stream)
            assert_type(stream.predict(picture), Prediction)
            assert_type(stream.outdated, bool)
            assert_type(stream.version, str)
            stream.restart()
        assert_type(answer.output, NDArray[Any])
        assert_type(answer.top, int | None)
        assert_type(answer.confidence, float | None)
        assert_type(answer.label, str | None)
        assert_type(answer.each(), tuple[Prediction, ...])
        assert_type(model.label(answer, 7), bool)
        assert_type(model.label(answer.id, "seven"), bool)
        model.hold("an operation")
        model.release_hold()


def settings(config: Path) -> None:
    loaded = load(config)
    assert_type(loaded, DeviceSettings)
    assert_type(loaded.state, Path)
    assert_type(loaded.feedback.look_every, int)


def messages(line: bytes) -> None:
    assert_type(Status.from_line(line), Status)
    assert_type(Feedback.from_line(line).drift, float | None)
    assert_type(Plan.from_line(line).assign("pi-1"), Assignment | None)
    assert_type(InferenceRequest(id=1, x=[0.5], label="seven").to_line(), bytes)

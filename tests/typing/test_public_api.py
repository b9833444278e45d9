"""Wrong uses of the public API are found by mypy."""

from __future__ import annotations

import pytest
from mypy import api

from tests.pages import PROJECT

HEAD = """
import numpy as np
from device_client import EdgeModel
from protocol.messages.device import Status
model = EdgeModel("device.toml")
x = np.zeros(4, np.float32)
"""
WRONG = {
    'model.predict("an image")': "arg-type",
    "model.predict(x).classes": "attr-defined",
    "model.label(x, 7)": "arg-type",
    "model.predict(x).top + 1": "operator",
    'model.version = "1.0.0"': "misc",
    "model.hold()": "call-arg",
    "model.contract.inputs": "union-attr",
    "model.stream(x)": "call-arg",
    'Status.from_line("{}")': "arg-type",
    'Status(state="asleep")': "arg-type",
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy finds in all the wrong lines."""
    snippet = tmp_path_factory.mktemp("typing") / "application.py"
    snippet.write_text(HEAD + "\n".join(WRONG) + "\n")
    config = PROJECT / "pyproject.toml"
    found, failure, _ = api.run([f"--config-file={config}", str(snippet)])
    assert not failure
    return found


@pytest.mark.parametrize(("line", "code"), list(enumerate(WRONG.values(), HEAD.count("\n") + 1)))
def test_a_wrong_use_of_the_api_is_an_error(errors: str, line: int, code: str) -> None:
    found = [error for error in errors.splitlines() if f"application.py:{line}:" in error]
    assert any(f"[{code}]" in error for error in found), errors

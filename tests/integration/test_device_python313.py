"""The device extra alone, on a newer Python and its runtime."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.integration.fleet import PROJECT

PROGRAM = PROJECT / "scripts" / "device-on-py313"
NO_SUCH_PYTHON = 77


@pytest.mark.timeout(600)  # the first time it installs
def test_a_device_on_a_newer_python_adopts_the_digits_model_and_answers_right() -> None:
    done = subprocess.run([PROGRAM], capture_output=True, text=True, timeout=580, check=False)
    if done.returncode == NO_SUCH_PYTHON:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    sys.stdout.write(done.stdout)
    assert facts["python"].startswith(("3.12.", "3.13.", "3.14."))
    assert facts["runtime"].startswith("ai-edge-litert ")
    assert int(facts["numpy"].split(".")[0]) >= 2
    assert (facts["version"], facts["failed"]) == ("1.0.0", 0)
    assert facts["predictions"] > 0
    assert facts["accuracy"] > 0.9

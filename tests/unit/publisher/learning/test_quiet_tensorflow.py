"""Output of C++ to file descriptor 2 is discarded; our own and exceptions are not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from publisher.learning.quiet_tensorflow import LEVEL, silence_tensorflow

PROGRAM = """
import os, sys
from publisher.learning.quiet_tensorflow import show_tensorflow_output, silence_tensorflow
{before}
with silence_tensorflow():
    os.write(2, b"noise\\n")
    print("our words", file=sys.stderr)
os.write(2, b"after\\n")
"""


def stderr_of(before: str) -> str:
    calm = {key: value for key, value in os.environ.items() if key != LEVEL}
    command = [sys.executable, "-c", PROGRAM.format(before=before)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=calm).stderr


def test_noise_is_swallowed_and_our_own_words_are_heard() -> None:
    assert stderr_of("") == "our words\nafter\n"


def test_verbose_lets_everything_through() -> None:
    assert stderr_of("show_tensorflow_output()") == "noise\nour words\nafter\n"


def fail_noisily() -> None:
    with silence_tensorflow():
        os.write(2, b"the reason, as C++ told it\n")
        raise RuntimeError("broken")


def test_an_exception_passes_and_takes_the_noise_along() -> None:
    with pytest.raises(RuntimeError, match="broken") as failed:
        fail_noisily()
    assert "the reason, as C++ told it" in failed.value.__notes__[0]

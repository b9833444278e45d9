"""Ctrl-C is heeded also where it comes in the middle of an import."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from publisher.commands.interrupt import interrupt_between_imports

SWALLOWS = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass
except BaseException as caught:
    swallowed = caught
whole = True
"""


def test_a_ctrl_c_in_an_import_waits_for_its_end_and_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_slow_library.py").write_text(SWALLOWS)
    monkeypatch.syspath_prepend(tmp_path)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    with pytest.raises(KeyboardInterrupt):
        _import_and_wait()
    library = sys.modules.pop("a_slow_library")
    assert library.whole
    assert not hasattr(library, "swallowed")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0


def test_a_ctrl_c_outside_of_imports_is_heeded_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        _be_stopped()


def _import_and_wait() -> None:
    with interrupt_between_imports():
        importlib.import_module("a_slow_library")
        time.sleep(30)  # it comes in a moment


def _be_stopped() -> None:
    with interrupt_between_imports():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

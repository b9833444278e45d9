"""All files of a version are swapped at once, whenever the power goes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import PROJECT


@pytest.mark.parametrize("kills", [20, pytest.param(1_000, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])])
def test_no_reader_sees_files_of_two_versions_through_swaps_and_kills(kills: int, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.integration.version_swapper", str(tmp_path), str(kills)]
    done = subprocess.run(program, cwd=PROJECT, capture_output=True, text=True, timeout=1_700, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["ends"] == [signal.SIGKILL], f"a process failed by itself: {done.stderr}"
    assert seen["mixed"] == 0
    assert seen["swaps"] > 0
    for looks in ("predictions", "looks within", "looks by lock", "looks without"):
        assert seen[looks] >= seen["kills"], seen

"""The stored pair, unpacked for each test."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

ARCHIVE = Path(__file__).with_name("pair.tar.xz")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with what make_pair.py writes; the test may change it."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "pair", filter="tar")  # keeps modes: keys are for their owner only
    return tmp_path / "pair"

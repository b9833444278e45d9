"""Six small files of the zoo go through a fleet; tests/zoo/test_all_files.py: all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.zoo import wheels
from tests.zoo.catalogue import SMALL, ZooFile
from tests.zoo.conftest import Fleet
from tests.zoo.journey import travel


@pytest.mark.parametrize("file", SMALL, ids=lambda file: file.name)
def test_a_real_file_is_released_adopted_updated_and_recalled_bit_for_bit(
    file: ZooFile, fleet: Fleet, tmp_path: Path
) -> None:
    path = wheels.path_of(file)
    assert travel(file, path, fleet.publisher, fleet.root, tmp_path, deadline_s=2.0).compared > 0

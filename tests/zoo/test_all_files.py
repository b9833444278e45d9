"""Every file of the zoo goes through a fleet; the run writes docs/ZOO.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.zoo import wheels
from tests.zoo.catalogue import ZOO, ZooFile
from tests.zoo.conftest import Fleet
from tests.zoo.journey import travel
from tests.zoo.page import record

RUNNING = [file for file in ZOO if not file.lacks]
LACKING = [file for file in ZOO if file.lacks]


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("file", RUNNING, ids=lambda file: file.name)
def test_every_file_is_released_adopted_updated_and_recalled_bit_for_bit(
    file: ZooFile, fleet: Fleet, tmp_path: Path
) -> None:
    record(file, travel(file, wheels.path_of(file), fleet.publisher, fleet.root, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("file", LACKING, ids=lambda file: file.name)
def test_a_file_that_needs_what_no_runtime_has_is_refused_by_the_name_of_it(file: ZooFile, fleet: Fleet) -> None:
    path = wheels.path_of(file)
    said = fleet.publisher.run("release", file.name, "--version", "1.0.0", "--tflite", path, expect=2)
    assert file.lacks in said.err

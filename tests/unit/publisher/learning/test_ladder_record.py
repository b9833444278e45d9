"""What an interrupted ladder has made: kept for the same inputs, and for no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import NoRoom
from publisher.learning.compression.ladder_record import INPUTS, FolderRecord
from publisher.learning.variants.rung import rung_of_facts
from tests.unit.publisher.learning.test_ladder_rung import a_rung

INPUTS_OF_ONE = {"digits.py": "11", "the data": "22"}


def test_what_was_made_is_there_for_the_next_process_with_the_same_inputs(tmp_path: Path) -> None:
    first = FolderRecord(tmp_path / "unfinished")
    assert first.begin(INPUTS_OF_ONE) == ""
    first["network-qat.npz"] = b"weights"
    second = FolderRecord(tmp_path / "unfinished")
    assert second.begin(INPUTS_OF_ONE) == ""
    assert dict(second) == {INPUTS: second[INPUTS], "network-qat.npz": b"weights"}
    second.remove()
    assert (list(second), (tmp_path / "unfinished").exists()) == ([], False)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"digits.py": "11", "the data": "33"}, "the data"),
        ({"other.py": "11", "the data": "33"}, "digits.py, the data, other.py"),
    ],
)
def test_other_inputs_begin_anew_and_are_told_by_name(tmp_path: Path, inputs: dict[str, str], told: str) -> None:
    record = FolderRecord(tmp_path / "unfinished")
    record.begin(INPUTS_OF_ONE)
    record["network-qat.npz"] = b"weights"
    assert record.begin(inputs) == told
    assert "network-qat.npz" not in record
    assert record.begin(inputs) == ""


def test_a_record_whose_inputs_cannot_be_read_is_not_trusted(tmp_path: Path) -> None:
    record = FolderRecord(tmp_path / "unfinished")
    record.begin(INPUTS_OF_ONE)
    record["network-qat.npz"] = b"weights"
    record[INPUTS] = b'{"digits.py": "1'
    record.begin(INPUTS_OF_ONE)
    assert list(record) == [INPUTS]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "unfinished").write_text("a file in its place")
    with pytest.raises(NoRoom, match="unfinished"):
        FolderRecord(tmp_path / "unfinished")["network-qat.npz"] = b"weights"


def test_a_rung_comes_back_from_its_figures_with_its_own_file_only() -> None:
    rung = a_rung()
    assert rung_of_facts(rung.facts(), rung.tflite) == rung
    assert rung_of_facts(rung.facts(), b"another file") is None

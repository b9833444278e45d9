"""Sealed inputs are for their owner alone, whole or gone."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from device_client.adapters.storage.sealed_store import FILE_MAX_BYTES, FOLDER, SealedFiles
from device_client.ports.serving import SealedInput

SEALED = SealedInput(
    (np.arange(12, dtype=np.uint8).reshape(1, 3, 4), np.array([[2.5]])),
    (np.array([0.1, 0.9], np.float32),),
    (1,),
    "1.0.0 int8",
)


def test_what_is_kept_is_read_again_by_the_next_run(tmp_path: Path) -> None:
    kept = SealedFiles(tmp_path).keep(SEALED)
    assert kept is not None
    ((name, (read, size_bytes)),) = SealedFiles(tmp_path).load().items()
    assert (name, size_bytes) == kept
    assert (read.classes, read.model) == (SEALED.classes, SEALED.model)
    for ours, theirs in zip((*read.inputs, *read.outputs), (*SEALED.inputs, *SEALED.outputs), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)


def test_others_on_the_device_cannot_read_them(tmp_path: Path) -> None:
    SealedFiles(tmp_path).keep(SEALED)
    folder = tmp_path / FOLDER
    (path,) = folder.iterdir()
    assert (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(path.stat().st_mode)) == (0o700, 0o600)


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_file_is_deleted(tmp_path: Path, damage: bytes | None) -> None:
    SealedFiles(tmp_path).keep(SEALED)
    (path,) = (tmp_path / FOLDER).iterdir()
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    assert SealedFiles(tmp_path).load() == {}
    assert not path.exists()


def test_what_is_too_large_or_no_numbers_is_not_kept(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, 2 * FILE_MAX_BYTES, np.uint8)
    assert SealedFiles(tmp_path).keep(SealedInput((noise,), (), (0,), "1")) is None
    assert SealedFiles(tmp_path).keep(SealedInput((np.array([["text"]], object),), (), (0,), "1")) is None


def test_a_folder_that_cannot_be_made_keeps_nothing_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("in the way")
    assert SealedFiles(tmp_path).keep(SEALED) is None


def test_an_owner_who_switches_them_off_has_them_deleted(tmp_path: Path) -> None:
    files = SealedFiles(tmp_path)
    files.keep(SEALED)
    files.clear()
    assert files.load() == {}
    SealedFiles(tmp_path / "never used").clear()


def test_what_a_power_cut_left_half_written_goes_at_the_next_start(tmp_path: Path) -> None:
    SealedFiles(tmp_path).keep(SEALED)
    (tmp_path / FOLDER / "0.npz.new").write_bytes(b"half")
    assert len(SealedFiles(tmp_path).load()) == 1
    assert not (tmp_path / FOLDER / "0.npz.new").exists()

"""The metadata of a .tflite file is read whole, and a hostile file does no harm."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.learning.measurement.litert_metadata import FILE_MAX_BYTES, ModelMetadata, read_metadata
from tests.unit.publisher.learning.metadata_file import a_file, some_metadata

NAMES = b"sparrow\r\nwren\r\n"


def test_everything_that_a_file_says_is_read() -> None:
    metadata = read_metadata(a_file(metadata=some_metadata(), archive={"labels.txt": NAMES}))
    assert (metadata.name, metadata.description, metadata.problem) == ("birds", "names birds", "")
    image, (location, category) = metadata.inputs[0], metadata.outputs
    assert (image.name, image.description, image.content) == ("image", "what the camera sees", "image")
    assert (image.mean, image.std, image.low, image.high) == ((127.5,), (127.5,), (-1.0,), (1.0,))
    assert image.color_space == "rgb"
    assert (location.content, location.box_type, location.coordinates) == ("bounding_box", "boundaries", "ratio")
    assert (category.content, category.labels) == ("feature", ("sparrow", "wren"))
    assert (metadata.labels, metadata.labels_file) == (("sparrow", "wren"), "labels.txt")


def test_of_labels_in_several_languages_those_of_none_are_taken() -> None:
    described = some_metadata(label_files=[("de.txt", "de"), ("labels.txt", ""), ("fr.txt", "fr")])
    archive = {"de.txt": b"Spatz", "labels.txt": b"sparrow", "fr.txt": b"moineau"}
    assert read_metadata(a_file(metadata=described, archive=archive)).labels == ("sparrow",)


def test_an_archive_that_nothing_describes_gives_its_one_label_file() -> None:
    metadata = read_metadata(a_file(archive={"labelmap.txt": NAMES, "notes.txt": b"x"}))
    assert (metadata.labels, metadata.labels_file) == (("sparrow", "wren"), "labelmap.txt")
    assert read_metadata(a_file(archive={"labels_a.txt": NAMES, "labels_b.txt": NAMES})).labels == ()


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 64, a_file(), Path(__file__).read_bytes()])
def test_a_file_without_metadata_has_none(content: bytes) -> None:
    assert read_metadata(content) in {ModelMetadata(), ModelMetadata(problem=read_metadata(content).problem)}


def test_a_file_that_unpacks_to_too_much_is_left_out() -> None:
    metadata = read_metadata(a_file(metadata=some_metadata(), archive={"labels.txt": bytes(FILE_MAX_BYTES + 1)}))
    assert metadata.labels == ()
    assert metadata.inputs[0].name == "image"


def test_an_archive_of_very_many_files_is_left_out() -> None:
    metadata = read_metadata(a_file(archive={f"{index}-labels.txt": b"x" for index in range(300)}))
    assert metadata.files == ()
    assert "300 files" in metadata.problem


def test_labels_that_are_no_text_are_left_out() -> None:
    metadata = read_metadata(a_file(metadata=some_metadata(), archive={"labels.txt": b"caf\xe9"}))
    assert metadata.labels == ()


def test_a_packing_that_may_take_any_memory_is_left_out() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as written:
        written.writestr("labels.txt", NAMES)
    assert read_metadata(a_file() + packed.getvalue()).labels == ()


WHOLE = a_file(metadata=some_metadata(), archive={"labels.txt": NAMES})


@given(st.data())
def test_whatever_bytes_are_changed_nothing_is_raised(data: st.DataObject) -> None:
    damaged = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(damaged) - 4))
        value = data.draw(st.sampled_from([0, 1, 0x7F, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]) | st.integers(0, 2**32 - 1))
        struct.pack_into("<I", damaged, at, value)
    read_metadata(bytes(damaged))


@given(st.integers(0, len(WHOLE)))
def test_wherever_a_file_is_cut_nothing_is_raised(end: int) -> None:
    read_metadata(WHOLE[:end])

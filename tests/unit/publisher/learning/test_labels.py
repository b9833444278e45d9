"""Label files are read as they are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.content.label_file import LABELS_MAX, pack_labels, unpack_labels
from protocol.errors import BadInput, BlobDamaged
from publisher.learning.data.labels import parse_labels, read_labels


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"\xef\xbb\xbfcat\r\ndog\r\n", ("cat", "dog")),  # a byte-order mark, and the line ends of Windows
        (b"cat\rdog", ("cat", "dog")),
        ("Zaunkönig\n红隼\n".encode("utf-16"), ("Zaunkönig", "红隼")),
        (b"a\nb\na\n", ("a", "b", "a")),
        (b"a\n\nc\n\n\n", ("a", "", "c")),
        (b"???\nperson\n???\n", ("???", "person", "???")),
        (b"0  person\n1  bicycle\n3  car\n", ("person", "bicycle", "", "car")),
        (b"0: person\n1: two words\n", ("person", "two words")),
        ("caf\u2028e\nb".encode(), ("caf\u2028e", "b")),  # not the end of a line of this file
    ],
)
def test_a_label_file_is_read_as_published(content: bytes, names: tuple[str, ...]) -> None:
    assert parse_labels(content) == names


@pytest.mark.parametrize(
    "content",
    [
        b"0\n1\n2\n",  # digits: the number is the name
        b"1 cat\n2 dog\n",  # from 0 or from 1? kept as it is
        b"3 doors\n5 doors\n",
        b"0 cat\ndog\n",
        b"0 cat\n2 dog\n1 cow\n",
        b"0 only\n",
        b"0 a\n999999 b\n",
    ],
)
def test_a_number_that_need_not_be_an_index_stays_in_the_name(content: bytes) -> None:
    assert parse_labels(content) == tuple(content.decode().splitlines())


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(BadInput, match="is no text in UTF-8"):
        read_labels(str(path))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf\r\n"])
def test_a_file_without_a_name_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="names no class"):
        read_labels(str(path))


def test_more_names_than_any_release_holds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("a\n" * (LABELS_MAX + 1))
    with pytest.raises(BadInput, match="at most"):
        read_labels(str(path))


def test_a_list_is_read_and_a_long_one_is_no_name_of_a_file() -> None:
    assert read_labels("cat, dog") == ("cat", "dog")
    assert len(read_labels(",".join(["name"] * 2_000))) == 2_000
    with pytest.raises(BadInput, match="there is no file"):
        read_labels("nowhere.txt")


def test_labels_arrive_as_they_were_packed() -> None:
    labels = ("Zaunkönig", "", "红隼", "a", "a", " ", "")
    assert unpack_labels(pack_labels(labels)) == labels
    assert unpack_labels(pack_labels(["two\r\nlines"])) == ("two lines",)
    assert unpack_labels(b"") == ()


@pytest.mark.parametrize("content", [b"caf\xe9\n", b"\n" * (LABELS_MAX + 1), b"a" * 8_000_001])
def test_a_label_file_that_was_never_packed_is_damaged(content: bytes) -> None:
    with pytest.raises(BlobDamaged):
        unpack_labels(content)

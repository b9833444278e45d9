"""Reads the metadata of a .tflite file: labels, normalization, descriptions.

    metadata = read_metadata(path.read_bytes())
    metadata.labels          # names of classes, or ()
    metadata.inputs[0].mean  # of the values before normalization

The figures are in a buffer named TFLITE_METADATA (metadata_schema.fbs of LiteRT, file
identifier M001), the labels in a zip archive behind the model. A file may be hostile:
everything is bounded, and what cannot be read is left out and told in `problem`.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from protocol.content.label_file import LABELS_MAX
from publisher.learning.data.labels import parse_labels
from publisher.learning.measurement.flatbuffer import FlatbufferDamaged, Table

BUFFER_NAME: Final = "TFLITE_METADATA"
IDENTIFIER: Final = b"M001"
TENSORS_MAX: Final = 64
ITEMS_MAX: Final = 4_096  # of any other vector
ARCHIVE_FILES_MAX: Final = 256
DIRECTORY_MAX_BYTES: Final = 1_048_576
FILE_MAX_BYTES: Final = 4_000_000  # of one file, unpacked
LABEL_FILES: Final = (2, 3)  # TENSOR_AXIS_LABELS, TENSOR_VALUE_LABELS
CONTENTS: Final = ("", "feature", "image", "bounding_box", "audio")
COLOR_SPACES: Final = ("", "rgb", "grayscale")
BOX_TYPES: Final = ("", "boundaries", "upper_left", "center")
COORDINATES: Final = ("ratio", "pixel")
_END: Final = b"PK\x05\x06"
_ZIP64: Final = b"PK\x06\x07"
_END_BYTES: Final = 22
_COMMENT_MAX_BYTES: Final = 65_535


@dataclass(frozen=True, slots=True)
class TensorDescription:
    """What a file says of one input or output; a field it lacks is empty.

    `content` is one of CONTENTS. `mean` and `std` (one number, or one for each channel)
    normalize: (x - mean) / std. `low` and `high` are the range after normalization.
    `labels` are the names along the tensor's last axis, or of its values.
    """

    name: str = ""
    description: str = ""
    content: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    color_space: str = ""
    sample_rate_hz: int = 0
    box_type: str = ""
    box_order: tuple[int, ...] = ()
    coordinates: str = ""
    score_threshold: float | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """Inputs and outputs in the order of the model's; empty where a file has none.

    `labels` are those of the first output that has some; `labels_file` is where they
    stood. `problem` says what could not be read.
    """

    name: str = ""
    description: str = ""
    inputs: tuple[TensorDescription, ...] = ()
    outputs: tuple[TensorDescription, ...] = ()
    labels: tuple[str, ...] = ()
    labels_file: str = ""
    files: tuple[str, ...] = ()
    problem: str = ""


def read_metadata(tflite: bytes) -> ModelMetadata:
    """The metadata of a file; empty where it has none. Never raises for bad content."""
    archive, problem = _archive(tflite)
    try:
        root = _metadata_table(tflite)
        if root is not None:
            return _read_all(root, archive, problem)
    except (FlatbufferDamaged, struct.error) as damaged:
        problem = problem or f"its metadata is damaged: {damaged}"
    labels, file = _only_labels(archive)
    return ModelMetadata(labels=labels, labels_file=file, files=tuple(archive), problem=problem)


Archive = Mapping[str, Callable[[], bytes | None]]
"""The files behind a model by name; each reads its content, None if it is damaged."""


def _metadata_table(tflite: bytes) -> Table | None:
    if tflite[4:8] != b"TFL3":
        return None
    model = Table.root(tflite)
    for entry in model.tables(6, ITEMS_MAX):
        if entry.text(0) == BUFFER_NAME:
            buffer = model.table_at(4, entry.number(1, "I"))
            content = _content(buffer, tflite) if buffer else memoryview(b"")
            return Table.root(content) if bytes(content[4:8]) == IDENTIFIER else None
    return None


def _content(buffer: Table, tflite: bytes) -> memoryview:
    """The bytes of a buffer; those of a file over 2 GB are behind the tables."""
    offset, size_bytes = buffer.number(1, "Q"), buffer.number(2, "Q")
    return memoryview(tflite)[offset : offset + size_bytes] if offset > 1 else buffer.content(0)


def _read_all(root: Table, archive: Archive, problem: str) -> ModelMetadata:
    graph = next(root.tables(3, ITEMS_MAX), None)
    inputs, outputs = (
        [(_tensor(each, archive), _label_file(each)) for each in graph.tables(field, TENSORS_MAX)] if graph else []
        for field in (2, 3)
    )
    labels, file = next(((tensor.labels, name) for tensor, name in outputs if tensor.labels), ((), ""))
    if not labels:
        labels, file = _only_labels(archive)
    return ModelMetadata(
        name=root.text(0),
        description=root.text(1),
        inputs=tuple(tensor for tensor, _ in inputs),
        outputs=tuple(tensor for tensor, _ in outputs),
        labels=labels,
        labels_file=file,
        files=tuple(archive),
        problem=problem,
    )


def _tensor(table: Table, archive: Archive) -> TensorDescription:
    content, stats = table.table(3), table.table(5)
    kind = content.number(0, "B") if content else 0
    properties = content.table(1) if content and kind else None
    units = {unit.number(0, "B"): unit.table(1) for unit in table.tables(4, ITEMS_MAX)}
    normalization, thresholding = units.get(1), units.get(3)
    image, box, audio = (properties if kind == wanted else None for wanted in (2, 3, 4))
    return TensorDescription(
        name=table.text(0),
        description=table.text(1),
        content=_named(CONTENTS, kind),
        mean=normalization.numbers(0, "f", ITEMS_MAX) if normalization else (),
        std=normalization.numbers(1, "f", ITEMS_MAX) if normalization else (),
        low=stats.numbers(1, "f", ITEMS_MAX) if stats else (),
        high=stats.numbers(0, "f", ITEMS_MAX) if stats else (),
        color_space=_named(COLOR_SPACES, image.number(0, "B")) if image else "",
        sample_rate_hz=audio.number(0, "I") if audio else 0,
        box_type=_named(BOX_TYPES, box.number(1, "B")) if box else "",
        box_order=box.numbers(0, "I", ITEMS_MAX) if box else (),
        coordinates=_named(COORDINATES, box.number(2, "B")) if box else "",
        score_threshold=thresholding.number(0, "f") if thresholding else None,
        labels=_labels(archive, _label_file(table)),
    )


def _label_file(table: Table) -> str:
    """The name of a tensor's label file: of several languages, the one of none."""
    files = [(each.text(3), each.text(0)) for each in table.tables(6, ITEMS_MAX) if each.number(2, "b") in LABEL_FILES]
    return min(files, key=lambda file: (file[0] != "", not file[0].startswith("en")), default=("", ""))[1]


def _labels(archive: Archive, name: str) -> tuple[str, ...]:
    read = archive.get(name)
    content = read() if read else None
    try:
        return parse_labels(content or b"")[:LABELS_MAX]
    except UnicodeDecodeError:
        return ()


def _only_labels(archive: Archive) -> tuple[tuple[str, ...], str]:
    """The labels of an archive that nothing describes, if one name says so."""
    names = [name for name in archive if "label" in name.lower() and name.lower().endswith(".txt")]
    labels = _labels(archive, names[0]) if len(names) == 1 else ()
    return (labels, names[0]) if labels else ((), "")


def _named(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else ""


def _archive(tflite: bytes) -> tuple[Archive, str]:
    """The files of the archive behind the model, and why it cannot be read, if so."""
    tail = memoryview(tflite)[-(_END_BYTES + _COMMENT_MAX_BYTES) :].tobytes()
    at = tail.rfind(_END)
    if at < 0 or at + _END_BYTES > len(tail):
        return {}, ""
    count, directory_bytes = struct.unpack_from("<HI", tail, at + 10)
    if count > ARCHIVE_FILES_MAX or directory_bytes > DIRECTORY_MAX_BYTES or tail[max(0, at - 20) :].startswith(_ZIP64):
        return {}, f"the archive behind the model has {count} files, more than {ARCHIVE_FILES_MAX}, or is no plain one"
    try:
        opened = zipfile.ZipFile(io.BytesIO(tflite))
        infos = opened.infolist()[:ARCHIVE_FILES_MAX]
    except _UNREADABLE as damaged:
        return {}, f"the archive behind the model is damaged: {damaged}"
    return {info.filename: partial(_unpacked, opened, info) for info in infos}, ""


_UNREADABLE: Final = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, ValueError, OSError, EOFError,
)  # fmt: skip


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | None:
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return None  # others cannot be unpacked in bounded memory
    try:
        with archive.open(info) as file:
            content = file.read(FILE_MAX_BYTES + 1)
    except _UNREADABLE:
        return None
    return content if len(content) <= FILE_MAX_BYTES else None

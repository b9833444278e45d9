"""Writes a .tflite file with LiteRT metadata, with the flatbuffers library."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers  # type: ignore[import-untyped]  # comes with TensorFlow


def a_file(*, metadata: bytes | None = None, archive: Mapping[str, bytes] | None = None) -> bytes:
    """A model without a graph, its metadata buffer, and an archive behind it."""
    builder = flatbuffers.Builder(0)
    buffers = [_table(builder, {}), _table(builder, {0: _bytes(builder, metadata or b"")})]
    named = _table(builder, {0: builder.CreateString("TFLITE_METADATA")}, numbers={1: ("Uint32", 1)})
    fields = {4: _vector(builder, buffers)}
    if metadata is not None:
        fields[6] = _vector(builder, [named])
    builder.Finish(_table(builder, fields), file_identifier=b"TFL3")
    packed = io.BytesIO()
    if archive is not None:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as written:
            for name, content in archive.items():
                written.writestr(name, content)
    return bytes(builder.Output()) + packed.getvalue()


def some_metadata(*, label_files: Sequence[tuple[str, str]] = (("labels.txt", ""),)) -> bytes:
    """An image of 0-255 with mean and deviation 127.5; boxes, and named classes."""
    builder = flatbuffers.Builder(0)
    normalization = _table(builder, {0: _floats(builder, [127.5]), 1: _floats(builder, [127.5])})
    unit = _table(builder, {1: normalization}, numbers={0: ("Uint8", 1)})
    stats = _table(builder, {0: _floats(builder, [1.0]), 1: _floats(builder, [-1.0])})
    image = _table(builder, {}, numbers={0: ("Uint8", 1)})
    content = _table(builder, {1: image}, numbers={0: ("Uint8", 2)})
    picture = _table(
        builder,
        {
            0: builder.CreateString("image"),
            1: builder.CreateString("what the camera sees"),
            3: content,
            4: _vector(builder, [unit]),
            5: stats,
        },
    )
    boxes = _table(builder, {}, numbers={1: ("Uint8", 1), 2: ("Uint8", 0)})
    location = _table(
        builder, {0: builder.CreateString("location"), 3: _table(builder, {1: boxes}, numbers={0: ("Uint8", 3)})}
    )
    files = [
        _table(builder, {0: builder.CreateString(name), 3: builder.CreateString(locale)}, numbers={2: ("Int8", 3)})
        for name, locale in label_files
    ]
    category = _table(
        builder,
        {
            0: builder.CreateString("category"),
            3: _table(builder, {1: _table(builder, {})}, numbers={0: ("Uint8", 1)}),
            6: _vector(builder, files),
        },
    )
    graph = _table(builder, {2: _vector(builder, [picture]), 3: _vector(builder, [location, category])})
    root = _table(
        builder,
        {0: builder.CreateString("birds"), 1: builder.CreateString("names birds"), 3: _vector(builder, [graph])},
    )
    builder.Finish(root, file_identifier=b"M001")
    return bytes(builder.Output())


def _table(builder: Any, offsets: Mapping[int, int], *, numbers: Mapping[int, tuple[str, int]] | None = None) -> int:
    builder.StartObject(16)
    for field, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    for field, (kind, number) in (numbers or {}).items():
        getattr(builder, f"Prepend{kind}Slot")(field, number, 99)
    return int(builder.EndObject())


def _vector(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: Any, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


def _bytes(builder: Any, content: bytes) -> int:
    return int(builder.CreateByteVector(content))

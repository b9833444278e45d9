"""Reads tables of a hostile flatbuffer by hand: every offset and count is checked.

The layout is that of https://flatbuffers.dev/internals/: a table starts with the signed
distance to its vtable, which has the place of each field, or 0 where it is absent.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

TEXT_MAX_BYTES: Final = 65_536
_OFFSET: Final = struct.Struct("<I")
_SIGNED: Final = struct.Struct("<i")
_PLACE: Final = struct.Struct("<H")


class FlatbufferDamaged(Exception):
    """An offset or a count that leads out of the buffer, or over a limit."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table at `at` in `data`; fields are read by their number in the schema."""

    data: memoryview
    at: int

    @classmethod
    def root(cls, data: bytes | memoryview) -> Self:
        view = memoryview(data)
        return cls(view, _read(_OFFSET, view, 0))

    def number(self, field: int, form: str, default: float = 0) -> Any:
        """A scalar; `form` is a letter of `struct`, such as B, I or f."""
        place = self._place(field)
        return default if place is None else _read(struct.Struct(f"<{form}"), self.data, place)

    def text(self, field: int) -> str:
        """A text, at most TEXT_MAX_BYTES of it; bytes outside UTF-8 are replaced."""
        found = self._vector(field, 1)
        if found is None:
            return ""
        start, count = found
        return bytes(self.data[start : start + min(count, TEXT_MAX_BYTES)]).decode(errors="replace")

    def content(self, field: int) -> memoryview:
        """A vector of bytes, not copied."""
        start, count = self._vector(field, 1) or (0, 0)
        return self.data[start : start + count]

    def numbers(self, field: int, form: str, limit: int) -> tuple[Any, ...]:
        one = struct.Struct(f"<{form}")
        start, count = self._vector(field, one.size, limit) or (0, 0)
        return struct.unpack_from(f"<{count}{form}", self.data, start)

    def table(self, field: int) -> Table | None:
        place = self._place(field)
        return None if place is None else self._follow(place)

    def tables(self, field: int, limit: int) -> Iterator[Table]:
        """The tables of a vector of at most `limit`."""
        start, count = self._vector(field, _OFFSET.size, limit) or (0, 0)
        for index in range(count):
            yield self._follow(start + index * _OFFSET.size)

    def table_at(self, field: int, index: int) -> Table | None:
        """One table of a vector of any length."""
        start, count = self._vector(field, _OFFSET.size) or (0, 0)
        return self._follow(start + index * _OFFSET.size) if 0 <= index < count else None

    def _place(self, field: int) -> int | None:
        vtable = self.at - _read(_SIGNED, self.data, self.at)
        if 4 + 2 * field >= _read(_PLACE, self.data, vtable):
            return None  # written by an older schema
        relative = _read(_PLACE, self.data, vtable + 4 + 2 * field)
        return self.at + relative if relative else None

    def _follow(self, place: int) -> Table:
        return Table(self.data, place + _read(_OFFSET, self.data, place))

    def _vector(self, field: int, item_bytes: int, limit: int | None = None) -> tuple[int, int] | None:
        """Where the items start, and how many there are."""
        place = self._place(field)
        if place is None:
            return None
        at = place + _read(_OFFSET, self.data, place)
        count, start = _read(_OFFSET, self.data, at), at + _OFFSET.size
        if start + count * item_bytes > len(self.data):
            raise FlatbufferDamaged(f"a vector of {count} items ends behind the buffer")
        if limit is not None and count > limit:
            raise FlatbufferDamaged(f"a vector has {count} items, more than {limit}")
        return start, count


def _read(form: struct.Struct, data: memoryview, at: int) -> Any:
    if not 0 <= at <= len(data) - form.size:
        raise FlatbufferDamaged(f"an offset leads to byte {at} of {len(data)}")
    return form.unpack_from(data, at)[0]

"""One size formatter for every message."""

from __future__ import annotations

import pytest

from protocol.sizes import size_text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (400_000, "400 kB"),
        (999_499, "999 kB"),
        (999_600, "1 MB"),
        (4_251_000, "4.25 MB"),
        (99_960_000, "100 MB"),
        (1_234_000_000, "1,234 MB"),
    ],
)
def test_a_size_keeps_three_digits_and_never_reads_as_zero(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text

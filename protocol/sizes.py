"""Sizes in bytes as a person reads them. Decimal units, three significant digits."""

from __future__ import annotations


def size_text(size_bytes: float) -> str:
    """Return a size such as "850 B", "4.25 kB" or "1,200 MB"."""
    for unit, unit_bytes in (("MB", 1e6), ("kB", 1e3)):
        count = size_bytes / unit_bytes
        if count >= 0.9995:  # rounds to 1
            return f"{count:.3g} {unit}" if count < 99.95 else f"{count:,.0f} {unit}"
    return f"{size_bytes:.0f} B"

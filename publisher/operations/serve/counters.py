"""`ServeCounters`: what one run of `publisher serve` did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ServeCounters:
    chunks: int = 0
    announcements: int = 0
    renewals: int = 0
    wants: int = 0
    reconnects: int = 0

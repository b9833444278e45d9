"""Merges feedback windows in the outbox to make room; every count stays exact.

Pure. Each round halves the older half first, so older windows cover more time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_client.core.outbox_entry import OutboxEntry
from protocol.errors import BadInput
from protocol.feedback.aggregation import merge
from protocol.messages.device import Feedback
from protocol.topics import LINE_MAX_BYTES


@dataclass(frozen=True, slots=True)
class Merged:
    """`entry` replaces both of these, in the place of the older one."""

    older_id: str
    newer_id: str
    entry: OutboxEntry


def make_room(waiting: Sequence[OutboxEntry], free_bytes: int) -> list[Merged]:
    """Pairs of unsent windows to merge in one round, oldest first, to free so much."""
    half = len(waiting) // 2
    return _pairs(waiting[:half], free_bytes) or _pairs(waiting, free_bytes)


def merged(waiting: Sequence[OutboxEntry]) -> list[OutboxEntry]:
    """The same counts in as few windows as fit into messages, oldest first."""
    fewest = list(waiting)
    while pairs := make_room(fewest, sum(len(entry.payload) for entry in fewest)):
        merged_at = {pair.older_id: pair.entry for pair in pairs}
        gone = {pair.newer_id for pair in pairs}
        fewest = [merged_at.get(entry.event_id, entry) for entry in fewest if entry.event_id not in gone]
    return fewest


def _pairs(waiting: Sequence[OutboxEntry], free_bytes: int) -> list[Merged]:
    unpaired: dict[tuple[str, str, str | None], tuple[OutboxEntry, Feedback]] = {}
    pairs: list[Merged] = []
    for entry in waiting:
        if free_bytes <= 0:
            break
        window = _window(entry)
        if window is None:
            continue
        subject = (entry.topic, window.version, window.variant)
        if subject not in unpaired:
            unpaired[subject] = entry, window
            continue
        older, earlier = unpaired.pop(subject)
        both = merge(earlier, window)
        line = both.to_line()
        if len(line) <= LINE_MAX_BYTES:
            kept = OutboxEntry(both.event_id, older.topic, line, older.at_s, "feedback")
            pairs.append(Merged(older.event_id, entry.event_id, kept))
            free_bytes -= len(older.payload) + len(entry.payload) - len(line)
    return pairs


def _window(entry: OutboxEntry) -> Feedback | None:
    try:
        return Feedback.from_line(entry.payload)
    except BadInput:
        return None  # written by a newer client: sent as it is

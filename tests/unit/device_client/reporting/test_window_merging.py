"""Offline, windows become fewer and longer; no inference is lost or counted twice."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from device_client.adapters.storage.journal import Journal
from device_client.core.outbox_entry import OutboxEntry
from device_client.reporting.outbox import UNACKNOWLEDGED_MAX, Outbox
from device_client.reporting.window_merging import make_room
from protocol.feedback.aggregation import message_fields, sums_of
from protocol.messages.device import Feedback
from tests.builders import NOON, a_feedback

WEEK_MINUTES = 7 * 24 * 60
BUDGET_BYTES = 262_144
TOPIC = "fleet/v1/devices/pi-1/digits/feedback"


def a_minute(number: int, *, version: str = "1.0.0") -> Feedback:
    """What a busy minute may look like: each one another."""
    count = 100 + number % 37
    counted = a_feedback(
        version,
        inferences=count + 1,
        errors=1,
        labelled=number % 5,
        correct=max(0, number % 5 - 1),
        classes={str(digit): count // 10 for digit in range(10)},
        latency_histogram={str(29 + number % 7): count - 3, "45": 2, "60": 1},
        confidence_histogram=(*[0] * 7, number % 3, 5, count - number % 3 - 5),
        confidence_sum=count - number / 1_000_000,
        window_start=NOON + timedelta(minutes=number),
        window_end=NOON + timedelta(minutes=number + 1),
        event_id=hashlib.sha256(f"{version} {number}".encode()).hexdigest()[:20],
    )
    return counted.model_copy(update=message_fields(sums_of(counted)))


def entry_of(window: Feedback, at_s: float = 0.0) -> OutboxEntry:
    return OutboxEntry(window.event_id, TOPIC, window.to_line(), at_s, "feedback")


def windows_of(entries: list[OutboxEntry]) -> list[Feedback]:
    return [Feedback.from_line(entry.payload) for entry in entries if entry.kind == "feedback"]


def totals_of(windows: list[Feedback]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for window in windows:
        for name in ("inferences", "errors", "labelled", "correct"):
            sums[name] += getattr(window, name)
        sums["confidence"] += round(window.confidence_sum * 1_000_000)
        sums.update({f"class {name}": count for name, count in window.classes.items()})
        sums.update({f"latency {name}": count for name, count in window.latency_histogram.items()})
        sums.update({f"confidence {at}": count for at, count in enumerate(window.confidence_histogram)})
    return +sums


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal.db", feedback_budget_bytes=BUDGET_BYTES)
    yield opened
    opened.close()


@pytest.mark.heavy
def test_a_week_offline_fits_the_budget_and_every_count_is_exact(journal: Journal) -> None:
    minutes = [a_minute(number) for number in range(WEEK_MINUTES)]
    for hour in range(0, WEEK_MINUTES, 60):  # an hour at a time: a write that reaches the disk takes a while here
        journal.enqueue([entry_of(window) for window in minutes[hour : hour + 60]])
        assert sum(len(entry.payload) for entry in journal.waiting()) <= BUDGET_BYTES
    left = windows_of(journal.waiting())
    assert totals_of(left) == totals_of(minutes)
    assert journal.feedback_dropped() == 0
    assert len(left) < WEEK_MINUTES / 20
    assert len({window.event_id for window in left}) == len(left)
    assert left[-1] == minutes[-1], "the newest are as they were"
    spans = [window.window_end - window.window_start for window in left]
    assert spans[0] > timedelta(hours=1) > spans[-1] == timedelta(minutes=1)
    edges = [(window.window_start, window.window_end) for window in left]
    assert all(end == start for (_, end), (start, _) in pairwise(edges)), "no minute is left out"
    on_disk = sum(file.stat().st_size for file in journal.path.parent.iterdir())
    assert on_disk < 8_000_000, "with SQLite's own pages and its log"


def test_versions_and_models_are_never_mixed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "small.db", feedback_budget_bytes=6_000)
    minutes = [a_minute(number, version=version) for number in range(40) for version in ("1.0.0", "1.1.0")]
    for window in minutes:
        journal.enqueue([entry_of(window)])
    left = windows_of(journal.waiting())
    for version in ("1.0.0", "1.1.0"):
        ours, theirs = ([w for w in each if w.version == version] for each in (minutes, left))
        assert totals_of(ours) == totals_of(theirs)
    assert journal.feedback_dropped() == 0
    journal.close()


def test_what_may_have_been_seen_is_never_merged(tmp_path: Path) -> None:
    """After a lost acknowledgement and a restart the same window is sent again."""
    path = tmp_path / "small.db"
    journal = Journal(path, feedback_budget_bytes=6_000)
    minutes = [a_minute(number) for number in range(60)]
    seen = [window.event_id for window in minutes[:3]]
    journal.enqueue([entry_of(window) for window in minutes[:4]])
    assert journal.mark_sent([*seen, "never heard of"]) == frozenset(seen)
    journal.close()
    journal = Journal(path, feedback_budget_bytes=6_000)
    for window in minutes[4:]:
        journal.enqueue([entry_of(window)])
    left = windows_of(journal.waiting())
    assert left[:3] == minutes[:3]
    assert totals_of(left) == totals_of(minutes)
    journal.delivered(seen[0])
    assert windows_of(journal.waiting())[:2] == minutes[1:3]
    journal.close()


class Broker:
    """Records each publish; acknowledges when a test says so."""

    def __init__(self) -> None:
        self.heard: dict[str, Feedback] = {}
        self.receipts = 0

    def publish(self, _topic: str, payload: bytes) -> int:
        window = Feedback.from_line(payload)
        self.heard[window.event_id] = window  # at least once: counted by event id
        self.receipts += 1
        return self.receipts


def test_a_broker_that_comes_and_goes_counts_every_inference_once(tmp_path: Path) -> None:
    """Connections drop, the process restarts twice, and the budget is always short."""
    broker, path = Broker(), tmp_path / "journal.db"
    minutes = [a_minute(number) for number in range(300)]
    for life in range(3):
        journal = Journal(path, feedback_budget_bytes=60_000)
        outbox = Outbox(journal, broker.publish)
        for number in range(life * 100, life * 100 + 100):
            journal.enqueue([entry_of(minutes[number])])
            if number % 25 == 20:
                before = broker.receipts
                outbox.connected()
                for receipt in range(before + 1, before + 6):  # five of them are answered
                    outbox.delivered(receipt)
                outbox.disconnected()
        journal.close()
    journal = Journal(path, feedback_budget_bytes=60_000)
    outbox = Outbox(journal, broker.publish)
    outbox.connected()
    receipt = 0
    while receipt < broker.receipts:
        receipt += 1
        outbox.delivered(receipt)
    assert journal.waiting() == []
    assert totals_of(list(broker.heard.values())) == totals_of(minutes)
    assert len(broker.heard) < 300, "some were merged"
    journal.close()


def test_no_more_are_under_way_than_there_is_room_for(journal: Journal) -> None:
    broker = Broker()
    journal.enqueue([entry_of(a_minute(number)) for number in range(UNACKNOWLEDGED_MAX + 8)])
    Outbox(journal, broker.publish).connected()
    assert broker.receipts == UNACKNOWLEDGED_MAX


def test_a_report_that_cannot_be_read_is_left_as_it_is() -> None:
    strange = OutboxEntry("f-0", TOPIC, b'{"v":2}', 0.0, "feedback")
    one, two = entry_of(a_minute(1)), entry_of(a_minute(2))
    (pair,) = make_room([strange, one, strange, two], 1)
    assert (pair.older_id, pair.newer_id) == (one.event_id, two.event_id)
    assert make_room([strange, one], 1) == []

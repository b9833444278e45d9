"""Renders an explanation for a terminal, in at most `width` columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Final

from device_client.diagnostics.explanation import ConditionResult, Explanation

LABEL: Final = 12
SINCE: Final = frozenset({"runs", "state", "link"})  # their time is when it began
MARKS: Final = {True: "ok", False: "no"}


def lines(device: str, answer: Explanation, now: datetime, zone: tzinfo, width: int = 80) -> Iterator[str]:
    yield from _wrapped(f"{device} / {answer.model}: ", answer.headline, width, indent=2)
    yield ""
    for label, fact in answer.facts.items():
        at = answer.times.get(label)
        yield from labelled(label, f"{fact}{_when(label, at, now, zone)}" if at else fact, width)
    if answer.conditions:
        yield ""
        yield "Conditions, looked at just now:"
        for result in answer.conditions:
            yield from labelled(result.condition, _condition(result), width, mark=MARKS[result.holds])
    if answer.advice:
        yield ""
        yield "What you can do:"
        for each in answer.advice:
            yield from _wrapped("  * ", each, width, indent=4)


def in_words(at: datetime, now: datetime, zone: tzinfo) -> str:
    """A time in the device's zone, and how far off it is."""
    there, here = at.astimezone(zone), now.astimezone(zone)
    clock = f"{there:%H:%M}" if there.date() == here.date() else f"{there.day} {there:%b %H:%M}"
    if there.year != here.year:
        clock = f"{there.day} {there:%b %Y %H:%M}"
    seconds = (at - now).total_seconds()
    return f"{clock} (in {span(seconds)})" if seconds > 0 else f"{clock} ({span(-seconds)} ago)"


def span(seconds: float) -> str:
    """A duration in the largest unit of which there are two or more."""
    for unit, size_s in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _when(label: str, at: datetime, now: datetime, zone: tzinfo) -> str:
    word = "since" if label in SINCE else "received" if label == "plan" else "at"
    return f", {word} {in_words(at, now, zone)}"


def _condition(result: ConditionResult) -> str:
    waived = "; waived, for the update is urgent" if result.waived else ""
    return f"{result.reason}{waived}" + (f" [{result.kind}]" if not result.holds else "")


def labelled(label: str, text: str, width: int, *, mark: str = "") -> Iterator[str]:
    """A label and its text, wrapped in a column of its own."""
    head = f"  {mark:3}{label:{LABEL}} " if mark else f"  {label:{LABEL}} "
    yield from _wrapped(head, text, width, indent=len(f"  {mark:3}" if mark else "  ") + LABEL + 1)


def _wrapped(head: str, text: str, width: int, *, indent: int) -> list[str]:
    return textwrap.wrap(f"{head}{text}", width, subsequent_indent=" " * indent, break_on_hyphens=False)

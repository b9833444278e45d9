"""The ladder on a terminal: a line for each rung, and what was not possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from protocol.sizes import size_text

COLUMNS: Final = ("rung", "file", "wire", "accuracy", "change", "agrees", "ms", "zeros")
MORE_COLUMNS: Final = ("ms p95", "peak memory")
WIDE: Final = 100  # columns of a terminal


@dataclass(frozen=True, slots=True)
class Rungs:
    """A table of 80 columns, or of all figures on a `WIDE` terminal."""

    rungs: Sequence[Mapping[str, Any]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        more = options.max_width >= WIDE
        names = (*COLUMNS, *MORE_COLUMNS) if more else COLUMNS
        table = Table(*names, box=None, pad_edge=False, collapse_padding=True, header_style="bold")
        table.columns[0].overflow = "fold"
        for column in table.columns[1:]:
            column.justify, column.no_wrap = "right", True
        for rung in self.rungs:
            table.add_row(*_row(rung), *(_more(rung) if more else ()))
        yield table


def ladder(facts: Mapping[str, Any], folder: Path) -> RenderableType:
    """Render `Ladder.facts`, and name the files in `folder`."""
    impossible = [Text(f"not possible: {rung['name']}: {rung['reason']}") for rung in facts["impossible"]]
    study = [Text(_study_text(facts["distillation"]))] if facts["distillation"] else []
    count = facts["rungs"][0]["accuracy_samples"]
    tail = (
        f"{measured_text(facts)} with its 95 % interval, on {count} held-back samples; ms: half of them were faster,"
        f" here, with the device's runtime; {folder / 'ladder.json'} has it all, {folder / 'report.html'} shows it"
    )
    return Group(Rungs(facts["rungs"]), *impossible, *study, Text(tail))


def rung_line(rung: Mapping[str, Any]) -> str:
    """One rung that has just been made, in 80 columns."""
    if "reason" in rung:
        return f"{rung['name']}: not possible: {rung['reason']}"
    return (
        f"{rung['name']:<20} {size_text(rung['wire_bytes']):>9} on the wire, accuracy {rung['accuracy']:.3f}"
        f" ({rung['accuracy_change']:+.3f}), {rung['latency_ms_p50']:.3g} ms"
    )


def measured_text(facts: Mapping[str, Any]) -> str:
    """What the accuracy is: in other tasks than classification another measure."""
    measure = facts.get("measure", "accuracy")
    return "accuracy" if measure == "accuracy" else f"accuracy: {measure},"


def _row(rung: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        rung["name"],
        size_text(rung["file_bytes"]),
        size_text(rung["wire_bytes"]),
        f"{rung['accuracy']:.3f} ({rung['accuracy_low']:.2f}-{rung['accuracy_high']:.2f})",
        f"{rung['accuracy_change']:+.3f}",
        f"{rung['agreement']:.3f}",
        f"{rung['latency_ms_p50']:.3f}",
        f"{rung['sparsity']:.0%}",
    )


def _more(rung: Mapping[str, Any]) -> tuple[str, ...]:
    return f"{rung['latency_ms_p95']:.3f}", size_text(rung["memory_peak_bytes"])


def _study_text(study: Mapping[str, Any]) -> str:
    seeds = len(study["seeds"])
    return (
        f"the student over {seeds} seeds: accuracy {study['taught_mean']:.4f} taught,"
        f" {study['alone_mean']:.4f} without its teacher"
    )

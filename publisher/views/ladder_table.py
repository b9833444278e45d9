"""The ladder for a person: one rung a line, what could not be made, and whether the teacher was worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from publisher.views.tables import size

COLUMNS: Final = ("rung", "file", "wire", "accuracy", "change", "agrees", "ms", "zeros")
MORE_COLUMNS: Final = ("ms p95", "peak memory")
WIDE: Final = 100  # columns of a terminal that has room for them


@dataclass(frozen=True, slots=True)
class Rungs:
    """The table, as wide as the terminal allows: 80 columns, or all figures from `WIDE` on."""

    rungs: Sequence[Mapping[str, Any]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Asked by rich, which knows the width."""
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
    """What `Ladder.facts` tells, and where the files are."""
    lost = [Text(f"not possible: {rung['name']}: {rung['reason']}") for rung in facts["impossible"]]
    study = [Text(_studied(facts["distillation"]))] if facts["distillation"] else []
    count = facts["rungs"][0]["accuracy_samples"]
    tail = (
        f"accuracy with its 95 % interval, on {count} held-back samples; ms: half of them were faster, here, with the"
        f" device's runtime; {folder / 'ladder.json'} has it all, {folder / 'report.html'} shows it"
    )
    return Group(Rungs(facts["rungs"]), *lost, *study, Text(tail))


def _row(rung: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        rung["name"],
        _size(rung["file_bytes"]),
        _size(rung["wire_bytes"]),
        f"{rung['accuracy']:.3f} ({rung['accuracy_low']:.2f}-{rung['accuracy_high']:.2f})",
        f"{rung['accuracy_change']:+.3f}",
        f"{rung['agreement']:.3f}",
        f"{rung['latency_ms_p50']:.3f}",
        f"{rung['sparsity']:.0%}",
    )


def _more(rung: Mapping[str, Any]) -> tuple[str, ...]:
    return f"{rung['latency_ms_p95']:.3f}", _size(rung["memory_peak_bytes"])


def _size(size_bytes: int) -> str:
    """Without a fraction, where it would say little."""
    return f"{size_bytes / 1e3:.0f} kB" if 100_000 <= size_bytes < 1_000_000 else size(size_bytes)


def _studied(study: Mapping[str, Any]) -> str:
    seeds = len(study["seeds"])
    return (
        f"the student over {seeds} seeds: accuracy {study['taught_mean']:.4f} taught,"
        f" {study['alone_mean']:.4f} without its teacher"
    )

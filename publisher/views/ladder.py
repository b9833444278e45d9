"""The ladder for a person: one rung a line, what could not be made, and whether the teacher was worth it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from publisher.views.tables import size

COLUMNS = ("rung", "file", "wire", "accuracy", "change", "agrees", "ms", "zeros")


def ladder(facts: Mapping[str, Any], folder: Path) -> RenderableType:
    """What `Ladder.facts` tells, 80 columns wide, and where the files are."""
    table = Table(*COLUMNS, box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for rung in facts["rungs"]:
        table.add_row(*_row(rung))
    lost = [Text(f"not possible: {rung['name']}: {rung['reason']}") for rung in facts["impossible"]]
    study = [Text(_studied(facts["distillation"]))] if facts["distillation"] else []
    count = facts["rungs"][0]["accuracy_samples"]
    tail = (
        f"accuracy with its 95 % interval, on {count} held-back samples; ms: half of them were faster, here, with the"
        f" device's runtime; {folder / 'ladder.json'} has it all, {folder / 'report.html'} shows it"
    )
    return Group(table, *lost, *study, Text(tail))


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


def _size(size_bytes: int) -> str:
    """Without a fraction, where it would say little."""
    return f"{size_bytes / 1e3:.0f} kB" if 100_000 <= size_bytes < 1_000_000 else size(size_bytes)


def _studied(study: Mapping[str, Any]) -> str:
    seeds = len(study["seeds"])
    return (
        f"the student over {seeds} seeds: accuracy {study['taught_mean']:.4f} taught,"
        f" {study['alone_mean']:.4f} without its teacher"
    )

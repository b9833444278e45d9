"""The ladder on a terminal: a line a rung within 80 columns, sentences for the rest."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from publisher.learning.variants.variant_spec import RUNGS
from publisher.views.ladder_table import ladder


def a_rung(name: str) -> dict[str, Any]:
    return {
        "name": name, "file_bytes": 439_656, "wire_bytes": 37_349, "accuracy": 0.98189, "accuracy_low": 0.9659,
        "accuracy_high": 0.9904, "accuracy_samples": 497, "accuracy_change": -0.00201, "agreement": 0.99799,
        "latency_ms_p50": 0.0163, "latency_ms_p95": 0.0214, "memory_peak_bytes": 1_310_720, "sparsity": 0.8,
    }  # fmt: skip


def shown(facts: dict[str, Any], *, width: int = 80) -> list[str]:
    page = io.StringIO()
    Console(file=page, width=width, highlight=False, markup=False).print(ladder(facts, Path("out")))
    return [line.rstrip() for line in page.getvalue().splitlines()]


def test_every_rung_has_one_line_of_at_most_80_columns() -> None:
    lines = shown({"rungs": [a_rung(name) for name in RUNGS], "impossible": [], "distillation": None})
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1 : 1 + len(RUNGS)]] == list(RUNGS)
    assert "440 kB 37.3 kB 0.982 (0.97-0.99) -0.002  0.998 0.016   80%" in lines[1]


def test_a_wide_terminal_has_room_for_the_slowest_samples_and_for_memory() -> None:
    lines = shown({"rungs": [a_rung("float32")], "impossible": [], "distillation": None}, width=100)
    assert lines[0].endswith("zeros ms p95 peak memory")
    assert lines[1].endswith(" 80%  0.021     1.31 MB")


def test_what_could_not_be_made_and_what_the_teacher_brought_is_said() -> None:
    lines = shown(
        {
            "rungs": [a_rung("float32")],
            "impossible": [{"name": "qat", "reason": "the technique does not know the layer x, a Lambda"}],
            "distillation": {"seeds": [1, 2, 3, 4, 5], "taught_mean": 0.95, "alone_mean": 0.94},
        }
    )
    assert "not possible: qat: the technique does not know the layer x, a Lambda" in lines
    assert "the student over 5 seeds: accuracy 0.9500 taught, 0.9400 without its teacher" in lines
    assert "out/ladder.json has it all" in " ".join(lines)

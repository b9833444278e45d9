"""Plots accuracy of rungs against bytes on the wire. The only user of matplotlib."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import Bbox

INK: Final = "#20262d"
FAINT: Final = "#929ba5"
RULE: Final = "#e2e6ea"
PAPER: Final = "#ffffff"
ACCENT: Final = "#0a6a94"
THEME: Final = {INK: "--ink", FAINT: "--faint", RULE: "--rule", PAPER: "--paper", ACCENT: "--accent"}  # of the page
WIDE_IN: Final = (9.0, 5.2)
NARROW_IN: Final = (4.4, 5.0)  # for a page of 400 pixels, with letters of the same size
PNG_DPI: Final = 160
MARK_PX: Final = 5.0
TICKS_MIN: Final = 3
AROUND: Final = tuple(  # offsets of a label from its mark in points, the nearest first
    (dx, dy, side)
    for far in (1, 2, 3, 5)
    for dx, dy, side in (
        (7, 5 * far, "left"), (-7, 5 * far, "right"), (7, -5 * far - 5, "left"), (-7, -5 * far - 5, "right"),
        (0, 9 * far, "center"), (0, -9 * far - 5, "center"),
    )
)  # fmt: skip
_SETTINGS: Final[dict[Any, Any]] = {
    "font.size": 10, "svg.fonttype": "path", "svg.hashsalt": "edgeferry", "text.color": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": FAINT,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """A rung in the plot. `low` and `high` bound the accuracy with 95 % confidence."""

    name: str
    wire_kb: float
    accuracy: float
    low: float
    high: float
    in_front: bool
    is_parent: bool


def png(facts: Mapping[str, Any]) -> bytes:
    return _saved(facts, WIDE_IN, "png")


def svg(facts: Mapping[str, Any]) -> str:
    return _saved(facts, WIDE_IN, "svg").decode()


def inline_svg(facts: Mapping[str, Any], *, narrow: bool = False) -> str:
    """The plot as a part of a page, in the page's colours and with unique ids."""
    text = _saved(facts, NARROW_IN if narrow else WIDE_IN, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    prefix = "narrow-" if narrow else "wide-"
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}", text)
    for colour, name in THEME.items():
        text = text.replace(colour, f"var({name})")
    label = "accuracy against kilobytes on the wire, for each rung; the table has the numbers"
    return text.replace("<svg", f'<svg class="{prefix.rstrip("-")}" role="img" aria-label="{label}"', 1)


def _saved(facts: Mapping[str, Any], size_in: tuple[float, float], kind: str) -> bytes:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else it reports its search for fonts
    with mpl.rc_context(_SETTINGS):
        what = f"{facts.get('measure', 'accuracy')} (on {facts['rungs'][0]['accuracy_samples']} samples, 95 % interval)"
        figure = _figure(_points(facts), size_in, what)
        file = io.BytesIO()
        figure.savefig(file, format=kind, dpi=PNG_DPI, metadata={"Date": None} if kind == "svg" else None)
    return file.getvalue()


def _points(facts: Mapping[str, Any]) -> list[Point]:
    return [
        Point(
            rung["name"],
            rung["wire_bytes"] / 1e3,
            rung["accuracy"],
            rung["accuracy_low"],
            rung["accuracy_high"],
            rung["name"] in facts["front"],
            rung is facts["rungs"][0],
        )
        for rung in facts["rungs"]
    ]


def _figure(points: list[Point], size_in: tuple[float, float], what: str) -> Figure:
    figure = Figure(figsize=size_in, facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot(facecolor=PAPER)
    _frame(axes, points, what, room=1.6 * WIDE_IN[0] / size_in[0])
    for on_front in (False, True):  # the front lies above
        _marks(axes, [point for point in points if point.in_front is on_front], on_front=on_front)
    _line(axes, points)
    figure.legend(loc="outside upper left", frameon=False, ncols=2, handletextpad=0.3, columnspacing=1.2)
    figure.draw_without_rendering()  # computes positions
    _names(axes, points)
    return figure


def _frame(axes: Axes, points: list[Point], what: str, room: float) -> None:
    """The left edge is the smallest value divided by `room`, which holds a label."""
    small, large = min(point.wire_kb for point in points), max(point.wire_kb for point in points)
    axes.set_xscale("log")
    axes.set_xlim(small / room, large * 1.6)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(small / room, large * 1.6)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda kb, _: f"{kb:g}"))
    axes.set_xlabel("bytes on the wire (kB, log scale)")
    axes.set_ylabel(what)
    axes.grid(visible=True, color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, closer where there would be too few."""
    found: list[float] = []
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        ticks = (step * 10.0**power for power in range(-3, 7) for step in steps)
        found = [tick for tick in ticks if low <= tick <= high]
        if len(found) >= TICKS_MIN:
            break
    return found


def _marks(axes: Axes, points: list[Point], *, on_front: bool) -> None:
    if not points:
        return
    x, y = [point.wire_kb for point in points], [point.accuracy for point in points]
    spread = [[p.accuracy - p.low for p in points], [p.high - p.accuracy for p in points]]
    _, _, (bars,) = axes.errorbar(
        x, y, yerr=spread, fmt="o", markersize=7 if on_front else 5, color=ACCENT if on_front else FAINT,
        ecolor=ACCENT if on_front else FAINT, elinewidth=0.9, alpha=1.0 if on_front else 0.8,
        label="worth shipping" if on_front else "beaten by another", zorder=4 if on_front else 2,
    )  # fmt: skip
    bars.set_alpha(0.5)


def _line(axes: Axes, points: list[Point]) -> None:
    """The best accuracy for a given number of bytes."""
    steps: list[Point] = []
    for point in sorted(points, key=lambda p: (p.wire_kb, -p.accuracy)):
        if not steps or point.accuracy > steps[-1].accuracy:
            steps.append(point)
    x, y = [point.wire_kb for point in steps], [point.accuracy for point in steps]
    axes.step(x, y, where="post", color=ACCENT, linewidth=1.2, alpha=0.5, zorder=3)


def _names(axes: Axes, points: list[Point]) -> None:
    """Label the front and the parent, covering neither marks nor other labels."""
    marks = [axes.transData.transform((point.wire_kb, point.accuracy)) for point in points]
    taken = [Bbox.from_bounds(x - MARK_PX, y - MARK_PX, 2 * MARK_PX, 2 * MARK_PX) for x, y in marks]
    named = [point for point in points if point.in_front or point.is_parent]
    for point in sorted(named, key=lambda p: p.wire_kb):
        taken.append(_named(axes, point, taken))


def _named(axes: Axes, point: Point, taken: list[Bbox]) -> Bbox:
    label, box = _label(axes, point, 0)
    for place in range(1, len(AROUND)):
        if _is_free(axes, box, taken):
            break
        label.remove()
        label, box = _label(axes, point, place)
    return box


def _label(axes: Axes, point: Point, place: int) -> tuple[Annotation, Bbox]:
    dx, dy, side = AROUND[place]
    label = axes.annotate(
        point.name, (point.wire_kb, point.accuracy), (dx, dy), textcoords="offset points", ha=side,
        fontsize=8.5, zorder=5,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
    )  # fmt: skip
    return label, label.get_window_extent()


def _is_free(axes: Axes, box: Bbox, taken: list[Bbox]) -> bool:
    inside = axes.get_window_extent()
    fits = box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y0 >= inside.y0 and box.y1 <= inside.y1
    return fits and not any(box.overlaps(other) for other in taken)

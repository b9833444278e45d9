"""Draws how the smart strategy reacts to real inputs that drift:
docs/images/smart-strategy.png.

    python -m bench.smart [--out FILE.png] [--models FOLDER]

A real device with a simulated clock and broker (tests/real_room.py) runs through five
days and a half of real digits with real models: once with true labels for half of its
inputs, once with none. Its CPU is above the comfort limit all the time, and for a while
the application holds updates, which nothing waives.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.drifting import Leg, Stream, drifting
from device_client.core.policy import Smart, TrialLimits
from device_client.core.state import WAITING
from device_client.core.strategy.quality_score import DRIFT_CALM, score
from tests.builders import a_policy
from tests.device_harness import DeviceHarness
from tests.integration import fleet_models

OUT: Final = Path(__file__).resolve().parent.parent / "docs" / "images" / "smart-strategy.png"
HOUR_S: Final = 3_600.0
SMART: Final = Smart()
PATIENT: Final = TrialLimits(  # inputs are rare here, and the machine that draws may be busy
    shadow_deadline_s=36_000.0, probation_deadline_s=36_000.0, poll_s=30.0, latency_floor_ms=10_000.0
)
BLUE, RED, GREY, SAND, BROWN = "#0b6e99", "#b5482a", "#555555", "#d9a441", "#8a6412"
PER_HOUR: Final = 120  # inputs
TURNED_DEG: Final = 45.0
NOISE: Final = 0.2
TURNS_H: Final = (38.0, 62.0)
BACK_H: Final = 74.0
END_H: Final = 132.0
HELD_H: Final = (46.0, 56.0)
BUSY: Final[dict[str, Any]] = {"cpu_percent": 95}
RELEASES_H: Final = {"2.0.0": 1.0, "3.0.0": 84.0}
MADE_AS: Final = {"1.0.0": "1.0.0", "2.0.0": "2.0.0", "3.0.0": "1.1.0"}  # of fleet_models
LEGS: Final = (
    (TURNS_H[0], Leg(0)),
    (TURNS_H[1], Leg(0, (0.0, TURNED_DEG), (0.0, NOISE))),
    (BACK_H, Leg(0, (TURNED_DEG, TURNED_DEG), (NOISE, NOISE))),
    (END_H, Leg(0)),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment. `interval_s` is None while no update waits; `drift` is None while it
    cannot be computed.
    """

    at_h: float
    turned_deg: float
    drift: float | None
    score: float
    interval_s: float | None


@dataclass(frozen=True, slots=True)
class Check:
    """A check by the strategy, and the interval to the next one that its score gave."""

    at_h: float
    interval_s: float
    score: str


@dataclass(slots=True)
class Life:
    """What happened on one device. `outcomes`: the final reports, by version."""

    labelled: bool
    samples: list[Sample] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    taken_h: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)

    def check_at(self, at_h: float) -> Check:
        """The check made at that time."""
        return next(check for check in self.checks if check.at_h == at_h)


def a_stream(per_hour: int = PER_HOUR) -> Stream:
    """The stream of the picture: upright, rotating, rotated, upright again."""
    begins_h, legs = 0.0, []
    for ends_h, leg in LEGS:
        legs.append(Leg(round((ends_h - begins_h) * per_hour), leg.turned_deg, leg.noise))
        begins_h = ends_h
    return drifting(legs)


def live(stream: Stream, models: Path, folder: Path, *, labelled: bool, per_hour: int = PER_HOUR) -> Life:
    """Run a device in `folder` through the stream. `models`: filled by
    `fleet_models.make_digits`.
    """
    made = {version: fleet_models.made(models, name) for version, name in MADE_AS.items()}
    room = DeviceHarness(folder, a_policy(strategy=SMART, trial=PATIENT))
    room.settles("1.0.0", made["1.0.0"])
    began_s, life = room.now_s, Life(labelled)
    due = [(due_h, partial(room.announces, version, made[version])) for version, due_h in RELEASES_H.items()]
    due += [(0.0, partial(room.reads, **BUSY)), (HELD_H[1], partial(room.reads, **BUSY))]
    due += [(HELD_H[0], partial(room.reads, **BUSY, held="a demonstration"))]
    for row in range(len(stream.x)):
        at_h = row / per_hour
        for happens in [happens for due_h, happens in due if due_h <= at_h]:
            happens()
        due = [(due_h, happens) for due_h, happens in due if due_h > at_h]
        before_s = room.engine.state.moment.history.checked_at_s
        room.passes(began_s + (row + 1) * HOUR_S / per_hour - room.now_s)
        room.asks(stream.x[row], int(stream.y[row]) if labelled and row % 2 == 0 else None)
        looked = room.engine.state.moment.history.checked_at_s != before_s
        _note(life, room, at_h, float(stream.turned_deg[row]), looked=looked)
    life.outcomes = {each.version: f"{each.outcome}: {each.reason}" for each in room.outcomes}
    room.close()
    return life


def _note(life: Life, room: DeviceHarness, at_h: float, turned_deg: float, *, looked: bool) -> None:
    moment, device, quality = room.engine.state.moment, room.device, room.serving.quality()
    expected = device.live.variant.measured.accuracy if device.live else None
    waits = device.phase in WAITING
    value = score(SMART, quality, expected).value
    drift = quality.drift if quality else None
    life.samples.append(Sample(at_h, turned_deg, drift, value, moment.history.interval_s if waits or looked else None))
    if looked and moment.history.interval_s is not None:
        weighed = score(SMART, moment.seen.readings.quality, expected)
        life.checks.append(Check(at_h, moment.history.interval_s, weighed.figures))
    for said in room.statuses:
        if said.state == "fetching" and said.latest_version:
            life.taken_h.setdefault(said.latest_version, at_h)
    room.statuses.clear()


def draw(lives: Sequence[Life], out: Path) -> None:
    """Draw inputs, drift, score and interval on one time axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (inputs, drifts, scores, waits) = plt.subplots(
        4, 1, figsize=(9.5, 7.6), sharex=True, height_ratios=(0.5, 0.6, 0.6, 1.5), dpi=110
    )
    _draw_inputs(inputs, lives[0])
    for life in lives:
        _draw_life(drifts, scores, waits, life)
    scores.axhline(SMART.comfort_score, color=GREY, lw=1, ls=":")
    scores.text(
        END_H,
        SMART.comfort_score + 0.03,
        "below this, comfort conditions are waived",
        ha="right",
        va="bottom",
        color=GREY,
    )
    drifts.axhline(DRIFT_CALM, color=GREY, lw=1, ls=":")
    drifts.text(END_H, DRIFT_CALM + 0.03, "no drift below this line", ha="right", va="bottom", color=GREY)
    drifts.set(ylabel="detected\ndrift", ylim=(-0.06, 1.1), yticks=(0, 0.5, 1))
    scores.set(ylabel="score", ylim=(-0.06, 1.1), yticks=(0, 0.5, 1))
    ticks = (SMART.interval_min_s / HOUR_S, 1, 4, SMART.interval_max_s / HOUR_S)
    waits.set(ylabel="hours between checks", xlabel="hours", yscale="log", xlim=(0, END_H), ylim=(0.1, 60))
    waits.set_yticks(ticks, ("0.25\nfloor", "1", "4", "24\nceiling"))
    waits.minorticks_off()
    waits.set_xticks(range(0, int(END_H) + 1, 12))
    _mark((inputs, drifts, scores, waits), waits, scores)
    figure.suptitle(
        "The worse its model does, the sooner a smart device checks for updates", x=0.02, ha="left", fontsize=12
    )
    figure.align_ylabels()
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    plt.close(figure)


def _draw_inputs(axis: Any, life: Life) -> None:
    hours = [sample.at_h for sample in life.samples]
    axis.fill_between(hours, [sample.turned_deg for sample in life.samples], color=SAND, alpha=0.35, lw=0)
    axis.text(BACK_H + 1, TURNED_DEG * 0.75, f"turned by up to {TURNED_DEG:.0f}°, and noisy", color=BROWN)
    axis.set(ylabel="turned,\ndegrees", ylim=(0, 1.1 * TURNED_DEG), yticks=(0, TURNED_DEG))


def _draw_life(drifts: Any, scores: Any, waits: Any, life: Life) -> None:
    color, name = (BLUE, "with labels") if life.labelled else (RED, "without labels")
    every = life.samples[:: PER_HOUR // 6]
    hours = [sample.at_h for sample in every]
    drifts.plot(hours, [sample.drift for sample in every], color=color, lw=1.2, alpha=0.8)
    scores.plot(hours, [sample.score for sample in every], color=color, lw=1.6, label=name)
    intervals = [float("nan") if sample.interval_s is None else sample.interval_s / HOUR_S for sample in life.samples]
    waits.step([sample.at_h for sample in life.samples], intervals, where="post", color=color, lw=1.6)
    for version, at_h in life.taken_h.items():
        if at_h > RELEASES_H.get(version, END_H):
            interval_h = life.check_at(at_h).interval_s / HOUR_S
            waits.plot(at_h, interval_h, "*", ms=15, color=color, zorder=3)
            side, ha = (2, "left") if life.labelled else (-2, "right")
            note = f"{version} is taken,\ncomfort waived"
            waits.text(at_h + side, interval_h, note, color=color, ha=ha, va="center")
            for axis in (drifts, scores):
                axis.axvline(at_h, color=color, lw=1, ls="--")
    points = [[check.at_h for check in life.checks], [check.interval_s / HOUR_S for check in life.checks]]
    waits.plot(*points, "o", ms=4, color=color, label=f"a check, {name}")


def _mark(axes: Sequence[Any], waits: Any, scores: Any) -> None:
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    for version, at_h in RELEASES_H.items():
        waits.axvline(at_h, ymax=0.12, color=GREY, lw=1)
        waits.text(at_h + 0.7, 0.105, f"{version} wanted,\nprocessor busy", color=GREY, fontsize=9, va="bottom")
    waits.plot(HELD_H, (45, 45), color=GREY, lw=3, solid_capstyle="butt")
    waits.text(sum(HELD_H) / 2, 40, "application\nholds", ha="center", va="top", color=GREY, fontsize=9)
    scores.legend(frameon=False, loc="center left")
    waits.legend(frameon=False, loc="lower right")


def main() -> None:
    """Run, draw, and print the figures."""
    parser = argparse.ArgumentParser(description="Draw how the smart strategy reacts to real inputs that drift.")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--models", type=Path, help="a folder filled by fleet_models.make_digits, to save training")
    arguments = parser.parse_args()
    stream = a_stream()
    with tempfile.TemporaryDirectory() as scratch:
        models = arguments.models or Path(scratch)
        if not arguments.models:
            fleet_models.make_digits(models)
        lives = [
            live(stream, models, Path(scratch) / f"pi-{labelled}", labelled=labelled) for labelled in (True, False)
        ]
    draw(lives, arguments.out)
    for each in lives:
        print("with labels" if each.labelled else "without labels")  # noqa: T201 - the result
        for line in lines_of(each):
            print(f"  {line}")  # noqa: T201 - the result
    print(arguments.out)  # noqa: T201 - the result


def lines_of(life: Life) -> list[str]:
    """The figures behind the picture, a line each."""
    lines = [
        f"hour {check.at_h:6.1f}: checks every {check.interval_s / HOUR_S:5.2f} h: {check.score}"
        for check in life.checks
    ]
    lines += [f"hour {at_h:6.1f}: {version} is taken" for version, at_h in life.taken_h.items()]
    return [*lines, *(f"{version} {outcome}" for version, outcome in life.outcomes.items())]


if __name__ == "__main__":
    main()

"""Draws what the smart strategy does with a model whose inputs drift: docs/images/smart-strategy.png.

    python -m bench.smart [--out FILE.png]

The core is the real one, stepped by hand through seven days; the processor is too busy for comfort all the time, and
for a while the application holds, which nothing waives. What the feedback says of the model is made up: steady, then
drifting, then steady again under the new version.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from device_client.core.device import Phase
from device_client.core.policy import Smart
from device_client.core.quality import Quality
from device_client.core.score import score
from tests.builders import a_device, a_plan, a_policy
from tests.life import Life

HOUR_S: Final = 3_600.0
DAY_S: Final = 24 * HOUR_S
DAYS: Final = 7
OUT: Final = Path(__file__).resolve().parent.parent / "docs" / "images" / "smart-strategy.png"
SMART: Final = Smart()
WANTED_AT_S: Final = {"2.0.0": 0.5 * DAY_S, "3.0.0": 3.5 * DAY_S}
HELD_S: Final = (2.1 * DAY_S, 2.8 * DAY_S)
BUSY: Final[dict[str, Any]] = {"cpu_percent": 95.0}


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment of the device's life."""

    at_s: float
    quality: Quality
    score: float
    interval_s: float | None
    looked: bool
    phase: Phase
    live: str | None
    reason: str


def quality_at(at_s: float, live: str | None) -> Quality:
    """Inputs drift from the second day on; 2.0.0 was trained with them and is at home there."""
    drift = 0.0 if live != "1.0.0" else min(1.0, max(0.0, (at_s - 1.25 * DAY_S) / DAY_S * 0.9))
    return Quality(drift=drift, confidence=0.97 - 0.3 * drift, inferences=1_000)


def replay(days: float = DAYS) -> list[Sample]:
    """Live through it: at every moment at which the core wants to be woken, it is given what it then reads."""
    life = Life(a_device(Phase.COMMITTED, live="1.0.0", plan=a_plan("1.0.0")), a_policy(strategy=SMART))
    began_s, samples = life.now_s, list[Sample]()
    wanted = dict(WANTED_AT_S)
    while (at_s := life.now_s - began_s) < days * DAY_S:
        for version in [version for version, due_s in wanted.items() if due_s <= at_s]:
            del wanted[version]
            life.plans(version)
        if life.phase in (Phase.ASSIGNED, Phase.DEFERRED):
            samples.append(_look(life, at_s))
        else:
            _get_on(life)
            life.now_s += HOUR_S / 12
        if life.phase is Phase.DEFERRED:
            life.waits()
    return samples


def _look(life: Life, at_s: float) -> Sample:
    quality, before_s = quality_at(at_s, life.live), life.state.moment.checked_at_s
    live = life.live
    life.reads(quality=quality, held="demo" if HELD_S[0] <= at_s < HELD_S[1] else "", **BUSY)
    moment = life.state.moment
    looked = moment.checked_at_s != before_s
    value = score(SMART, quality).value
    return Sample(at_s, quality, value, moment.interval_s, looked, life.phase, live, life.device.reason)


def _get_on(life: Life) -> None:
    """Whatever the update waits for comes, and is good."""
    match life.phase:
        case Phase.FETCHING:
            life.gets_blob()
        case Phase.PROVING:
            life.proves()
        case Phase.SHADOWING | Phase.PROBATION:
            life.counts()
        case _:
            pass


def draw(samples: list[Sample], out: Path) -> None:
    """Score above, interval below, one clock."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    days = [sample.at_s / DAY_S for sample in samples]
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5.4), sharex=True, height_ratios=(1, 1.3), dpi=110)
    taken = next(sample for sample in samples if sample.phase is Phase.FETCHING)
    for part in (True, False):  # two releases: nothing is weighed in between
        mine = [i for i, sample in enumerate(samples) if (sample.at_s <= taken.at_s) is part]
        x = [days[i] for i in mine]
        above.plot(x, [samples[i].score for i in mine], color="#0b6e99", lw=2)
        hours = [(samples[i].interval_s or 0.0) / HOUR_S for i in mine]
        below.step(x, hours, where="post", color="#0b6e99", lw=2)
    looks = [sample for sample in samples if sample.looked]
    below.plot(
        [look.at_s / DAY_S for look in looks],
        [(look.interval_s or 0.0) / HOUR_S for look in looks],
        "o",
        ms=4.5,
        color="#0b6e99",
        label="a look at the conditions",
    )
    above.axhline(SMART.comfort_score, color="#b5482a", lw=1, ls="--")
    above.text(DAYS, SMART.comfort_score + 0.02, "under it comfort is waived", ha="right", va="bottom", color="#b5482a")
    above.set(ylabel="score", ylim=(-0.05, 1.12), yticks=(0, 0.5, 1))
    below.set(ylabel="hours between looks", xlabel="days", yscale="log", xlim=(0, DAYS), ylim=(0.1, 60))
    ticks = (SMART.interval_min_s / HOUR_S, 1, 4, SMART.interval_max_s / HOUR_S)
    below.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    below.minorticks_off()
    for axis in (above, below):
        axis.axvline(taken.at_s / DAY_S, color="#b5482a", lw=1)
        axis.axvspan(1.25, taken.at_s / DAY_S, color="#d9a441", alpha=0.18, lw=0)
        axis.spines[["top", "right"]].set_visible(False)
    below.plot([at_s / DAY_S for at_s in HELD_S], [52, 52], color="#444444", lw=3, solid_capstyle="butt")
    below.text(HELD_S[1] / DAY_S - 0.03, 46, "application\nholds", ha="right", va="top", color="#444444", fontsize=9)
    above.text(1.27, 1.03, "inputs drift", color="#8a6412", va="bottom")
    above.text(taken.at_s / DAY_S + 0.04, 1.03, "2.0.0 is taken", color="#b5482a", va="bottom")
    for version, at_s in WANTED_AT_S.items():
        below.annotate(
            f"{version} wanted,\nprocessor busy",
            (at_s / DAY_S, 0.11),
            xytext=(at_s / DAY_S + 0.05, 0.115),
            fontsize=9,
            color="#444444",
        )
        below.axvline(at_s / DAY_S, ymax=0.2, color="#444444", lw=1)
    below.legend(frameon=False, loc="lower right")
    figure.suptitle("A smart device looks the sooner, the worse its model does", x=0.02, ha="left", fontsize=12)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def main() -> None:
    """Replay, draw, and tell where."""
    parser = argparse.ArgumentParser(description="Draw what the smart strategy does.")
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    samples = replay()
    draw(samples, out)
    taken = next(sample for sample in samples if sample.phase is Phase.FETCHING)
    looks = sum(sample.looked for sample in samples)
    print(f"{looks} looks in {DAYS} days; 2.0.0 taken on day {taken.at_s / DAY_S:.2f}: {out}")  # noqa: T201 - its answer


if __name__ == "__main__":
    main()

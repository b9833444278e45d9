"""The smart strategy on real digits that drift, with a real device but for clock and
broker.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from bench import smart
from bench.drifting import Leg, Stream, drifting
from device_client.core.policy import Smart, TrialLimits
from protocol.messages.device import Status
from tests.builders import a_policy
from tests.device_harness import DeviceHarness
from tests.integration import fleet_models

FLOOR_S: Final = 900.0
CEILING_S: Final = 14_400.0
EVERY_S: Final = 20.0  # between two inputs
HOUR: Final = 180  # inputs
HOUR_S: Final = 3_600.0
TRIAL_S: Final = 14_400.0
SMART: Final = Smart(interval_min_s=FLOOR_S, interval_max_s=CEILING_S)
PATIENT: Final = TrialLimits(
    shadow_deadline_s=TRIAL_S, probation_deadline_s=TRIAL_S, poll_s=30.0, latency_floor_ms=10_000.0
)
UPRIGHT: Final = Leg(14 * HOUR + 1)
LEGS: Final = (Leg(7 * HOUR), Leg(6 * HOUR, (0.0, 45.0), (0.0, 0.2)), Leg(11 * HOUR, (45.0, 45.0), (0.2, 0.2)), UPRIGHT)
UNIT_S: Final = {"s": 1.0, "min": 60.0, "h": 3_600.0}


@dataclass
class Story:
    """A device on its stream."""

    room: DeviceHarness
    stream: Stream
    made: Path
    labelled: bool
    row: int = 0

    def releases(self, version: str, as_: str | None = None) -> None:
        """Give the device something to want."""
        self.room.announces(version, fleet_models.made(self.made, as_ or version))

    def comes_back_upright(self) -> None:
        """Whatever came so far: the inputs are as they used to be."""
        self.row = len(self.stream.x) - UPRIGHT.inputs

    def lives(self, inputs: int, until: Callable[[Status], bool] = lambda _: False) -> list[Status]:
        """Predict n inputs, or until a status differs; return the new statuses."""
        since = len(self.room.statuses)
        for _ in range(inputs):
            self.row += 1
            self.room.passes(EVERY_S)
            known = self.labelled and self.row % 2 == 0
            self.room.asks(self.stream.x[self.row], int(self.stream.y[self.row]) if known else None)
            if any(until(status) for status in self.room.statuses[since:]):
                break
        return self.room.statuses[since:]


@cache
def the_stream() -> Stream:
    """One for all."""
    return drifting(LEGS)


def intervals_s(statuses: Sequence[Status]) -> list[float]:
    """How often it said that it looks, each time that it said so."""
    said = [re.search(r"looks every ([\d.]+) (s|min|h): score", status.reason) for status in statuses]
    return [float(found[1]) * UNIT_S[found[2]] for found in said if found]


@pytest.fixture(params=["labelled", "unlabelled"])
def story(request: pytest.FixtureRequest, digits: Path, tmp_path: Path) -> Iterator[Story]:
    """It runs 1.0.0, its processor is busy, and it has predicted for an hour."""
    labelled = request.param == "labelled"
    policy = a_policy(strategy=SMART, trial=PATIENT, variant="float32" if labelled else "int8")
    story = Story(DeviceHarness(tmp_path / "pi", policy), the_stream(), digits, labelled)
    story.room.settles("1.0.0", fleet_models.made(digits, "1.0.0"))
    story.room.reads(cpu_percent=95)
    story.lives(HOUR)
    yield story
    story.room.close()


def test_drift_shrinks_the_interval_to_the_floor_takes_what_comfort_deferred_and_calm_lets_it_grow_back(
    story: Story,
) -> None:
    room = story.room
    story.releases("2.0.0")
    steady = story.lives(6 * HOUR)
    assert {status.state for status in steady} <= {"assigned", "deferred"}
    assert all("CPU load 95 % is over 80 %" in status.reason for status in steady if status.state == "deferred")
    assert intervals_s(steady)[-1] == CEILING_S

    room.reads(cpu_percent=95, battery_percent=12)
    drifting = story.lives(7 * HOUR)
    assert {status.state for status in drifting} == {"deferred"}, "safety is not waived by the worst of scores"
    assert intervals_s(drifting)[0] == CEILING_S
    assert intervals_s(drifting)[-1] == FLOOR_S
    assert "battery 12 % is under 30 %; looks every 15 min: score 0.00 (" in drifting[-1].reason
    assert ("(accuracy" if story.labelled else "(drift") in drifting[-1].reason

    room.reads(cpu_percent=95)
    allowed_s = room.now_s
    said = story.lives(HOUR, until=lambda status: status.state == "fetching")
    taken = next(status for status in said if status.state == "fetching")
    assert taken.latest_version == "2.0.0"
    assert "; comfort is waived: score 0.00 (" in taken.reason
    assert room.now_s - allowed_s <= FLOOR_S + EVERY_S
    story.lives(9 * HOUR, until=lambda status: status.state in ("committed", "rejected"))
    assert (room.outcomes[-1].version, room.outcomes[-1].from_version) == ("2.0.0", "1.0.0")
    assert room.outcomes[-1].outcome == "adopted", "labels show that it is better; and no one need agree with the lost"
    if not story.labelled:
        assert room.outcomes[-1].evidence.live_drifting

    story.comes_back_upright()
    story.lives(5 * HOUR)
    story.releases("3.0.0", as_="1.1.0")
    calm = story.lives(9 * HOUR)
    growing = intervals_s(calm)
    assert {status.state for status in calm} <= {"assigned", "deferred"}
    assert growing[0] <= 2 * FLOOR_S
    assert growing[-1] == CEILING_S
    assert all(later <= 2.0 * sooner for sooner, later in pairwise(growing))
    assert "CPU load 95 % is over 80 %; looks every 4.0 h: score 1.00 (" in calm[-1].reason


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [True, False])
def test_the_picture_in_the_docs_shows_what_it_says(labelled: bool, digits: Path, tmp_path: Path) -> None:
    life = smart.live(smart.a_stream(), digits, tmp_path / "pi", labelled=labelled)
    before = [check.interval_s for check in life.checks if check.at_h <= smart.TURNS_H[0]]
    after = [check.interval_s for check in life.checks if check.at_h >= smart.RELEASES_H["3.0.0"]]
    assert before[-1] == after[-1] == smart.SMART.interval_max_s
    assert smart.TURNS_H[0] < life.taken_h["2.0.0"] <= smart.HELD_H[1] + 1.0
    assert life.check_at(life.taken_h["2.0.0"]).interval_s < HOUR_S, "comfort is waived near the floor alone"
    assert "2.0.0" in life.outcomes, "it comes to an end of its own"
    assert "3.0.0" not in life.taken_h

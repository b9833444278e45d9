"""`device-client why`: the sentence, the facts behind it, and the remedies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from device_client.core.conditions.conditions import COMFORT, SAFETY
from device_client.core.conditions.readings import Unknown
from device_client.core.events import LinkDown, LinkUp, PlanRefused
from device_client.core.log_entry import LogEntry
from device_client.core.policy import Thresholds, UnknownOf
from device_client.core.state import Phase
from device_client.core.status import status_of
from device_client.diagnostics.explanation import Explanation, Snapshot, explain
from device_client.diagnostics.explanation_text import in_words, lines, span
from device_client.diagnostics.remedies import SETTING, WHAT
from device_client.engine.status_log import next_entry
from tests.builders import NOON, a_device, a_plan, a_policy, fit_readings
from tests.life import Life
from tests.states import OLD, brought_to, empty, loses, settled

BERLIN: Final = ZoneInfo("Europe/Berlin")


def entry_of(life: Life, before: LogEntry | None = None, *, at_s: float = 0.0, check_in_s: float = 30.0) -> LogEntry:
    """What the logbook holds then."""
    now = NOON + timedelta(seconds=at_s)
    due = life.state.moment.next_check_s
    next_check = None if due is None else now + timedelta(seconds=check_in_s)
    return next_entry(before, status_of(life.policy, life.state, at=now, next_check=next_check), life.state.moment)


def look_at(life: Life, *, runs: str = "4711", **readings: Any) -> Snapshot:
    """Five seconds later, from another process."""
    entry = entry_of(life, entry_of(Life()))
    now = NOON + timedelta(seconds=5)
    return Snapshot(life.policy, life.device, entry, fit_readings(**readings), runs, now)


def page(answer: Explanation, *, width: int = 80) -> list[str]:
    return list(lines("pi-1", answer, NOON + timedelta(seconds=5), BERLIN, width))


def short_of_battery() -> Life:
    life = settled()
    life.plans("2.0.0")
    life.reads(battery_percent=12.0)
    return life


def test_a_deferral_names_the_condition_its_limit_the_next_look_and_the_setting() -> None:
    answer = explain(look_at(short_of_battery(), battery_percent=12.0))
    assert answer.stuck
    assert answer.headline == "2.0.0 waits: battery 12 % is under 30 %"
    assert [asked.condition for asked in answer.conditions if not asked.holds] == ["battery"]
    assert answer.advice == (
        "charge it, or connect it to the mains; or change, in device.toml, [conditions] battery_min_percent = 30",
    )
    text = "\n".join(page(answer))
    assert "next check   the device looks again by itself, at 14:00 (in 25 s)" in text
    assert "plan         number 2 asks for 2.0.0 (every device), received 14:00 (5 s ago)" in text


def test_a_reading_that_has_come_back_but_not_far_enough_is_told_with_its_hysteresis() -> None:
    answer = explain(look_at(short_of_battery(), battery_percent=33.0))
    [objects] = [asked for asked in answer.conditions if not asked.holds]
    assert objects.reason == "battery 33 % is under 35 %, for it was under 30 %"


def test_an_unknown_reading_says_what_it_means_and_how_that_is_changed() -> None:
    life = short_of_battery()
    life.policy = a_policy(thresholds=Thresholds(unknown_of=UnknownOf(battery="defer")))
    answer = explain(look_at(life, battery_percent=Unknown("the driver hangs"), cpu_percent=Unknown("no /proc")))
    assert answer.advice == (
        'mend the sensor, or let it pass: in device.toml, [conditions] unknown_of.battery = "allow"',
    )
    assert any(asked.reason == "CPU load is unknown: no /proc" and asked.holds for asked in answer.conditions)


def test_what_urgency_waives_is_told_as_waived_and_nobody_is_sent_to_mend_it() -> None:
    life = settled()
    life.plans("2.0.0", urgency="urgent")
    life.reads(battery_percent=12.0, cpu_percent=99.0)
    answer = explain(look_at(life, battery_percent=12.0, cpu_percent=99.0))
    assert [asked.condition for asked in answer.conditions if asked.waived] == ["cpu"]
    assert all("processor" not in advice for advice in answer.advice)
    assert "urgent" in answer.facts["plan"]


def test_a_refused_version_says_why_and_what_would_lift_it() -> None:
    answer = explain(look_at(brought_to(settled(), Phase.REJECTED)))
    assert answer.stuck
    assert answer.headline == "2.0.0 was refused here: output 3 differs by 0.4"
    assert answer.facts["refused 2.0.0"] == "output 3 differs by 0.4"
    assert answer.advice[-1] == "to have it tried once more all the same: publisher pin digits 2.0.0 pi-1"
    assert answer.conditions == ()


def test_all_well_is_one_sentence_and_nothing_to_do() -> None:
    answer = explain(look_at(brought_to(settled(), Phase.COMMITTED)))
    assert (answer.stuck, answer.advice, answer.conditions) == (False, (), ())
    assert answer.headline.startswith("it is up to date: runs 2.0.0, as plan 2 asks (every device)")
    assert answer.facts["way back"] == OLD


@pytest.mark.parametrize("phase", [Phase.ASSIGNED, Phase.FETCHING, Phase.PROVING, Phase.SHADOWING, Phase.PROBATION])
def test_an_update_under_way_is_not_stuck(phase: Phase) -> None:
    answer = explain(look_at(brought_to(settled(), phase)))
    assert not answer.stuck
    assert answer.headline.startswith("2.0.0 is on its way: ")


def test_a_trial_goes_on_without_a_link() -> None:
    life = brought_to(settled(), Phase.SHADOWING)
    life.sees(LinkDown("a tree fell on the mast"))
    answer = explain(look_at(life))
    assert (answer.stuck, answer.facts["link"]) == (False, "down: a tree fell on the mast")


def test_a_deferral_whose_cause_is_over_says_so() -> None:
    answer = explain(look_at(short_of_battery()))
    assert answer.advice == ("every condition holds by now; it is looked at again at the next check",)


def test_a_lost_file_is_told_beside_what_is_refused() -> None:
    life = brought_to(settled(), Phase.REJECTED)
    loses(OLD)(life)
    answer = explain(look_at(life))
    assert answer.facts["runs"] == "nothing yet"
    assert answer.facts["state"].endswith("the file of 1.0.0 could not be opened: truncated; nothing serves")


def test_a_version_without_a_fitting_variant_sends_to_the_settings_of_the_model() -> None:
    life = settled()
    life.policy = a_policy(variant="pruned")
    life.plans("2.0.0")
    life.reads()
    answer = explain(look_at(life))
    assert answer.headline.startswith("2.0.0 waits: no variant of 2.0.0 fits this device: float32 is not pruned")
    assert "[[models]]" in answer.advice[0]


def cut() -> Life:
    life = brought_to(settled(), Phase.FETCHING)
    life.sees(LinkDown("no broker listens at 127.0.0.1:1"))
    return life


def lied_to() -> Life:
    life = settled()
    life.sees(LinkUp())
    life.sees(PlanRefused("signed by a stranger"))
    return life


def held() -> Life:
    life = settled()
    life.plans("2.0.0", hold=True)
    life.reads()
    return life


OBSTACLES: Final[dict[str, tuple[Callable[[], Life], str, str]]] = {
    "no link": (cut, "there is no link to the broker: no broker listens", "device-client doctor"),
    "a lie": (lied_to, "the last bundle was not taken: signed by a stranger", "publisher status"),
    "no plan": (empty, "no plan has arrived from the broker", "publisher rollout show digits"),
    "held": (held, "the publisher holds this release", "publisher rollout resume digits"),
    "stalled": (lambda: brought_to(settled(), Phase.STALLED), "2.0.0 waits: the broker lacks 1", "publisher serve"),
    "rolled back": (lambda: brought_to(settled(), Phase.ROLLED_BACK), "2.0.0 was refused here: 50", "release a better"),
}


@pytest.mark.parametrize("case", OBSTACLES)
def test_whatever_stands_in_the_way_is_the_first_sentence_and_has_a_way_out(case: str) -> None:
    life, headline, advice = OBSTACLES[case]
    answer = explain(look_at(life()))
    assert answer.stuck
    assert answer.headline.startswith(headline)
    assert any(advice in each for each in answer.advice)


def test_a_device_that_does_not_run_updates_nothing_whatever_it_remembers() -> None:
    for phase in (Phase.COMMITTED, Phase.DEFERRED, Phase.FETCHING):
        answer = explain(look_at(brought_to(settled(), phase), runs=""))
        assert answer.headline == "device-client does not run here, so nothing is updated"
        assert answer.facts["client"] == "does not run"
        assert answer.advice[0] == "device-client run"


def test_a_plan_without_a_rule_for_this_device_asks_nothing_of_it() -> None:
    answer = explain(look_at(brought_to(settled(), Phase.IDLE)))
    assert (answer.stuck, answer.headline) == (
        False,
        "nothing is asked of it: plan 2 names no version for this device",
    )


def test_a_state_written_before_there_was_a_logbook_is_explained_too() -> None:
    look = replace(look_at(short_of_battery(), battery_percent=12.0), entry=None)
    answer = explain(look)
    assert answer.headline == "2.0.0 waits: battery 12 % is under 30 %"
    assert (answer.times, "link" in answer.facts) == ({}, False)


def test_a_promised_check_that_is_long_past_is_told_as_odd() -> None:
    look = replace(look_at(short_of_battery()), now=NOON + timedelta(hours=2))
    assert explain(look).facts["next check"] == "overdue, or not written down"


def test_every_condition_has_a_remedy_and_every_setting_named_is_one() -> None:
    assert set(WHAT) == {condition.__name__ for condition in (*SAFETY, *COMFORT)}
    assert set(SETTING.values()) <= {field.name for field in fields(Thresholds)}
    assert set(SETTING) <= set(WHAT)


@pytest.mark.parametrize("width", [40, 80])
def test_the_page_fits_its_width_and_says_nothing_twice(width: int) -> None:
    for life in (short_of_battery(), brought_to(settled(), Phase.REJECTED), brought_to(settled(), Phase.COMMITTED)):
        told = page(explain(look_at(life, battery_percent=12.0)), width=width)
        assert max(map(len, told)) <= width
        assert told[0].startswith("pi-1 / digits: ")
        assert "".join(told).isprintable()


def test_a_time_is_told_as_the_devices_own_clock_shows_it() -> None:
    assert in_words(NOON + timedelta(minutes=12), NOON, BERLIN) == "14:12 (in 12 min)"
    assert in_words(NOON - timedelta(hours=3), NOON, BERLIN) == "11:00 (3 h ago)"
    assert in_words(NOON - timedelta(days=3), NOON, BERLIN) == "29 May 14:00 (3 days ago)"
    assert in_words(NOON - timedelta(days=400), NOON, BERLIN) == "27 Apr 2025 14:00 (400 days ago)"
    assert [span(seconds) for seconds in (0.4, 119, 120, 7_199, 7_200, 172_800)] == [
        "0 s", "119 s", "2 min", "120 min", "2 h", "2 days",
    ]  # fmt: skip


def test_since_when_is_told_only_where_it_was_seen() -> None:
    life = Life(a_device(Phase.COMMITTED, live=OLD, plan=a_plan(OLD)))
    first = entry_of(life)
    assert (first.live_since, first.plan_since) == (None, None)
    life.plans("2.0.0")
    second = entry_of(life, first, at_s=60.0)
    assert (second.live_since, second.plan_since) == (None, NOON + timedelta(seconds=60))
    life.reads()
    third = entry_of(life, second, at_s=120.0)
    assert (third.state_since, third.plan_since) == (NOON + timedelta(seconds=120), second.plan_since)
    while life.phase is not Phase.PROBATION:
        step_on(life)
    assert entry_of(life, third, at_s=180.0).live_since == NOON + timedelta(seconds=180)


def step_on(life: Life) -> None:
    if life.phase is Phase.FETCHING:
        life.gets_blob()
    elif life.phase is Phase.PROVING:
        life.proves()
    else:
        life.counts()

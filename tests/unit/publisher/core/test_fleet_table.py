"""The fleet as a table: what devices said last, and who said nothing."""

from __future__ import annotations

from datetime import timedelta

from publisher.core.fleet.fleet_table import NEVER, FleetTable, Row, summary
from tests.builders import NOON, a_presence, a_status

LATER = NOON + timedelta(minutes=5)


def rows_of(picture: FleetTable) -> dict[str, Row]:
    return {row.device: row for row in picture.rows(LATER)}


def test_a_device_that_says_where_it_stands_has_a_row() -> None:
    picture = FleetTable()
    picture.add_presence(a_presence())
    picture.add_status(a_status(installed_version="1.0.0", latest_version="1.0.0", reason="all is well"))
    (row,) = picture.rows(LATER)
    assert (row.device, row.model, row.state, row.online, row.installed) == (
        "pi-1",
        "digits",
        "committed",
        True,
        "1.0.0",
    )
    assert (row.age_s, row.reason, row.up_to_date) == (300.0, "all is well", True)


def test_an_enrolled_device_that_said_nothing_is_named() -> None:
    picture = FleetTable(enrolled=("pi-1", "pi-2"))
    picture.add_status(a_status(device="pi-2"))
    assert rows_of(picture)["pi-1"].state == NEVER
    assert rows_of(picture)["pi-1"].online is None
    assert len(picture.rows(LATER)) == 2


def test_a_device_without_a_model_is_told_from_one_that_never_came() -> None:
    picture = FleetTable()
    picture.add_presence(a_presence())
    (row,) = picture.rows(LATER)
    assert (row.state, row.online, row.age_s) == ("no model", True, 300.0)


def test_the_late_will_of_an_old_session_does_not_hide_a_device() -> None:
    picture = FleetTable()
    picture.add_presence(a_presence(session="new"))
    picture.add_presence(a_presence(session="old", online=False, at=None))
    assert rows_of(picture)["pi-1"].online
    picture.add_presence(a_presence(session="new", online=False, at=None))
    assert rows_of(picture)["pi-1"].online is False


def test_an_older_status_that_comes_late_changes_nothing() -> None:
    picture = FleetTable()
    picture.add_status(a_status("committed", at=LATER))
    picture.add_status(a_status("fetching", at=NOON))
    assert rows_of(picture)["pi-1"].state == "committed"


def test_a_device_whose_clock_was_set_back_is_heard_by_its_newer_plan() -> None:
    picture = FleetTable()
    picture.add_status(a_status("committed", at=LATER, plan_sequence=1))
    picture.add_status(a_status("fetching", at=NOON, plan_sequence=2))
    assert rows_of(picture)["pi-1"].state == "fetching"


def test_a_clock_that_is_ahead_makes_no_negative_age() -> None:
    picture = FleetTable()
    picture.add_status(a_status(at=LATER + timedelta(hours=1)))
    assert picture.rows(LATER)[0].age_s == 0


def test_an_emptied_topic_takes_the_row_away() -> None:
    picture = FleetTable()
    picture.add_presence(a_presence())
    picture.add_status(a_status())
    picture.remove("pi-1", "digits")
    picture.remove("pi-1")
    assert picture.rows(LATER) == []


def test_the_fleet_is_counted() -> None:
    picture = FleetTable(enrolled=("pi-3",))
    for device, version in (("pi-1", "1.0.0"), ("pi-2", "1.1.0")):
        picture.add_presence(a_presence(device, online=device == "pi-1"))
        picture.add_status(a_status(device=device, installed_version=version, latest_version="1.1.0"))
    counted = summary(picture.rows(LATER))
    assert (counted.devices, counted.online, counted.up_to_date) == (3, 1, 1)
    assert counted.installed == {"digits 1.0.0": 1, "digits 1.1.0": 1}


def test_a_device_that_changes_the_variant_of_its_version_is_still_up_to_date() -> None:
    picture = FleetTable()
    picture.add_status(a_status("deferred", installed_version="1.1.0", latest_version="1.1.0"))
    picture.add_status(a_status("deferred", device="pi-2", installed_version="1.0.0", latest_version="1.1.0"))
    picture.add_status(a_status("probation", device="pi-3", installed_version="1.1.0", latest_version="1.1.0"))
    assert {device: row.up_to_date for device, row in rows_of(picture).items()} == {
        "pi-1": True,
        "pi-2": False,
        "pi-3": False,
    }

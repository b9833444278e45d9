"""The table of the fleet: the newest messages of devices, and those without any."""

from __future__ import annotations

from datetime import timedelta

from publisher.core.fleet.fleet_table import NEVER, FleetTable, Row, summary
from tests.builders import NOON, a_presence, a_status

LATER = NOON + timedelta(minutes=5)


def rows_of(table: FleetTable) -> dict[str, Row]:
    return {row.device: row for row in table.rows(LATER)}


def test_a_device_that_says_where_it_stands_has_a_row() -> None:
    table = FleetTable()
    table.add_presence(a_presence())
    table.add_status(a_status(installed_version="1.0.0", latest_version="1.0.0", reason="all is well"))
    (row,) = table.rows(LATER)
    assert (row.device, row.model, row.state, row.online, row.installed) == (
        "pi-1",
        "digits",
        "committed",
        True,
        "1.0.0",
    )
    assert (row.age_s, row.reason, row.up_to_date) == (300.0, "all is well", True)


def test_an_enrolled_device_without_messages_is_listed() -> None:
    table = FleetTable(enrolled=("pi-1", "pi-2"))
    table.add_status(a_status(device="pi-2"))
    assert rows_of(table)["pi-1"].state == NEVER
    assert rows_of(table)["pi-1"].online is None
    assert len(table.rows(LATER)) == 2


def test_a_device_without_a_model_differs_from_one_that_never_came() -> None:
    table = FleetTable()
    table.add_presence(a_presence())
    (row,) = table.rows(LATER)
    assert (row.state, row.online, row.age_s) == ("no model", True, 300.0)


def test_the_late_will_of_an_old_session_does_not_hide_a_device() -> None:
    table = FleetTable()
    table.add_presence(a_presence(session="new"))
    table.add_presence(a_presence(session="old", online=False, at=None))
    assert rows_of(table)["pi-1"].online
    table.add_presence(a_presence(session="new", online=False, at=None))
    assert rows_of(table)["pi-1"].online is False


def test_an_older_status_that_comes_late_changes_nothing() -> None:
    table = FleetTable()
    table.add_status(a_status("committed", at=LATER))
    table.add_status(a_status("fetching", at=NOON))
    assert rows_of(table)["pi-1"].state == "committed"


def test_a_device_whose_clock_was_set_back_counts_by_its_newer_plan() -> None:
    table = FleetTable()
    table.add_status(a_status("committed", at=LATER, plan_sequence=1))
    table.add_status(a_status("fetching", at=NOON, plan_sequence=2))
    assert rows_of(table)["pi-1"].state == "fetching"


def test_a_clock_that_is_ahead_makes_no_negative_age() -> None:
    table = FleetTable()
    table.add_status(a_status(at=LATER + timedelta(hours=1)))
    assert table.rows(LATER)[0].age_s == 0


def test_an_emptied_topic_takes_the_row_away() -> None:
    table = FleetTable()
    table.add_presence(a_presence())
    table.add_status(a_status())
    table.remove("pi-1", "digits")
    table.remove("pi-1")
    assert table.rows(LATER) == []


def test_the_fleet_is_counted() -> None:
    table = FleetTable(enrolled=("pi-3",))
    for device, version in (("pi-1", "1.0.0"), ("pi-2", "1.1.0")):
        table.add_presence(a_presence(device, online=device == "pi-1"))
        table.add_status(a_status(device=device, installed_version=version, latest_version="1.1.0"))
    counted = summary(table.rows(LATER))
    assert (counted.devices, counted.online, counted.up_to_date) == (3, 1, 1)
    assert counted.installed == {"digits 1.0.0": 1, "digits 1.1.0": 1}


def test_a_device_that_changes_the_variant_of_its_version_is_still_up_to_date() -> None:
    table = FleetTable()
    table.add_status(a_status("deferred", installed_version="1.1.0", latest_version="1.1.0"))
    table.add_status(a_status("deferred", device="pi-2", installed_version="1.0.0", latest_version="1.1.0"))
    table.add_status(a_status("probation", device="pi-3", installed_version="1.1.0", latest_version="1.1.0"))
    assert {device: row.up_to_date for device, row in rows_of(table).items()} == {
        "pi-1": True,
        "pi-2": False,
        "pi-3": False,
    }

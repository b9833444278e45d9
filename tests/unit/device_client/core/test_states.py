"""After each fault and each kill: the chain of states, and the status."""

from __future__ import annotations

from itertools import pairwise

import pytest

from device_client.core import effects as do
from device_client.core.state import Phase
from tests.life import Life, only
from tests.pages import PROJECT
from tests.states import KILLED, ROWS, Row, brought_to, goes_on
from tests.states_page import COMMAND, documents


def named(row: Row) -> str:
    return row.name


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_a_mishap_has_its_chain_of_states_and_its_word(row: Row) -> None:
    life = brought_to(row.begins(), row.phase)
    before = len(life.told)
    row.happens(life)
    said = life.told[-1].reason if len(life.told) > before else ""
    assert row.says in said if row.says else said == ""
    assert (life.live, life.told[-1].installed_version) == (row.serves, row.serves)
    goes_on(life)
    assert visited(life, row.phase, since=before) == row.visited
    assert tuple((outcome, version) for outcome, version, _ in life.outcomes) == row.ends


def visited(life: Life, phase: Phase, *, since: int) -> tuple[Phase, ...]:
    """The states that were told, each as often as it was entered."""
    states = [phase, *(Phase(status.state) for status in life.told[since:])]
    return tuple(state for before, state in pairwise(states) if state is not before)


@pytest.mark.parametrize("row", KILLED, ids=named)
def test_after_every_kill_the_model_that_is_live_is_served_at_once(row: Row) -> None:
    life = brought_to(row.begins(), row.phase)
    before = len(life.asked)
    row.happens(life)
    swaps = only(do.Swap, life.asked[before:])
    assert [swap.model for swap in swaps[-1:]] == [life.device.live]


@pytest.mark.parametrize("kind", ["Error", "Killed"])
@pytest.mark.parametrize("phase", list(Phase))
def test_no_phase_is_without_an_error_and_a_kill(phase: Phase, kind: str) -> None:
    assert any(row.phase is phase and row.kind == kind for row in ROWS), f"add a row to tests/states.py for {phase}"


def test_each_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in ROWS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.heavy
def test_the_tables_in_the_pages_are_made_from_the_code() -> None:
    for path, text in documents().items():
        assert (PROJECT / path).read_text(encoding="utf-8") == text, f"type: {COMMAND}"

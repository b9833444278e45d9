"""Writes docs/STATES.md and the overview in docs/ARCHITECTURE.md from the code.

The texts are docstrings of events and reactions, the transitions are found by running
the core (`tests.roads`), and the faults are tested rows (`tests.states`). `python -m
tests.states_page` rewrites both; tests/unit/device_client/core/test_states.py fails
when that was forgotten.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from device_client.core import events as happened
from device_client.core.state import MEANING, RESTING, Phase
from device_client.core.state_machine import ANYWHERE, BY_PHASE
from tests.generated import wrapped
from tests.life import ROAD
from tests.pages import PROJECT
from tests.roads import Roads, roads
from tests.states import ROWS, Row

COMMAND: Final = "python -m tests.states_page"
BEGIN, END = f"<!-- made by {COMMAND} -->\n", "<!-- end -->\n"
PLACES: Final = {happened.PlanTrusted: "a plan", happened.Started: "a restart", happened.ModelFailed: "a lost file"}
KNOWN: Final = (happened.LinkUp, happened.LinkDown, happened.ReadingsTaken, happened.PlanRefused)
GOOD_ROAD: Final = dict(pairwise(ROAD)) | {
    phase: Phase.ASSIGNED if phase in RESTING else Phase.FETCHING for phase in Phase if phase not in ROAD[:-1]
}
HEAD: Final = f"""\
# The states of a device

What a device does in each state, for each event; to which states that can lead; and
what follows when something fails there, or the process is killed. The overview is in
[ARCHITECTURE.md](ARCHITECTURE.md#the-life-of-a-release-on-a-device). A state is the
`state` of the status topic.

This page is made from the code by `{COMMAND}`; a test fails when it is
out of date. The transitions were found by giving the core each kind of event in each
kind of state. What goes wrong are the rows of a test, under its names, run by a device
that runs 1.0.0 and should run 2.0.0; "answers" is the version that serves meanwhile.

## In every state

"""
MIDDLE: Final = """\

An event that is in no table is late or repeated, which is normal over MQTT: it changes
nothing.

"""


def documents() -> dict[str, str]:
    """Both pages by their path in the project."""
    overview = (PROJECT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8")
    before, _, rest = overview.partition(BEGIN)
    _, _, after = rest.partition(END)
    found = roads()
    return {
        "docs/STATES.md": states(found),
        "docs/ARCHITECTURE.md": f"{before}{BEGIN}{_overview(found)}{END}{after}",
    }


def states(found: Roads) -> str:
    """The whole of docs/STATES.md."""
    everywhere = [(_name(event), _first_line(event), _first_line(react)) for event, react in ANYWHERE.items()]
    everywhere += [(_name(event), _first_line(event), "It is known from now on.") for event in KNOWN]
    parts = [HEAD, _table(("event", "means", "what follows"), everywhere), MIDDLE]
    parts += [_of_phase(phase, found) for phase in Phase]
    return wrapped("".join(parts).rstrip() + "\n")


def _overview(found: Roads) -> str:
    rows = [(_name(phase), MEANING[phase], ", ".join(map(_name, _goes_on_to(phase, found)))) for phase in Phase]
    return _table(("phase", "what happens", "goes on to"), rows)


def _goes_on_to(phase: Phase, found: Roads) -> list[Phase]:
    """By its own events; from rest only a plan leads away."""
    events = [happened.PlanTrusted] if phase in RESTING else list(BY_PHASE[phase])
    there = _others(phase, (to for event in events for to in found.get((phase, event), ())))
    return sorted(there, key=lambda to: to is not GOOD_ROAD[phase])  # what comes next when all is well comes first


def _of_phase(phase: Phase, found: Roads) -> str:
    rows = [
        (_name(event), _first_line(event), _first_line(react), _ways(phase, found.get((phase, event), ())))
        for event, react in BY_PHASE.get(phase, {}).items()
    ]
    own = _table(("event", "means", "what follows", "goes on to"), rows) + "\n" if rows else ""
    mishaps = _table(("what goes wrong", "the status says", "answers", "then"), _mishaps(phase))
    return f"## {_name(phase)}\n\n{_sentence(MEANING[phase])}\n\n{own}{_away(phase, found)}\n\n{mishaps}\n"


def _away(phase: Phase, found: Roads) -> str:
    """Where the events that are heard everywhere lead from here."""
    told = [
        f"{place} can lead to {', '.join(map(_name, there))}"
        for event, place in PLACES.items()
        if event not in BY_PHASE.get(phase, {}) and (there := _others(phase, found.get((phase, event), ())))
    ]
    return _sentence("; ".join(told) if told else "nothing leads away from here")


def _mishaps(phase: Phase) -> Iterator[tuple[str, ...]]:
    for row in ROWS:
        if row.phase is phase:
            yield f"`{row.name}`", row.says or "nothing new", row.serves or "nothing", _then(row)


def _then(row: Row) -> str:
    """The chain, and what was announced in the end."""
    chain = " → ".join(map(_name, row.visited)) if row.visited else "stays"
    announced = [f"{version} {outcome.replace('_', ' ')}" for outcome, version in row.ends]
    return f"{chain}; announced: {', '.join(announced)}" if announced else chain


def _ways(phase: Phase, there: Iterable[Phase]) -> str:
    return ", ".join(map(_name, _others(phase, there))) or "stays"


def _others(phase: Phase, there: Iterable[Phase]) -> list[Phase]:
    """In the order in which they are declared."""
    phases = set(there)
    return [other for other in Phase if other in phases and other is not phase]


def _name(what: Phase | type) -> str:
    return f"`{what.value if isinstance(what, Phase) else what.__name__}`"


def _first_line(of: object) -> str:
    return (inspect.getdoc(of) or "").splitlines()[0]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |\n" for cells in (head, *rows)]
    return "".join((lines[0], f"|{'---|' * len(head)}\n", *lines[1:]))


def write(project: Path = PROJECT) -> list[Path]:
    """Write what changed, and return it."""
    changed = [(project / path, text) for path, text in documents().items() if _read(project / path) != text]
    for path, text in changed:
        path.write_text(text, encoding="utf-8")
    return [path for path, _ in changed]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    for written in write():
        sys.stdout.write(f"{written}\n")

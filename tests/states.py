"""What can go wrong in each state, and the chain of states after it, row by row.

`tests/unit/device_client/core/test_states.py` walks the rows, docs/STATES.md lists
them. Each phase needs an `Error_in_` and a `Killed_in_`; faults
with another end get a row of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from device_client.core.events import (
    BlobBroken,
    ChunkCorrupt,
    DiskFailed,
    LinkDown,
    LinkUp,
    ModelFailed,
    PlanRefused,
    ProofNotTried,
)
from device_client.core.policy import TrialLimits
from device_client.core.state import Phase
from tests.builders import a_device, a_hash, a_plan, a_policy, an_installed
from tests.life import Life

OLD, NEW = "1.0.0", "2.0.0"
RESTARTS_MAX: Final = 2
I, A, D, F, ST, P, R, SH, PB, C, RB = (  # noqa: E741 - one letter each, so that a chain fits into a line
    Phase.IDLE, Phase.ASSIGNED, Phase.DEFERRED, Phase.FETCHING, Phase.STALLED, Phase.PROVING, Phase.REJECTED,
    Phase.SHADOWING, Phase.PROBATION, Phase.COMMITTED, Phase.ROLLED_BACK,
)  # fmt: skip
Chain = tuple[Phase, ...]
TRIAL: Final[Chain] = (P, SH, PB, C)
WHOLE: Final[Chain] = (F, *TRIAL)
ADOPTED: Final = (("adopted", NEW),)
REFUSED: Final = (("rejected", NEW),)
LOST: Final = "the file of 1.0.0 could not be opened: truncated"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. `visited`: the states from there to rest, without another fault.

    `says`: in the first status after it. `serves`: the live version just after it.
    `ends`: the outcomes announced in the end.
    """

    kind: str
    phase: Phase
    what: str
    happens: Callable[[Life], object]
    visited: Chain
    says: str
    serves: str | None = OLD
    ends: tuple[tuple[str, str], ...] = ADOPTED
    begins: Callable[[], Life] = lambda: settled()

    @property
    def name(self) -> str:
        """`Error_in_fetching`, and what it is where there are several."""
        return "_".join(f"{self.kind}_in_{self.phase.value} {self.what}".replace(",", "").split())


def settled() -> Life:
    """A device that runs 1.0.0, found good."""
    device = a_device(Phase.COMMITTED, live=OLD, plan=a_plan(OLD))
    return Life(device, a_policy(trial=TrialLimits(restarts_max=RESTARTS_MAX)))


def seasoned() -> Life:
    """One that could go back to 0.9.0."""
    life = settled()
    device = a_device(Phase.COMMITTED, live=OLD, previous="0.9.0", plan=a_plan(OLD))
    return Life(device, life.policy)


def empty() -> Life:
    """A device without a model."""
    return Life(policy=a_policy(trial=TrialLimits(restarts_max=RESTARTS_MAX)))


def brought_to(life: Life, phase: Phase) -> Life:
    """On the way to 2.0.0; at rest before it, or behind it."""
    match phase:
        case Phase.IDLE:
            life.plans(None)
        case Phase.REJECTED:
            fails(life.goes_to(Phase.PROVING))
        case Phase.ROLLED_BACK:
            life.goes_to(Phase.PROBATION).counts(live_errors=50)
        case _:
            life.goes_to(phase)
    assert life.phase is phase
    return life


def goes_on(life: Life) -> None:
    """From any phase to rest, without a fault."""
    for _ in range(12):
        match life.phase:
            case Phase.ASSIGNED | Phase.DEFERRED:
                life.reads()
            case Phase.STALLED:
                life.waits()
            case Phase.FETCHING:
                life.gets_blob()
            case Phase.PROVING:
                life.proves()
            case Phase.SHADOWING | Phase.PROBATION:
                life.counts()
            case _:
                return
    raise AssertionError(f"no end in sight: {life.phase}, {life.device.reason}")


def loses(version: str) -> Callable[[Life], object]:
    """The file of a version cannot be opened."""
    return lambda life: life.sees(ModelFailed(an_installed(version).variant.sha256, "truncated"))


def spoils(version: str) -> Callable[[Life], object]:
    """A power cut leaves other bytes in the file of a version than were signed."""

    def power_cut(life: Life) -> None:
        life.restarts()
        life.sees(ModelFailed(an_installed(version).variant.sha256, "truncated", damaged=True))

    return power_cut


def dies_in(phase: Phase) -> Callable[[Life], None]:
    """The process ends repeatedly during the same trial."""

    def again_and_again(life: Life) -> None:
        for _ in range(RESTARTS_MAX + 1):
            life.restarts()
            while life.phase is Phase.FETCHING:
                life.gets_blob()
            if life.phase is Phase.PROVING and phase is Phase.SHADOWING:
                life.proves()

    return again_and_again


def lies_until_it_stalls(life: Life) -> None:
    """Every answer of the broker is another chunk than the one that was asked for."""
    life.misses("a chunk")
    while life.phase is Phase.FETCHING:
        life.sees(ChunkCorrupt(a_hash("a chunk")))
        if life.phase is Phase.FETCHING:
            life.waits()
            life.reads()


def stalls_again(life: Life) -> None:
    """The next try finds no honest chunk either."""
    life.waits()
    lies_until_it_stalls(life)


def breaks(life: Life) -> None:
    """All chunks were right, and the whole is not."""
    download = life.state.moment.download
    assert download is not None
    life.sees(BlobBroken(download.sha256, "unpacks to other bytes than were signed"))


def fails(life: Life) -> None:
    """The candidate does not reproduce what it should."""
    life.proves(passed=False, reason="output 3 differs by 0.4")


def cannot_try(life: Life) -> None:
    """The device has no descriptor left for the child process."""
    target = life.device.target
    assert target is not None
    life.sees(ProofNotTried(target.variant.sha256, "Too many open files"))


def reconnects(life: Life) -> None:
    """The link goes and comes back."""
    life.sees(LinkDown("a tree fell on the mast"))
    life.sees(LinkUp())


def cut_off(life: Life) -> None:
    """The link goes in the middle of a blob and comes back."""
    life.misses("a chunk", "another")
    life.sees(LinkDown("a tree fell on the mast"))
    life.waits(600.0)
    life.sees(LinkUp())


ERRORS: Final = (
    Row("Error", I, "bundle refused", lambda life: life.sees(PlanRefused("signed by a stranger")), (),
        "names no version for this device; the last bundle was not taken: signed by a stranger", ends=()),
    Row("Error", I, "live file lost", loses(OLD), (),
        f"{LOST}; nothing serves", None, ()),
    Row("Error", A, "memory too small", lambda life: life.reads(memory_free_bytes=1_000_000), (D, *WHOLE),
        "free memory 1 MB is under 67.1 MB"),
    Row("Error", A, "live file lost", loses(OLD), WHOLE,
        f"{LOST}; 0.9.0 serves instead", "0.9.0", begins=seasoned),
    Row("Error", D, "application holds", lambda life: life.reads(held="an operation"), WHOLE,
        "the application holds updates: an operation"),
    Row("Error", D, "live file lost", loses(OLD), (A, F, P, PB, C), f"{LOST}; nothing serves", None),
    Row("Error", F, "disk full", lambda life: life.sees(DiskFailed("the disk is full")), (D, *WHOLE),
        "the disk is full"),
    Row("Error", F, "chunks corrupt", lies_until_it_stalls, (ST, *WHOLE),
        "the broker lacks 1 of 1 chunks after 8 rounds; `publisher serve` puts them back"),
    Row("Error", F, "file not as signed", breaks, (R,),
        "2.0.0 was refused: unpacks to other bytes than were signed; 1.0.0 stays", ends=REFUSED),
    Row("Error", F, "link down", cut_off, TRIAL, ""),
    Row("Error", F, "battery low", lambda life: life.reads(battery_percent=3.0), (D, *WHOLE),
        "download interrupted: battery 3 % is under 30 %"),
    Row("Error", F, "live file lost", loses(OLD), (A, F, P, PB, C), f"{LOST}; nothing serves", None),
    Row("Error", ST, "link down", reconnects, WHOLE, "fetching 2.0.0"),
    Row("Error", ST, "chunks corrupt", stalls_again, (F, ST, *WHOLE), "the broker lacks 1 of 1 chunks"),
    Row("Error", ST, "live file lost", loses(OLD), (A, F, P, PB, C), f"{LOST}; nothing serves", None),
    Row("Error", P, "proof failed", fails, (R,),
        "2.0.0 was refused: output 3 differs by 0.4; 1.0.0 stays", ends=REFUSED),
    Row("Error", P, "proof of a first version failed", fails, (R,),
        "2.0.0 was refused: output 3 differs by 0.4; no version is installed", None, REFUSED, empty),
    Row("Error", P, "not tried", cannot_try, (D, *WHOLE), "2.0.0 could not be tried here: Too many open files"),
    Row("Error", P, "link down", lambda life: life.sees(LinkDown("a tree fell on the mast")), (SH, PB, C), ""),
    Row("Error", P, "live file lost", loses(OLD), (A, *WHOLE),
        f"{LOST}; 0.9.0 serves instead", "0.9.0", begins=seasoned),
    Row("Error", SH, "application holds", lambda life: life.counts(held="an operation"), (PB, C),
        "2.0.0 may answer, and waits: the application holds updates: an operation"),
    Row("Error", SH, "candidate fails", lambda life: life.counts(shadow_errors=50), (R,),
        "2.0.0 was refused: the candidate failed on 50 of 200 live inputs; 1.0.0 stays", ends=REFUSED),
    Row("Error", SH, "candidate not opened", loses(NEW), (R,),
        "2.0.0 was refused: could not be opened beside the live model: truncated; 1.0.0 stays", ends=REFUSED),
    Row("Error", SH, "live file lost", loses(OLD), (A, F, P, PB, C), f"{LOST}; nothing serves", None),
    Row("Error", PB, "inferences fail", lambda life: life.counts(live_errors=50), (RB,),
        "2.0.0 was rolled back to 1.0.0: 50 of 200 inferences failed", ends=(("rolled_back", NEW),)),
    Row("Error", PB, "inferences of a first version fail", lambda life: life.counts(live_errors=50), (R,),
        "it serves on, for there is no earlier version", NEW, REFUSED, empty),
    Row("Error", PB, "live file lost", loses(NEW), (RB,),
        "2.0.0 was rolled back to 1.0.0: could not be opened: truncated", ends=(("rolled_back", NEW),)),
    Row("Error", PB, "file of a first version lost", loses(NEW), (R,),
        "2.0.0 could not be opened, and there is no earlier version: truncated", None, REFUSED, empty),
    Row("Error", PB, "file damaged by a power cut", spoils(NEW), (A, *WHOLE),
        "the file of 2.0.0 could not be opened: truncated; 1.0.0 serves instead"),
    Row("Error", PB, "previous one not opened", loses(OLD), (C,), "", NEW),
    Row("Error", R, "live file lost", loses(OLD), (),
        f"2.0.0 was refused: output 3 differs by 0.4; {LOST}; nothing serves",
        None, REFUSED),
    Row("Error", R, "bundle refused", lambda life: life.sees(PlanRefused("signed by a stranger")), (),
        "1.0.0 stays; the last bundle was not taken: signed by a stranger", ends=REFUSED),
    Row("Error", C, "live file lost", loses(NEW), (A, F, P, PB, C),
        "the file of 2.0.0 could not be opened: truncated; 1.0.0 serves instead", ends=ADOPTED * 2),
    Row("Error", C, "bundle refused", lambda life: life.sees(PlanRefused("signed by a stranger")), (),
        "the last bundle was not taken: signed by a stranger", NEW),
    Row("Error", RB, "live file lost", loses(OLD), (R,), f"{LOST}; nothing serves", None, (("rolled_back", NEW),)),
)  # fmt: skip
"""Something fails, and the process lives."""

KILLED: Final = (
    Row("Killed", I, "", Life.restarts, (), "", ends=()),
    Row("Killed", A, "", Life.restarts, WHOLE, ""),
    Row("Killed", D, "", Life.restarts, (A, *WHOLE), "plan 2 asks for 2.0.0"),
    Row("Killed", F, "", Life.restarts, TRIAL, ""),
    Row("Killed", F, "twenty times", lambda life: [life.restarts() for _ in range(20)], TRIAL, ""),
    Row("Killed", ST, "", Life.restarts, (A, *WHOLE), "plan 2 asks for 2.0.0"),
    Row("Killed", P, "", Life.restarts, WHOLE, "fetching 2.0.0"),
    Row("Killed", P, "too often", dies_in(P), (F, P, F, P, R),
        "2.0.0 was refused: the process ended 3 times during its trial; 1.0.0 stays", ends=REFUSED),
    Row("Killed", SH, "", Life.restarts, WHOLE, "fetching 2.0.0"),
    Row("Killed", SH, "too often", dies_in(SH), (F, P, SH, F, P, SH, R),
        "2.0.0 was refused: the process ended 3 times during its trial; 1.0.0 stays", ends=REFUSED),
    Row("Killed", PB, "", Life.restarts, (C,), "", NEW),
    Row("Killed", PB, "too often", dies_in(PB), (RB,),
        "2.0.0 was rolled back to 1.0.0: the process ended 3 times on probation", ends=(("rolled_back", NEW),)),
    Row("Killed", PB, "too often, a first version", dies_in(PB), (R,),
        "it serves on, for there is no earlier version", NEW, REFUSED, empty),
    Row("Killed", R, "", Life.restarts, (), "", ends=REFUSED),
    Row("Killed", C, "", Life.restarts, (), "", NEW),
    Row("Killed", RB, "", Life.restarts, (), "", ends=(("rolled_back", NEW),)),
)  # fmt: skip
"""The process ends; the saved state comes back through its JSON, then `Started`."""

ROWS: Final = ERRORS + KILLED

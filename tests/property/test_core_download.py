"""In any order of events, a broker with every chunk leads to an end."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from device_client.core.download import chunk_scheduler as download
from device_client.core.download.chunk_scheduler import ChunkRequest, Download
from device_client.core.policy import DownloadLimits
from protocol.messages.device import WANTS_MAX
from tests.builders import a_hash

MISHAPS = ("keep", "keep late", "keep twice", "lie", "lie about another", "lose", "sweep", "cut", "wait", "wait long")


@dataclass
class Fetching:
    """The download core between a broker that misbehaves as it is told and a store."""

    total: int
    limits: DownloadLimits
    now_s: float = 0.0
    kept: set[str] = field(default_factory=set)
    on_the_way: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stalled: bool = False

    def __post_init__(self) -> None:
        self.names = [a_hash(f"chunk {number}") for number in range(self.total)]
        self.state = Download(a_hash("blob"))
        self.look()

    def look(self) -> None:
        """The store says what is missing."""
        missing = tuple(name for name in self.names if name not in self.kept)
        self.on_the_way.clear()
        self.state = download.opened(self.state, missing, kept=len(self.kept), total=self.total)
        self.ask()

    def ask(self) -> None:
        """Let the core ask, and hold it to its promises."""
        before = {name for name, _ in self.state.requested}
        self.state, ask = download.schedule(self.state, self.now_s, self.limits)
        self.check(before, ask)
        self.on_the_way += ask.sweep
        self.stalled = self.stalled or ask.stalled

    def check(self, before: set[str], ask: ChunkRequest) -> None:
        names = [name for name, _ in self.state.requested]
        assert len(names) == len(set(names)), "a chunk is asked for twice at once"
        assert len(names) <= self.limits.window
        assert not set(ask.sweep) & before
        assert len(ask.wants) <= WANTS_MAX
        assert 0.0 <= self.state.percent <= 100.0
        woken_s = download.wake_s(self.state, self.limits)
        assert self.stalled or ask.stalled or self.state.nothing_missing or woken_s is not None, "nothing will wake it"

    def receive(self, name: str) -> None:
        """A chunk has come; the store takes it, whether it was there or not."""
        self.kept.add(name)
        self.state = download.kept(self.state, name)
        if self.state.nothing_missing:
            self.look()
        self.ask()

    def happen(self, what: str, pick: int) -> None:
        """One mishap, or its absence."""
        name = self.on_the_way[pick % len(self.on_the_way)] if self.on_the_way else None
        match what:
            case "keep" | "keep twice" if name:
                self.on_the_way.remove(name)
                self.receive(name)
                if what == "keep twice":
                    self.receive(name)
            case "keep late" if self.lost:
                self.receive(self.lost.pop(pick % len(self.lost)))
            case "lie" if name:
                self.on_the_way.remove(name)
                self.state = download.corrupted(self.state, name)
            case "lie about another":
                self.state = download.corrupted(self.state, self.names[pick % self.total])
            case "lose" if name:
                self.on_the_way.remove(name)
                self.lost.append(name)
            case "sweep":
                asked = tuple(name for name, _ in self.state.requested)
                self.state = download.swept(self.state, asked, self.now_s, self.limits)
            case "cut":
                self.on_the_way.clear()
                self.state = download.cut_off(self.state)
            case "wait":
                self.now_s += 1.0
            case "wait long":
                self.now_s = max(self.now_s, download.wake_s(self.state, self.limits) or 0.0)
        self.ask()


@given(
    total=st.integers(1, 70),
    window=st.integers(1, 32),
    rate=st.sampled_from((0, 100_000)),
    mishaps=st.lists(st.tuples(st.sampled_from(MISHAPS), st.integers(0, 99)), max_size=80),
)
def test_after_any_mishaps_a_broker_that_has_all_chunks_leads_to_an_end(
    total: int, window: int, rate: int, mishaps: list[tuple[str, int]]
) -> None:
    limits = DownloadLimits(window=window, rate_max_bytes_s=rate, barren_rounds_max=1_000)
    fetching = Fetching(total, limits)
    for what, pick in mishaps:
        fetching.happen(what, pick)
    for _ in range(20 * total + 200):  # from here on the broker gives what is asked for
        if len(fetching.kept) == total:
            break
        fetching.happen("keep" if fetching.on_the_way else "wait long", 0)
    assert len(fetching.kept) == total
    assert fetching.state.nothing_missing
    assert not fetching.stalled


@given(total=st.integers(1, 120), window=st.integers(1, 32), rounds=st.integers(1, 10))
def test_a_broker_that_has_nothing_leads_to_an_end_too(total: int, window: int, rounds: int) -> None:
    fetching = Fetching(total, DownloadLimits(window=window, barren_rounds_max=rounds))
    for _ in range(10 * rounds * (total + 1)):
        if fetching.stalled:
            break
        fetching.happen("wait long", 0)
    assert fetching.stalled
    assert fetching.now_s < 60.0 * rounds * (WANTS_MAX + 1) + 300.0 * rounds

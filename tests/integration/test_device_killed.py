"""kill -9 at random moments of updates loses no version, no answer and no outcome."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from device_client.adapters.runtime.tflite import open_model
from protocol.messages.plan import Rule
from protocol.topics import Kind
from tests.brokers import Mosquitto, url_of
from tests.integration import fleet_models
from tests.integration.fleet import CHUNK_BYTES, DeviceFolder, Process, a_device, run_device, start
from tests.integration.fleet_observer import FleetObserver, observing
from tests.integration.unchecked_publisher import Source, UncheckedPublisher

SEED = random.SystemRandom().randrange(10**6)  # printed; put a number here to see a run again
KILLS_A_RELEASE = 5
RELEASES = {
    "application": ("2.0.0", "2.1.0", "2.2.0", "2.3.0"),
    "pi-1": ("3.0.0", "3.1.0", "3.2.0"),
    "pi-2": ("4.0.0", "4.1.0", "4.2.0"),
}
KILLS = 50
STAGES = ("fetching", "proving", "shadowing", "probation", "committed")
ODDS = (4, 3, 4, 3, 1)
LONGEST_S = {"fetching": 0.4, "proving": 0.5, "shadowing": 0.2, "probation": 0.4, "committed": 0.02}
KNOWN_ROWS = 40
SLOW = {"rate_max_bytes_s": 25 * CHUNK_BYTES}  # fetching takes a third of a second
pytestmark = pytest.mark.timeout(1_200)


@dataclass
class Doom:
    """One device, its releases, and its deaths."""

    folder: DeviceFolder
    begin: Callable[[], Process]
    rng: random.Random
    observer: FleetObserver
    tell_plan: Callable[[str], None]
    process: Process | None = None
    waited_for: Counter[str] = field(default_factory=Counter)
    died_in: Counter[str] = field(default_factory=Counter)
    ever_held: dict[str, bytes] = field(default_factory=dict)

    def live(self, releases: tuple[str, ...]) -> None:
        """Install the first version, then die repeatedly on the way to each of the
        others.
        """
        try:
            self._live(releases)
        finally:
            if self.process:
                self.process.kill()  # of a test that failed; else it has ended

    def _live(self, releases: tuple[str, ...]) -> None:
        self.process = self.begin()
        self.observer.state(self.folder.device, "committed", installed_version="1.0.0")
        for version in releases:
            since = self.observer.mark()
            self.tell_plan(version)
            for stage in sorted(self.rng.choices(STAGES, ODDS, k=KILLS_A_RELEASE), key=STAGES.index):
                self.die(self.process, stage, version, since)
                since = self.observer.mark()
                self.process = self.begin()
            self.observer.state(self.folder.device, "committed", since=since, installed_version=version)
        self.folder.until_delivered()
        assert self.process.stop() == 0, self.process.stderr

    def die(self, process: Process, stage: str, version: str, since: int) -> None:
        """Kill a little after a stage of the update, or a later one; check what is
        left.

        The first time at once, so that each stage has its death on a machine of any
        speed.
        """
        later = STAGES[STAGES.index(stage) :]
        self.observer.wait(
            Kind.STATUS,
            lambda says: says["latest_version"] == version and says["state"] in later,
            device=self.folder.device,
            since=since,
            while_=lambda: process.alive,
        )
        longer_s = self.rng.uniform(0, LONGEST_S[stage]) if self.waited_for[stage] else 0.0
        self.waited_for[stage] += 1
        time.sleep(longer_s)  # the moment is the point
        process.kill()
        remembered = self.folder.remembered()
        assert remembered is not None
        self.died_in[remembered.phase.value] += 1
        self.ever_held |= self.folder.outbox()
        self.folder.check_files()


def known_answers(versions: dict[str, Path], path: Path) -> None:
    x = np.random.default_rng(9).uniform(0, 1, (KNOWN_ROWS, 784)).astype(np.float32)
    answers = {version: open_model(tflite).run([x])[0] for version, tflite in versions.items()}
    y = answers["1.0.0"].argmax(axis=1)
    np.savez(path, x=x, y=y, **answers)


def test_fifty_deaths_in_mid_update_leave_no_trace(broker: Mosquitto, digits: Path, tmp_path: Path) -> None:
    sys.stdout.write(f"seed {SEED}\n")
    files = {name: tmp_path / f"{name}.tflite" for name in ("1.0.0", *sum(RELEASES.values(), ()))}
    for number, path in enumerate(files.values()):
        path.write_bytes(fleet_models.nudged(digits, number))
    known = tmp_path / "known.npz"
    known_answers(files, known)
    with UncheckedPublisher(url_of(broker), tmp_path) as publisher, observing(url_of(broker)) as observer:
        for name, path in files.items():
            publisher.add_version(name, Source.of(path))
        root = publisher.authority.root
        folders = {name: a_device(tmp_path / name, name, broker.url, root, download=SLOW) for name in RELEASES}
        tell_plan = planner(publisher)
        dooms = [
            Doom(folder, begin_of(folder, known), random.Random(SEED + at), observer, partial(tell_plan, name))
            for at, (name, folder) in enumerate(folders.items())
        ]
        with ThreadPoolExecutor(len(dooms)) as pool:
            lives = [pool.submit(doom.live, RELEASES[doom.folder.device]) for doom in dooms]
            for life in lives:
                life.result()
        check_deaths(dooms)
        for doom in dooms:
            check_outcomes(doom, observer)
            check_end(doom)
        check_answers(folders["application"])
        check_replays([folders["pi-1"], folders["pi-2"]], observer)


def planner(publisher: UncheckedPublisher) -> Callable[[str, str], None]:
    """Tell one device what to run, and leave the others as they are."""
    wanted = dict.fromkeys(RELEASES, "1.0.0")
    signing = threading.Lock()
    publisher.announce("1.0.0")

    def tell_plan(device: str, version: str) -> None:
        with signing:
            wanted[device] = version
            publisher.announce(*(Rule(version=version, devices=(device,)) for device, version in wanted.items()))

    return tell_plan


def begin_of(folder: DeviceFolder, known: Path) -> Callable[[], Process]:
    """One is an application that checks each answer, the others are the command."""
    if folder.device == "application":
        program = str(Path(__file__).with_name("checking_application.py"))
        return partial(start, folder, sys.executable, program, str(folder.config), str(known))
    return partial(run_device, folder, "--replay", str(known), "--rate", "100")


def check_deaths(dooms: list[Doom]) -> None:
    died_in = sum((doom.died_in for doom in dooms), Counter[str]())
    sys.stdout.write(f"died in {dict(died_in)}\n")
    assert died_in.total() == KILLS
    assert set(died_in) >= {"fetching", "proving", "probation"}


def check_outcomes(doom: Doom, observer: FleetObserver) -> None:
    """By id: no outcome of any journal is missing, each version was adopted once."""
    said = {says["event_id"]: says for says in observer.of(Kind.EVENT, doom.folder.device)}
    assert set(doom.ever_held) <= set(said)
    for event_id, line in doom.ever_held.items():
        assert json.loads(line) == said[event_id]
    adopted = Counter(says["version"] for says in said.values() if says["outcome"] == "adopted")
    assert adopted == Counter(["1.0.0", *RELEASES[doom.folder.device]])
    assert adopted.total() == len(said), "nothing but adoptions"


def check_end(doom: Doom) -> None:
    remembered = doom.folder.remembered()
    assert remembered is not None
    assert remembered.live is not None
    assert (remembered.phase.value, remembered.live.version) == ("committed", RELEASES[doom.folder.device][-1])
    assert doom.folder.outbox() == {}
    doom.folder.check_files()
    assert (doom.folder.files() / "current.tflite").resolve().name == remembered.live.variant.sha256


def check_answers(folder: DeviceFolder) -> None:
    """The application's own word, from all its lives."""
    lines = [json.loads(line) for line in (folder.path / "stdout").read_text().splitlines()]
    assert [line for line in lines if "wrong" in line or "failed" in line] == []
    assert lines[-1]["wrong_or_failed"] == 0
    assert lines[-1]["predictions"] > 0
    assert {line["version"] for line in lines if "version" in line} == {"1.0.0", *RELEASES["application"]}


def check_replays(folders: list[DeviceFolder], observer: FleetObserver) -> None:
    """Each life that ends in order prints its count; feedback has the rest."""
    for folder in folders:
        assert json.loads((folder.path / "stdout").read_text().splitlines()[-1])["failed"] == 0
    windows = observer.of(Kind.FEEDBACK)
    assert sum(window["inferences"] for window in windows) > 0
    assert sum(window["errors"] for window in windows) == 0

"""The publisher killed during a release: the next command undoes or completes it."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from publisher.adapters.broker_client import BrokerClient
from publisher.adapters.registry import Registry
from tests.integration import models
from tests.integration.publisher_cli import (
    PublisherCli,
    announced,
    another_model,
    connect,
    missing_chunks,
)

OncePerRun = Callable[[str, Callable[[Path], None]], Path]
SEED: Final = 2_026
KILLS: Final = (8, pytest.param(20, marks=pytest.mark.slow))
# What is printed at the start of a phase, and how many kills fall into it: storing,
# signing and uploading matter more than opening a model.
PHASES: Final = {"making": 2, "storing": 8, "uploading": 10}
END: Final = "end"


@pytest.fixture(scope="module")
def big(once_per_run: OncePerRun) -> bytes:
    return (once_per_run("models", models.make) / "big.tflite").read_bytes()


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.timeout(900)  # twenty releases and what follows each, on a machine that may be busy
def test_a_release_killed_at_any_moment_is_finished_or_undone_by_the_next_command(
    publisher: PublisherCli, big: bytes, kills: int
) -> None:
    print(f"seed {SEED}")  # noqa: T201 - so that a failure can be played again
    rng = random.Random(SEED)
    root = publisher.enrolled_root()
    file = publisher.folder / "big.tflite"
    file.write_bytes(another_model(big, seed=kills))
    lasts_s = _how_long_phases_last(publisher, file)
    # the first is certain to come before anything is stored, the second after all is
    moments = [("making", 0.0), ("uploading", 0.0)]
    phases = rng.choices([*PHASES], weights=[*PHASES.values()], k=kills - len(moments))
    moments += [(phase, rng.uniform(0, lasts_s[phase])) for phase in phases]
    with connect(publisher.url) as broker:
        ended_as: list[str] = []
        for number, (phase, after_s) in enumerate(moments):
            file.write_bytes(another_model(big, seed=number))
            _release_and_kill(publisher, f"1.{number}.0", file, phase, after_s)
            _check_whole(broker, root)
            publisher.run("rollout", "hold", "big", expect=0 if _stored_plan(publisher) else 2)
            ended_as.append(_check_settled(publisher, f"1.{number}.0"))
            _check_whole(broker, root)
        assert ended_as[:2] == ["undone", "finished"], ended_as
        publisher.run("release", "big", "--version", "2.0.0", "--tflite", file)
        _check_whole(broker, root)
        accepted = announced(broker, "big", root)
    assert accepted is not None
    assert accepted.plan.versions() == ("2.0.0",)


def test_what_a_killed_release_uploaded_is_not_sent_again(publisher: PublisherCli, big: bytes) -> None:
    file = publisher.folder / "big.tflite"
    file.write_bytes(big)
    whole = publisher.run("release", "first", "--version", "1", "--tflite", file, "--json").json["uploaded_chunks"]
    file.write_bytes(another_model(big, seed=7))
    _release_and_kill(publisher, "1", file, "uploading", 0.1)
    with Registry.open(publisher.registry) as registry:
        assert [staged.model for staged in registry.announcements.pending()] in ([], ["big"])
    held = publisher.run("rollout", "hold", "big", "--json")
    assert held.json["uploaded_chunks"] == 0  # the stopped release was finished before, and with it its upload
    with connect(publisher.url) as broker:
        accepted = announced(broker, "big", publisher.enrolled_root())
        assert accepted is not None
        assert missing_chunks(broker, accepted) == []
    assert whole > 50


def _how_long_phases_last(publisher: PublisherCli, file: Path) -> dict[str, float]:
    """The seconds that each phase takes here, by an undisturbed release."""
    said_at_s: dict[str, float] = {}
    with publisher.begin("release", "measured", "--version", "1.0.0", "--tflite", file) as running:
        assert running.stderr is not None
        for line in running.stderr:
            said_at_s.setdefault(next((phase for phase in PHASES if line.startswith(phase)), ""), time.monotonic())
        said_at_s[END] = time.monotonic()
    ends = [*list(PHASES)[1:], END]
    return {phase: said_at_s[end] - said_at_s[phase] for phase, end in zip(PHASES, ends, strict=True)}


def _release_and_kill(publisher: PublisherCli, version: str, file: Path, phase: str, after_s: float) -> None:
    """Kill a while after `phase` has begun; the release may have ended before."""
    anchors = file.with_name("anchors.npy")
    anchors.write_bytes(f"another for {version}\n".encode() * 20_000)
    words = ("release", "big", "--version", version, "--tflite", file, "--file", f"anchors.npy={anchors}")
    with publisher.begin(*words) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith(phase):
                break
        time.sleep(after_s)  # the moment itself is what is tried
        running.kill()
        running.communicate()


def _check_whole(broker: BrokerClient, root: bytes) -> None:
    accepted = announced(broker, "big", root)
    if accepted is not None:
        assert missing_chunks(broker, accepted) == []


def _stored_plan(publisher: PublisherCli) -> bool:
    with Registry.open(publisher.registry) as registry:
        return registry.announcements.plan("big") is not None


def _check_settled(publisher: PublisherCli, version: str) -> str:
    """The version is in the plan and announced, or there is no trace of it."""
    with Registry.open(publisher.registry) as registry:
        assert registry.announcements.pending() == []
        assert registry.orphans() == []
        plan, known = registry.announcements.plan("big"), version in registry.versions.of_model("big")
        assert known == (plan is not None and version in plan.versions())
        return "finished" if known else "undone"


def test_a_release_that_is_interrupted_says_so_and_leaves_nothing(publisher: PublisherCli) -> None:
    words = ("release", "digits", "--version", "1.0.0", "--epochs", "100000")
    with publisher.begin(*words) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("making")
        time.sleep(3.0)  # somewhere in its training
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert err.endswith("error: stopped\n")
    assert "Traceback" not in err
    with Registry.open(publisher.registry) as registry:
        assert (registry.versions.of_model("digits"), registry.orphans()) == ([], [])

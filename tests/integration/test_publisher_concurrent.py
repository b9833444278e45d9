"""Commands beside a release that is still being made; each in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from publisher.adapters.registry import Registry
from tests.integration.publisher_cli import PublisherCli, announced, connect, missing_chunks


@contextmanager
def _being_made(publisher: PublisherCli, version: str) -> Iterator[subprocess.Popen[str]]:
    """A release of `flowers` from a pipe, which waits for `_end` to write the model."""
    os.mkfifo(pipe := publisher.folder / "pipe.tflite")
    with publisher.begin("release", "flowers", "--version", version, "--tflite", pipe, "--json") as running:
        assert running.stderr is not None
        line = running.stderr.readline()
        assert line.startswith("making"), line + running.stderr.read()
        try:
            yield running
        finally:
            running.kill()


def _end(publisher: PublisherCli, running: subprocess.Popen[str], model: Path) -> tuple[int, str]:
    """Let a release go on; its exit code and its messages."""
    (publisher.folder / "pipe.tflite").write_bytes(model.read_bytes())
    _, err = running.communicate(timeout=120)
    return running.returncode, err


def test_other_commands_go_on_while_a_release_is_made_and_it_comes_after_them(
    publisher: PublisherCli, flowers: Path
) -> None:
    at_once = ("--wait", "0")
    publisher.run_here("release", "flowers", "--version", "1.0.0", "--tflite", flowers)
    with _being_made(publisher, "1.2.0") as running:
        publisher.run_here("rollout", "hold", "flowers", *at_once)
        publisher.run_here("release", "other", "--version", "1.0.0", "--tflite", flowers, *at_once)
        publisher.run_here("release", "flowers", "--version", "1.1.0", "--tflite", flowers, *at_once)
        publisher.run_here("prune", *at_once)
        code, err = _end(publisher, running, flowers)
    assert code == 0, err
    assert "1.1.0 was released meanwhile" in err
    with Registry.open(publisher.registry) as registry:
        plan = registry.announcements.plan("flowers")
        assert registry.versions.of_model("flowers") == ["1.0.0", "1.1.0", "1.2.0"]
        assert registry.orphans() == []
    assert plan is not None
    assert (plan.sequence, plan.versions()) == (4, ("1.2.0",))
    with connect(publisher.url) as broker:
        accepted = announced(broker, "flowers", publisher.enrolled_root())
        assert accepted is not None
        assert (accepted.plan.sequence, missing_chunks(broker, accepted)) == (4, [])


def test_the_second_of_two_releases_of_one_version_is_refused_and_nothing_of_the_first_is_lost(
    publisher: PublisherCli, flowers: Path
) -> None:
    with _being_made(publisher, "1.0.0") as running:
        first = publisher.run_here("release", "flowers", "--version", "1.0.0", "--tflite", flowers, "--json").json
        code, err = _end(publisher, running, flowers.with_stem("other-float32"))
    assert code == 2
    assert "another command released flowers 1.0.0 while this one was being made" in err
    assert "Traceback" not in err
    with Registry.open(publisher.registry) as registry:
        manifest = registry.versions.manifest("flowers", "1.0.0")
        assert registry.orphans() == []
    assert manifest.variants[0].sha256 == first["variants"]["original"]["sha256"]

"""README's by-hand section, run with its own lines, a real mosquitto and a device
process.

The lines are read from the page. Only what a page cannot know comes from the
environment: the broker's port, and a shorter probation.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.brokers import Mosquitto, mosquitto
from tests.pages import Fence, page
from tests.recorder import Recorder

ENOUGH_S: Final = 150.0  # for every wait; the two cores may be busy
LINE_AIM_BYTES: Final = 4_096
QUICKER: Final = {
    "EDGEFERRY_CONDITIONS__CPU_MAX_PERCENT": "100",
    "EDGEFERRY_TRIAL__PROBATION_MIN_S": "1",
    "EDGEFERRY_FEEDBACK__EVERY_S": "1",
}


def block(info: str) -> Fence:
    """The one block of README with this info."""
    return next(fence for fence in page("README.md").fences if fence.info == info)


@pytest.mark.usefixtures("mosquitto_program")
def test_the_road_by_hand_leads_where_readme_says(tmp_path: Path) -> None:
    with mosquitto() as broker:
        with _subscriber(broker, tmp_path) as subscriber:
            _run(block("sh by hand, first terminal"), broker, tmp_path)
            with _device(broker, tmp_path) as device:
                subscriber.wait_until(lambda: subscriber.outcome("adopted", "1.0.0"))
                _run(block("sh by hand, first terminal again"), broker, tmp_path)
                subscriber.wait_until(lambda: subscriber.status().get("latest_version") == "1.0.0")
                subscriber.wait_until(
                    lambda: subscriber.status().get("state") == "committed" and subscriber.messages("feedback")
                )
            assert json.loads(device.stdout)["failed"] == 0
            assert subscriber.status()["installed_version"] == "1.0.0"
            assert subscriber.messages("presence")[-1]["online"] is False, (
                "the last message is the will or the farewell"
            )
            assert max(subscriber.sizes) < LINE_AIM_BYTES
        shown = _run(_fence("publisher rollout show digits --json"), broker, tmp_path)
        assert "rolled back from 1.1.0 to 1.0.0" in shown
        assert "0 chunks uploaded" in (tmp_path / "first terminal again.log").read_text()
        _application_answers(broker, tmp_path)


def _application_answers(broker: Mosquitto, folder: Path) -> None:
    """README's application, with the very device that the road has left."""
    program = folder / "application.py"
    program.write_text(block("python application").text)
    done = subprocess.run(
        [sys.executable, str(program)], cwd=folder, env=_environment(broker), capture_output=True, text=True,
        check=False, timeout=ENOUGH_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(answers) == 497
    assert all(answer.endswith(" 1.0.0") for answer in answers)


def _fence(line: str) -> Fence:
    return Fence("here", 0, "sh", line)


def _run(fence: Fence, broker: Mosquitto, folder: Path) -> str:
    """Type a block into a shell."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", fence.text], cwd=folder, env=_environment(broker), capture_output=True,
        text=True, check=False, timeout=ENOUGH_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{fence.info}: {done.stdout}{done.stderr}"
    (folder / f"{fence.info.partition(', ')[2]}.log").write_text(done.stdout)
    return done.stdout


def _environment(broker: Mosquitto) -> dict[str, str]:
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **QUICKER, "PATH": here, "EDGEFERRY_BROKER": broker.url}


class SubscriberOutput(Recorder[tuple[str, dict[str, Any]]]):
    """What mosquitto_sub prints in README's format: a topic, a space, JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = [0]

    def read(self, lines: Iterator[str]) -> None:
        """Record line after line until there are no more."""
        for line in lines:
            topic, _, payload = line.rstrip("\n").partition(" ")
            self.sizes.append(len(payload.encode()))
            self.record((topic, json.loads(payload)))

    def wait_until(self, come_true: Callable[[], Any]) -> None:
        """Wait until the messages so far make it true."""
        self.wait(lambda _: bool(come_true()), since=max(0, len(self.items) - 1), within_s=ENOUGH_S)

    def messages(self, kind: str) -> list[dict[str, Any]]:
        """Every message of a kind so far."""
        return [message for topic, message in list(self.items) if topic.endswith(f"/{kind}")]

    def status(self) -> dict[str, Any]:
        """The newest status."""
        statuses = self.messages("status")
        return statuses[-1] if statuses else {}

    def outcome(self, kind: str, version: str) -> bool:
        """Whether an event reported this outcome of a version."""
        return any((event["outcome"], event["version"]) == (kind, version) for event in self.messages("event"))


@contextmanager
def _subscriber(broker: Mosquitto, folder: Path) -> Iterator[SubscriberOutput]:
    line = block("sh by hand, third terminal").text.strip()
    program = subprocess.Popen(
        ["bash", "-c", f"exec {line} -p {broker.port}"],
        cwd=folder,
        env=_environment(broker),
        stdout=subprocess.PIPE,
        text=True,
    )
    subscriber = SubscriberOutput()
    assert program.stdout
    thread = threading.Thread(target=subscriber.read, args=(program.stdout,))
    thread.start()
    try:
        yield subscriber
    finally:
        program.terminate()
        program.wait()
        thread.join()
        program.stdout.close()


class Device:
    """The second terminal; `stdout` is what it printed when it was stopped."""

    stdout = ""


@contextmanager
def _device(broker: Mosquitto, folder: Path) -> Iterator[Device]:
    line = block("sh by hand, second terminal").text.strip()
    log = (folder / "device.log").open("w")
    program = subprocess.Popen(
        ["bash", "-c", f"exec {line}"],
        cwd=folder,
        env=_environment(broker),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    device = Device()
    try:
        yield device
        program.send_signal(signal.SIGINT)
        device.stdout, _ = program.communicate(timeout=ENOUGH_S)
        assert program.returncode == 0
    finally:
        program.kill()
        program.wait()
        if program.stdout:
            program.stdout.close()
        log.close()

"""`on_swap` with a real program that is slow, fails, hangs, or is missing."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from device_client.adapters.swap_hook import SwapHook
from device_client.diagnostics.doctor import examine
from device_client.ports.serving import Swapped
from device_client.service.device_service import DeviceService
from device_client.settings.loader import load
from protocol.errors import BadSettings
from tests.builders import an_authority
from tests.recorder import WITHIN_S, poll_until

NOTE: Final = 'echo "$EDGEFERRY_SWAP_VERSION" >> notes'


def a_swap(version: str, *, state: str = "probation", reason: str = "all is well") -> Swapped:
    return Swapped(version, "float32", state, reason)


class Scene:
    """A command that a test writes, in a folder of its own, and what it left there."""

    def __init__(self, folder: Path, log: pytest.LogCaptureFixture) -> None:
        self.folder, self._log = folder, log
        self._commands: list[SwapHook] = []

    def runs(self, script: str, *, timeout_s: float = WITHIN_S) -> SwapHook:
        program = self.folder / "follow"
        program.write_text(f"#!/bin/sh\ncd {self.folder}\n{script}\n")
        program.chmod(0o755)
        command = SwapHook("digits", [str(program), "one", "two words"], self.folder / "link", timeout_s=timeout_s)
        self._commands.append(command)
        command.start()
        return command

    def noted(self, name: str = "notes") -> list[str]:
        notes = self.folder / name
        return notes.read_text().splitlines() if notes.exists() else []

    def until_noted(self, *lines: str) -> None:
        poll_until(lambda: self.noted() == list(lines))

    def until_said(self, words: str) -> None:
        poll_until(lambda: words in self._log.text)

    def close(self) -> None:
        for command in self._commands:
            command.close()


@pytest.fixture
def scene(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    opened = Scene(tmp_path, caplog)
    yield opened
    opened.close()


def is_gone(pid: int) -> bool:
    """Whether it has ended; it may be a zombie without a parent that waits."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_environment_tells_what_happened_and_the_words_are_no_shells(scene: Scene) -> None:
    command = scene.runs('env | grep ^EDGEFERRY_SWAP | sort > told; echo "$# $2" > words; echo done >> notes')
    command.notify(a_swap("1.2.0", state="rolled_back", reason="1.3.0 was rolled back to 1.2.0: $(touch hacked); 9 %"))
    scene.until_noted("done")
    assert scene.noted("told") == [
        f"EDGEFERRY_SWAP_FILE={scene.folder / 'link'}",
        f"EDGEFERRY_SWAP_FOLDER={scene.folder / 'current'}",
        "EDGEFERRY_SWAP_MODEL=digits",
        "EDGEFERRY_SWAP_REASON=1.3.0 was rolled back to 1.2.0: $(touch hacked); 9 %",
        "EDGEFERRY_SWAP_STATE=rolled_back",
        "EDGEFERRY_SWAP_VARIANT=float32",
        "EDGEFERRY_SWAP_VERSION=1.2.0",
    ]
    assert scene.noted("words") == ["2 two words"]
    assert not (scene.folder / "hacked").exists()


def test_one_runs_at_a_time_and_of_those_that_wait_the_last_swap_wins(scene: Scene) -> None:
    os.mkfifo(scene.folder / "gate")
    command = scene.runs(f"{NOTE}; read go < gate; echo end >> notes")
    command.notify(a_swap("1"))
    scene.until_noted("1")
    for version in ("2", "3", "4"):
        command.notify(a_swap(version))
    for told in (("1", "end", "4"), ("1", "end", "4", "end")):
        (scene.folder / "gate").write_text("go\n")
        poll_until(lambda told=told: tuple(scene.noted()[: len(told)]) == told)  # type: ignore[misc] # a lambda's default
    assert scene.noted() == ["1", "end", "4", "end"]


def test_the_same_version_again_is_news_only_when_another_was_between(scene: Scene) -> None:
    command = scene.runs(NOTE)
    for number, version in enumerate(("1", "2", "1"), 1):
        command.notify(a_swap(version))
        poll_until(lambda number=number: len(scene.noted()) == number)  # type: ignore[misc] # a lambda's default
        command.notify(a_swap(version, reason="seen once more"))
    command.notify(a_swap("3"))
    scene.until_noted("1", "2", "1", "3")


def test_a_command_that_fails_is_told_in_the_log_and_tried_again_at_the_next_swap(scene: Scene) -> None:
    command = scene.runs(f"{NOTE}; exit 3")
    command.notify(a_swap("1"))
    scene.until_said("digits: on_swap for 1: ")
    scene.until_said("follow failed with exit code 3")
    command.notify(a_swap("1"))
    scene.until_noted("1", "1")


def test_a_command_that_hangs_is_ended_with_its_children_and_the_next_one_runs(scene: Scene) -> None:
    hang = f'[ "$EDGEFERRY_SWAP_VERSION" = 2 ] || {{ sleep 600 & echo $! > child; {NOTE}; wait; }}; {NOTE}'
    command = scene.runs(hang, timeout_s=3)
    command.notify(a_swap("1"))
    scene.until_said("follow took longer than 3 s and was ended")
    poll_until(lambda: is_gone(int(scene.noted("child")[0])))
    command.notify(a_swap("2"))
    scene.until_noted("1", "2")


def test_closing_ends_what_runs_and_drops_what_waits(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    command = scene.runs(f"echo $$ > child; {NOTE}; sleep 600 & wait")
    command.notify(a_swap("1"))
    scene.until_noted("1")
    command.notify(a_swap("2"))
    command.close()
    assert is_gone(int(scene.noted("child")[0]))
    command.notify(a_swap("3"))
    assert scene.noted() == ["1"]
    assert caplog.text == ""


def test_a_program_that_vanishes_later_is_told_and_stops_nothing(scene: Scene) -> None:
    command = scene.runs(NOTE)
    (scene.folder / "follow").unlink()
    command.notify(a_swap("1"))
    scene.until_said("follow cannot be run: No such file or directory")


def test_a_program_that_is_not_there_is_refused_at_start_and_doctor_says_so(tmp_path: Path) -> None:
    (tmp_path / "root.json").write_bytes(an_authority().root)
    file = tmp_path / "device.toml"
    for program, named in (("./follow", str(tmp_path / "follow")), ("no-such-program", "no-such-program")):
        file.write_text(f'device = "pi-1"\n[[models]]\nname = "digits"\non_swap = ["{program}", "now"]\n')
        settings = load(file)
        told = f"the program {named!r} of on_swap of digits is not there, or may not be run"
        with pytest.raises(BadSettings) as refused:
            DeviceService(settings)
        assert refused.value.message == told
        check = next(each for each in itertools.islice(examine(settings), 3) if each.name == "on_swap of digits")
        assert (check.level, check.found) == ("bad", told)
    (tmp_path / "follow").write_text("#!/bin/sh\n")
    (tmp_path / "follow").chmod(0o755)
    file.write_text(file.read_text().replace("no-such-program", "./follow"))
    assert next(each for each in itertools.islice(examine(load(file)), 3) if "on_swap" in each.name).level == "ok"

"""How commands report errors, and where settings and values come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from protocol.errors import BadInput, BadSettings, Busy
from publisher.commands.common_options import plain_errors
from publisher.commands.value_parsers import counted, duration_s, share
from publisher.settings import Settings
from publisher.views.progress_bars import LineProgress


@pytest.mark.parametrize(
    ("trouble", "code", "output"),
    [
        (Busy("it is in use", hint="wait"), 7, "error: it is in use\nhint: wait\n"),
        (BadInput("a bad file"), 2, "error: a bad file\n"),
        (KeyboardInterrupt(), 130, "error: stopped\n"),
        (OSError(28, "No space left", "x"), 8, "error: No space left: x\nhint: free some space and run it again\n"),
        (PermissionError(13, "Permission denied", "keys"), 1, "error: Permission denied: keys\n"),
    ],
)
def test_trouble_is_one_sentence_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], trouble: BaseException, code: int, output: str
) -> None:
    with pytest.raises(typer.Exit) as left, plain_errors(verbose=False):
        raise trouble
    assert left.value.exit_code == code
    assert capsys.readouterr().err == output


def test_a_fault_of_ours_asks_for_a_report_and_shows_its_traceback_only_when_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit), plain_errors(verbose=False):
        raise ValueError("seven")
    output = capsys.readouterr().err
    assert output.startswith("error: ValueError: seven\nhint: ")
    assert "Traceback" not in output
    with pytest.raises(typer.Exit), plain_errors(verbose=True):
        raise ValueError("seven")
    assert "Traceback" in capsys.readouterr().err


def test_a_flag_counts_before_the_environment_and_that_before_the_default() -> None:
    environment = {"EDGEFERRY_BROKER": "mqtt://elsewhere", "EDGEFERRY_REGISTRY": "shelf"}
    settings = Settings.read({"broker": "mqtts://here"}, environment)
    assert (settings.broker.address, settings.registry, settings.root) == ("here:8883", Path("shelf"), None)
    assert Settings.read({}, {}).broker.address == "127.0.0.1:1883"


@pytest.mark.parametrize("flags", [{"wait": "soon"}, {"wait": "-1"}, {"wait": "nan"}, {"broker": "localhost"}])
def test_a_setting_that_cannot_be_is_refused(flags: dict[str, str]) -> None:
    with pytest.raises(BadSettings):
        Settings.read(flags, {})


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("90", 90), ("30s", 30), ("10m", 600), ("2h", 7_200)])
def test_a_time_is_read_with_its_unit(text: str, seconds: int) -> None:
    assert duration_s(text, "--spread") == seconds


@pytest.mark.parametrize("text", ["", "m", "-1", "8d", "1.5h", "10 minutes"])
def test_a_time_without_sense_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--spread"):
        duration_s(text, "--spread")


def test_numbers_are_written_with_their_unit() -> None:
    assert (counted(1, "chunk"), counted(0, "chunk"), counted(1_200, "chunk")) == (
        "1 chunk",
        "0 chunks",
        "1,200 chunks",
    )
    assert share(0.5, "--x") == 0.5
    with pytest.raises(BadInput, match="--x nan"):
        share(float("nan"), "--x")


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, 11.0, 11.0, 12.0])
    with LineProgress(clock=lambda: next(times)).bar("uploading", is_bytes=True) as on_progress:
        on_progress(1_000_000, 4_000_000, "uploading")
        on_progress(2_000_000, 4_000_000, "uploading")
        on_progress(3_000_000, 4_000_000, "uploading")
    assert capsys.readouterr().err == "uploading …\nuploading: 2.0 of 4.0 MB\n"

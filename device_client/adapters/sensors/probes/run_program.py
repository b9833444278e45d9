"""Runs a small program for its answer: bounded in time and in what it may say."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from device_client.adapters.sensors.probes.base import Unread

ANSWER_MAX_BYTES: Final = 16_384


def answer_of(command: Sequence[str], timeout_s: float) -> str:
    """Its stdout. Raises Unread when it is missing, too slow, too talkative, or fails; it is ended then."""
    name = os.path.basename(command[0])  # noqa: PTH119 - a command need not be a path
    try:
        program = _start(command)
    except FileNotFoundError:
        raise Unread(f"{name} is not installed") from None
    except OSError as refused:
        raise Unread(f"{name} cannot be run: {refused.strerror}") from None
    late = threading.Event()
    alarm = threading.Timer(timeout_s, _end, (program, late))
    alarm.daemon = True
    alarm.start()
    assert program.stdout is not None  # it is a pipe
    with program.stdout as pipe:
        said = pipe.read(ANSWER_MAX_BYTES + 1)
    if len(said) > ANSWER_MAX_BYTES:
        _end(program, late)
    code = program.wait()
    alarm.cancel()
    if len(said) > ANSWER_MAX_BYTES:
        raise Unread(f"{name} says more than {ANSWER_MAX_BYTES} bytes")
    if late.is_set():
        raise Unread(f"{name} did not answer within {timeout_s:g} s")
    if code:
        raise Unread(f"{name} ended with exit code {code}")
    return said.decode(errors="replace")


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},  # answers are compared with English words
        start_new_session=True,  # so that its children end with it
    )


def _end(program: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)

"""Runs a small program for its output, bounded in time and length."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Final

from device_client.adapters.sensors.probes.base import Unread
from protocol.host.child_process import Child, Stopped

OUTPUT_MAX_BYTES: Final = 16_384


def output_of(command: Sequence[str], timeout_s: float) -> str:
    """Its stdout. Raises Unread if it is missing, fails, is slow or writes too much."""
    name = os.path.basename(command[0])  # noqa: PTH119 - a command need not be a path
    environment = {**os.environ, "LC_ALL": "C"}  # probes compare the output with English words
    try:
        child = Child(command, env=environment, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        raise Unread(f"{name} is not installed") from None
    except OSError as error:
        raise Unread(f"{name} cannot be run: {error.strerror}") from None
    ended = child.wait(timeout_s, stdout_max_bytes=OUTPUT_MAX_BYTES)
    match ended.stopped:
        case Stopped.TOO_MUCH_OUTPUT:
            raise Unread(f"{name} says more than {OUTPUT_MAX_BYTES} bytes")
        case Stopped.TIMEOUT:
            raise Unread(f"{name} did not answer within {timeout_s:g} s")
    if ended.returncode:
        raise Unread(f"{name} ended with exit code {ended.returncode}")
    return ended.stdout.decode(errors="replace")

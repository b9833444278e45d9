"""Keeps TensorFlow's own noise from the terminal; our own words and every exception still get there.

Half of the noise is written by C++ straight to file descriptor 2, before any log level is read, so the descriptor
itself is turned to a temporary file for a while. `sys.stderr` keeps its way to the terminal: a bar goes on drawing.
The descriptor belongs to the whole process: one thread at a time.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import IO, Final, TextIO

STDERR_FD: Final = 2
LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"  # TensorFlow's own switch; "0" is everything
TAIL_CHARS: Final = 2_000


def be_verbose() -> None:
    """Let all of TensorFlow's noise through, for `-v`. Call it before anything is trained."""
    os.environ[LEVEL] = "0"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow noise while the block runs; an unforeseen exception takes the last lines of it along as a note."""
    os.environ.setdefault(LEVEL, "3")
    os.environ.setdefault(
        "TF_USE_LEGACY_KERAS", "1"
    )  # `tf.keras` in a recipe is then `tf_keras`, as compression needs it
    if os.environ[LEVEL] == "0":
        yield
        return
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with tempfile.TemporaryFile() as noise, _stderr_turned_to(noise.fileno()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as failure:
            if tail := _tail(noise):
                failure.add_note(tail)
            raise


@contextlib.contextmanager
def _stderr_turned_to(target_fd: int) -> Iterator[None]:
    """File descriptor 2 writes to `target_fd` for a while, and `sys.stderr` to where it wrote before."""
    before, terminal_fd = sys.stderr, os.dup(STDERR_FD)
    if _descriptor(before) == STDERR_FD:
        sys.stderr = _terminal()
    sys.stderr.flush()
    os.dup2(target_fd, STDERR_FD)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal_fd, STDERR_FD)
        os.close(terminal_fd)
        sys.stderr = before


@functools.cache
def _terminal() -> TextIO:
    """Where standard error went at first. Never closed: loggers born inside a quiet block keep hold of it."""
    return open(os.dup(STDERR_FD), "w", buffering=1, errors="replace", closefd=False)


def _descriptor(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (io.UnsupportedOperation, ValueError, AttributeError):
        return -1  # captured by a test or closed: C++ writes elsewhere already


def _tail(noise: IO[bytes]) -> str:
    noise.seek(0)
    return noise.read().decode(errors="replace")[-TAIL_CHARS:]

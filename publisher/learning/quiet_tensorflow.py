"""Keeps TensorFlow's output from the terminal; our own and exceptions get there.

THE ONE PLACE THAT REDIRECTS A FILE DESCRIPTOR OF THE WHOLE PROCESS: C++ writes straight
to descriptor 2, before any log level is read. So within `silence_tensorflow` it is a
temporary file, for all threads and new child processes; `sys.stderr` still writes to
the terminal. Use it from one thread at a time.
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
LEGACY_KERAS: Final = "TF_USE_LEGACY_KERAS"  # `tf.keras` in a recipe is then `tf_keras`, which compression needs
TAIL_CHARS: Final = 2_000


def show_tensorflow_output() -> None:
    """Turn `silence_tensorflow` off, for `-v`. Call it before anything is trained."""
    os.environ[LEVEL] = "0"


@contextlib.contextmanager
def silence_tensorflow() -> Iterator[None]:
    """Discard what C++ writes to stderr; an exception carries its end as a note."""
    os.environ.setdefault(LEVEL, "3")
    os.environ.setdefault(LEGACY_KERAS, "1")
    if os.environ[LEVEL] == "0":
        yield
        return
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with tempfile.TemporaryFile() as output, _stderr_redirected(output.fileno()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as failure:
            if tail := _tail(output):
                failure.add_note(tail)
            raise


@contextlib.contextmanager
def _stderr_redirected(target_fd: int) -> Iterator[None]:
    """Descriptor 2 writes to `target_fd`, and `sys.stderr` to its former target."""
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
    """The first target of stderr. Never closed: log handlers may hold it."""
    return open(os.dup(STDERR_FD), "w", buffering=1, errors="replace", closefd=False)


def _descriptor(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (io.UnsupportedOperation, ValueError, AttributeError):
        return -1  # captured by a test or closed: C++ writes elsewhere already


def _tail(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read().decode(errors="replace")[-TAIL_CHARS:]

"""Ctrl-C that cannot get lost in an import.

Python raises KeyboardInterrupt wherever the program is. Inside of a library that is being imported, and TensorFlow
takes seconds, it may be swallowed, or end in a page of C++; so there it waits until the import is over.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

AGAIN_S: Final = 0.05
IMPORTING: Final = "<frozen importlib._bootstrap>"


@contextmanager
def between_imports() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C as ever, for the length of a block, but never inside of an import."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread hears signals
        return
    numbers = (signal.SIGINT, signal.SIGALRM)
    before = [signal.signal(number, _stop) for number in numbers]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _stop(_number: int, frame: FrameType | None) -> None:
    if not _is_importing(frame):
        raise KeyboardInterrupt
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            return True
        frame = frame.f_back
    return False

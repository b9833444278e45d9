"""Ctrl-C that no import can swallow.

A KeyboardInterrupt raised inside an import, and TensorFlow's takes seconds, may be
swallowed or end in a traceback of C++. So an interrupt that comes during an import is
raised after it: a timer tries again until no import is on the stack.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

RETRY_S: Final = 0.05
IMPORTLIB: Final = "<frozen importlib._bootstrap>"


@contextmanager
def interrupt_between_imports() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C in the block, but never inside an import."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread handles signals
        return
    numbers = (signal.SIGINT, signal.SIGALRM)
    before = [signal.signal(number, _on_signal) for number in numbers]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _on_signal(_number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename == IMPORTLIB:
            signal.setitimer(signal.ITIMER_REAL, RETRY_S)
            return
        frame = frame.f_back
    raise KeyboardInterrupt

"""Work in the background lowers its priority, and never raises what the owner set."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from typing import Final

import pytest

from device_client.adapters.process_priority import lower_priority

NICEST: Final = 19


def in_a_thread_at(nice: int, act: Callable[[], object]) -> int:
    """Act in a new thread of this niceness; return its niceness after that."""
    after: list[int] = []

    def work() -> None:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        act()
        after.append(os.getpriority(os.PRIO_PROCESS, 0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return after[0]


def here(nice: int) -> int:
    """Nicer than the tests by so much: to be less nice may be forbidden."""
    return min(NICEST, os.getpriority(os.PRIO_PROCESS, 0) + nice)


@pytest.mark.parametrize(("has", "wants", "gets"), [(0, 5, 5), (4, 5, 5), (5, 5, 5), (8, 5, 8), (19, 10, 19)])
def test_a_thread_becomes_nicer_never_less_nice(has: int, wants: int, gets: int) -> None:
    wanted = here(wants)
    assert in_a_thread_at(here(has), lambda: lower_priority(0, wanted)) == here(gets)


def test_a_process_that_has_ended_is_no_trouble() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    lower_priority(ended.pid, 10)
    assert in_a_thread_at(here(3), lambda: lower_priority(ended.pid, NICEST)) == here(3)

"""The Prover port: a candidate is tried in a child process with limits, so that a hostile file kills the child alone.

Owns the limits, the watching and the telling; what the child does is in trial_child. The limits are set from outside,
on whatever program is started: memory, CPU, written files, core dumps, priority; wall time by killing the group.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import RLock, Thread
from typing import Final

from pydantic import BaseModel, Field, ValidationError

from device_client.adapters.process_priority import give_way
from device_client.adapters.sandbox.messages import (
    SAID_MAX_BYTES,
    TrialActivity,
    TrialJob,
    TrialReport,
    because,
    used_more,
)
from device_client.core.events import ChildEnd
from device_client.ports.proof import NotTried, Proof, ProofOrder
from device_client.ports.serving import Delegate

CHILD: Final = (sys.executable, "-m", "device_client.adapters.sandbox.child")
INTERPRETER_BYTES: Final = 536_870_912  # address space of Python, numpy and the runtime: 130-155 MB measured, 4 x left
NICE: Final = 10
_GRUMBLE_MAX_BYTES: Final = 4_096  # of stderr; what comes after is read and dropped
_READ_BYTES: Final = 65_536
_OUT_OF_MEMORY: Final = (b"MemoryError", b"bad_alloc")
REASON_MAX_CHARS: Final = 300
Told = Callable[[Proof | NotTried], None]

log = logging.getLogger(__name__)


class TrialProcess:
    """Tries one candidate at a time. `command` may be another program, for tests of what a hostile child can do."""

    def __init__(self, command: Sequence[str] = CHILD, *, delegates: Sequence[Delegate] = ()) -> None:
        """`delegates`: those that will serve, for that is what has to be proved."""
        self._command = tuple(command)
        self._delegates = tuple(delegates)
        self._trial: _Trial | None = None

    def start(self, order: ProofOrder, done: Told) -> None:
        """Begin; `done` is called once, as a rule from another thread. A trial that runs is ended without a word."""
        self.stop()
        self._trial = _Trial(self._command, order, self._delegates, done)
        try:
            Thread(target=self._trial.run, name="trial", daemon=True).start()
        except RuntimeError as none_left:  # the system's limit on threads
            done(NotTried(f"{none_left}"[:REASON_MAX_CHARS]))

    def stop(self) -> None:
        """End the child, if one runs; its `done` is not called from here on."""
        if self._trial:
            self._trial.abandon()
            self._trial = None


class _Told(BaseModel):
    """What each line of the child has, whatever else it says."""

    memory_peak_bytes: int = Field(ge=0, le=2**53)


@dataclass(slots=True)
class _Heard:
    """What came out of the child, up to the bounds."""

    said: bytearray = field(default_factory=bytearray)
    grumbled: bytearray = field(default_factory=bytearray)
    trouble: str = ""


class _Trial:
    """One child from start to end, watched by one thread.

    The thread that starts the child also waits for it: the kernel kills the child when that thread is gone.
    """

    def __init__(self, command: Sequence[str], order: ProofOrder, delegates: tuple[Delegate, ...], done: Told) -> None:
        self._command = command
        self._order = order
        self._delegates = delegates
        self._done = done
        self._lock = RLock()  # `done` is called under it, and may start or stop a trial itself
        self._abandoned = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Start, watch, tell: something is told whatever happens here, or the device would wait for ever."""
        proof = self._tried()
        with self._lock:
            if not self._abandoned:
                self._done(proof)

    def abandon(self) -> None:
        """Kill the child and say nothing more."""
        with self._lock:
            self._abandoned = True
            self._kill()

    def _tried(self) -> Proof | NotTried:
        """What the child shows is the candidate's; what fails on this side of the fence is the device's own."""
        try:
            return self._proof()
        except OSError as failure:
            return NotTried(str(failure)[:REASON_MAX_CHARS])
        except Exception as failure:
            log.exception("the trial of %s broke off", self._order.model.name)
            return NotTried(f"{type(failure).__name__}: {failure}"[:REASON_MAX_CHARS])

    def _proof(self) -> Proof | NotTried:
        begun_s = time.monotonic()
        process = self._start()
        if process is None:
            return NotTried("abandoned")
        try:
            _limit(process.pid, self._order)
            heard = self._listen(process)
        finally:
            with self._lock:
                self._kill()
                grown_to_bytes = _reap(process)
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        peak_bytes = max(_last_told_bytes(heard), grown_to_bytes) or None
        end = ChildEnd(round(time.monotonic() - begun_s, 3), _ending(process.returncode), peak_bytes)
        return replace(_judge(self._order, heard, process.returncode), child=end)

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._abandoned:
                return None
            self._process = subprocess.Popen(
                [*self._command, _as_words(self._order, self._delegates)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=_environment(os.environ),
                start_new_session=True,
            )
            return self._process

    def _listen(self, process: subprocess.Popen[bytes]) -> _Heard:
        """Read both pipes until the child ends, says too much, or its time is up. It is not waited for yet."""
        heard = _Heard()
        until_s = time.monotonic() + self._order.wall_max_s
        ended = os.pidfd_open(process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(ended, selectors.EVENT_READ)
                for pipe, into in ((process.stdout, heard.said), (process.stderr, heard.grumbled)):
                    assert pipe
                    os.set_blocking(pipe.fileno(), False)
                    selector.register(pipe, selectors.EVENT_READ, into)
                while ended in selector.get_map() and not heard.trouble:
                    left_s = until_s - time.monotonic()
                    if left_s <= 0:
                        heard.trouble = f"took longer than {self._order.wall_max_s:g} s{because(self._order.wall_by)}"
                    _hear(selector, max(0.0, left_s), heard)
                while not heard.trouble and time.monotonic() < until_s and _hear(selector, 0, heard):
                    pass  # what it said last is still in the pipes; a grandchild may hold them open for ever
        finally:
            os.close(ended)
        return heard

    def _kill(self) -> None:
        """End the whole process group, but never after its leader was waited for: the id may be another's by then."""
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)


def _hear(selector: selectors.BaseSelector, wait_s: float, heard: _Heard) -> bool:
    """Take one piece of whatever is ready; False when nothing was."""
    ready = selector.select(wait_s)
    for key, _ in ready:
        piece = b"" if key.data is None else os.read(key.fd, _READ_BYTES)
        if piece:
            _note(piece, heard, grumbled=key.data is heard.grumbled)
        else:
            selector.unregister(key.fileobj)  # the child has ended, or closed this pipe
    return bool(ready)


def _note(piece: bytes, heard: _Heard, *, grumbled: bool) -> None:
    if grumbled:
        heard.grumbled += piece[: max(0, _GRUMBLE_MAX_BYTES - len(heard.grumbled))]
    else:
        heard.said += piece
        if len(heard.said) > SAID_MAX_BYTES:
            heard.trouble = f"the child said more than {SAID_MAX_BYTES:,} bytes"


def _limit(pid: int, order: ProofOrder) -> None:
    """Fence the child in from outside. It lowers its memory further, once it knows what its libraries took."""
    seconds = math.ceil(order.wall_max_s) + 1
    limits = {
        resource.RLIMIT_AS: order.memory_max_bytes + INTERPRETER_BYTES,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    with contextlib.suppress(ProcessLookupError):  # it has ended already, and is judged by that
        for what, most in limits.items():
            allowed = _within(most, resource.prlimit(pid, what)[1])
            resource.prlimit(pid, what, (allowed, allowed))
    give_way(pid, NICE)


def _within(most: int, hard: int) -> int:
    """No more than the owner's own limit: to lift that is a privilege."""
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Nothing of ours but what Python needs to find its parts. One arena and one thread: they reserve address space."""
    kept = {name: ours[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in ours}
    packages = str(Path(__file__).resolve().parents[3])  # where device_client and protocol are
    return {
        **kept,
        "LANG": "C.UTF-8",
        "PYTHONPATH": packages,
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _as_words(order: ProofOrder, delegates: tuple[Delegate, ...]) -> str:
    return TrialJob(
        model=str(order.model.absolute()),
        golden=str(order.golden.absolute()),
        variant=order.variant,
        tolerance=order.tolerance,
        contract=order.contract,
        memory_max_bytes=order.memory_max_bytes,
        memory_by=order.memory_by,
        delegates=delegates,
        parent=os.getpid(),
    ).model_dump_json()


def _judge(order: ProofOrder, heard: _Heard, returncode: int) -> Proof:
    """Only a child that ended well and said a whole report is believed."""
    lines = bytes(heard.said).splitlines()
    if heard.trouble:
        return Proof(False, heard.trouble)
    if returncode != 0:
        doing = _last_doing(lines)
        if any(sign in heard.grumbled for sign in _OUT_OF_MEMORY):
            told = used_more(order.memory_max_bytes, order.memory_by, doing)
            return Proof(False, told, out_of_memory=True)
        return Proof(False, _how_it_ended(order, heard, returncode, doing))
    try:
        report = TrialReport.model_validate_json(lines[-1] if lines else b"")
    except ValidationError:
        return Proof(False, "the child ended without a report")
    return Proof(
        report.passed,
        report.reason,
        report.samples,
        report.max_error,
        report.latency_ms_p50,
        report.out_of_memory,
    )


def _how_it_ended(order: ProofOrder, heard: _Heard, returncode: int, doing: str) -> str:
    if returncode == -signal.SIGXCPU:
        return f"used more than {order.wall_max_s:g} s of the processor while {doing}{because(order.wall_by)}"
    if returncode < 0:
        name = (signal.strsignal(-returncode) or "unknown").lower()
        return f"the child was killed by signal {-returncode} ({name}) while {doing}"
    last = bytes(heard.grumbled).decode(errors="replace").strip().splitlines()[-1:] or ["it gave no reason"]
    return f"the child failed with exit status {returncode} while {doing}: {last[0][:300]}"


def _reap(process: subprocess.Popen[bytes]) -> int:
    """Wait for its end; how far its memory grew, in bytes, or 0 where only less than ours is known of it.

    What the kernel counts for a child begins with what its parent had when it started it.
    """
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used.ru_maxrss * 1024 if used.ru_maxrss > ours else 0


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"exit status {returncode}"
    return f"signal {-returncode} ({(signal.strsignal(-returncode) or 'unknown').lower()})"[:64]


def _last_told_bytes(heard: _Heard) -> int:
    """What the child itself said last of its memory; 0 where it said nothing that can be read."""
    for line in reversed(bytes(heard.said).splitlines()):
        with contextlib.suppress(ValidationError):  # then the line before it
            return _Told.model_validate_json(line).memory_peak_bytes
    return 0


def _last_doing(lines: Sequence[bytes]) -> str:
    for line in reversed(lines):
        with contextlib.suppress(ValidationError):  # then the line before it
            return TrialActivity.model_validate_json(line).doing
    return "starting"

"""The Prover port: tries a candidate in a child process, the only one it can kill."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import RLock, Thread
from typing import Final, TypeVar

from pydantic import BaseModel, Field, ValidationError

from device_client.adapters.process_priority import lower_priority
from device_client.adapters.sandbox.messages import TrialActivity, TrialJob, TrialReport, because, used_more
from device_client.core.events import ChildEnd
from device_client.ports.proof import NotTried, Proof, ProofOrder
from device_client.ports.serving import Delegate
from protocol.host.child_process import PACKAGES, STDOUT_MAX_BYTES, Child, Ended, Limits, Stopped

CHILD: Final = (sys.executable, "-m", "device_client.adapters.sandbox.child")
INTERPRETER_BYTES: Final = 536_870_912  # address space of Python, numpy and the runtime: 130-155 MB measured, 4 x left
NICE: Final = 10
REASON_MAX_CHARS: Final = 300
_OUT_OF_MEMORY: Final = (b"MemoryError", b"bad_alloc")
_ENDED_MAX_CHARS: Final = 64
M = TypeVar("M", bound=BaseModel)
OnDone = Callable[[Proof | NotTried], None]

log = logging.getLogger(__name__)


class TrialProcess:
    """The Prover port. `delegates`: those that will serve."""

    def __init__(self, command: Sequence[str] = CHILD, *, delegates: Sequence[Delegate] = ()) -> None:
        self._command = tuple(command)
        self._delegates = tuple(delegates)
        self._trial: _RunningTrial | None = None

    def start(self, order: ProofOrder, done: OnDone) -> None:
        self.stop()
        self._trial = _RunningTrial(self._command, order, self._delegates, done)
        try:
            Thread(target=self._trial.run, name="trial", daemon=True).start()
        except RuntimeError as no_thread:  # the system's limit on threads
            done(NotTried(f"{no_thread}"[:REASON_MAX_CHARS]))

    def stop(self) -> None:
        if self._trial:
            self._trial.cancel()
            self._trial = None


class _MemoryReport(BaseModel):
    """The part of each message that tells how much memory the child has used."""

    memory_peak_bytes: int = Field(ge=0, le=2**53)


class _RunningTrial:
    """One child, on one thread: the kernel kills it when that thread is gone."""

    def __init__(
        self, command: Sequence[str], order: ProofOrder, delegates: tuple[Delegate, ...], done: OnDone
    ) -> None:
        self._command = command
        self._order = order
        self._delegates = delegates
        self._done = done
        self._lock = RLock()  # `done` is called under it, and may itself start or stop a trial
        self._cancelled = False
        self._child: Child | None = None

    def run(self) -> None:
        """Run the child and call `done`, whatever happens: the device waits for it."""
        proof = self._prove()
        with self._lock:
            if not self._cancelled:
                self._done(proof)

    def cancel(self) -> None:
        """Kill the child; `done` is not called."""
        with self._lock:
            self._cancelled = True
            if self._child:
                self._child.kill()

    def _prove(self) -> Proof | NotTried:
        """A Proof for what the child does, NotTried for what fails on this side."""
        try:
            child = self._start()
            return self._proof(child.wait(self._order.wall_max_s)) if child else NotTried("cancelled")
        except OSError as failure:
            return NotTried(str(failure)[:REASON_MAX_CHARS])
        except Exception as failure:
            log.exception("the trial of %s broke off", self._order.model.name)
            return NotTried(f"{type(failure).__name__}: {failure}"[:REASON_MAX_CHARS])

    def _proof(self, ended: Ended) -> Proof | NotTried:
        lines = ended.stdout.splitlines()
        reported = _last(_MemoryReport, lines)
        peak_bytes = max(reported.memory_peak_bytes if reported else 0, ended.memory_peak_bytes) or None
        end = ChildEnd(round(ended.wall_s, 3), ended.description[:_ENDED_MAX_CHARS], peak_bytes)
        judged = _judge(self._order, ended, lines)
        return judged if isinstance(judged, NotTried) else replace(judged, child=end)

    def _start(self) -> Child | None:
        order = self._order
        memory_bytes = order.memory_max_bytes + INTERPRETER_BYTES  # the child lowers it, once it has its libraries
        limits = Limits(memory_bytes, cpu_s=math.ceil(order.wall_max_s), file_bytes=0)
        with self._lock:
            if self._cancelled:
                return None
            command = [*self._command, _job(order, self._delegates)]
            self._child = Child(command, limits=limits, env=_environment(os.environ), cwd="/")
        lower_priority(self._child.pid, NICE)
        return self._child


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """What Python needs; one arena and thread, as they reserve address space."""
    return {
        **{name: ours[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in ours},
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(PACKAGES),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _job(order: ProofOrder, delegates: tuple[Delegate, ...]) -> str:
    return TrialJob(
        model=str(order.model.absolute()),
        golden=str(order.golden.absolute()),
        variant=order.variant,
        tolerance=order.tolerance,
        bounds=order.bounds,
        contract=order.contract,
        memory_max_bytes=order.memory_max_bytes,
        memory_by=order.memory_by,
        delegates=delegates,
        preprocessing=order.preprocessing,
        parent=os.getpid(),
    ).model_dump_json()


def _judge(order: ProofOrder, ended: Ended, lines: Sequence[bytes]) -> Proof | NotTried:
    """Believe only a child that exited with 0 and wrote a complete report."""
    match ended.stopped:
        case Stopped.TIMEOUT:
            return Proof(False, f"took longer than {order.wall_max_s:g} s{because(order.wall_by)}")
        case Stopped.TOO_MUCH_OUTPUT:
            return Proof(False, f"the child said more than {STDOUT_MAX_BYTES:,} bytes")
    if ended.returncode != 0:
        last = _last(TrialActivity, lines)
        activity = last.doing if last else "starting"
        if any(sign in ended.stderr for sign in _OUT_OF_MEMORY):
            reason = used_more(order.memory_max_bytes, order.memory_by, activity)
            return Proof(False, reason, out_of_memory=True)
        return Proof(False, _reason(order, ended, activity))
    try:
        report = TrialReport.model_validate_json(lines[-1] if lines else b"")
    except ValidationError:
        return Proof(False, "the child ended without a report")
    if report.lacking:
        return NotTried(report.reason[:REASON_MAX_CHARS])
    return Proof(
        report.passed, report.reason, report.samples, report.max_error, report.latency_ms_p50, report.out_of_memory
    )


def _reason(order: ProofOrder, ended: Ended, activity: str) -> str:
    if ended.signal_number == signal.SIGXCPU:
        return f"used more than {order.wall_max_s:g} s of the processor while {activity}{because(order.wall_by)}"
    if ended.signal_number:
        return f"the child was killed by {ended.description} while {activity}"
    return f"the child failed with {ended.description} while {activity}: {ended.last_line or 'it gave no reason'}"


def _last(kind: type[M], lines: Sequence[bytes]) -> M | None:
    """The last message of a kind; other lines are skipped."""
    for line in reversed(lines):
        with contextlib.suppress(ValidationError):
            return kind.model_validate_json(line)
    return None

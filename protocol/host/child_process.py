"""Runs a program in a child process that cannot harm its parent. Needs Linux.

`Child` runs any program; `run_job` a Python module whose main function is `serve_job`,
with a JSON job and result. Any thread may kill a child; the thread that starts it also
waits for it, because `die_with_parent` follows that thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from threading import Lock
from typing import Any, Final

from protocol.errors import FerryError

PACKAGES: Final = Path(__file__).resolve().parents[2]  # for PYTHONPATH: where `protocol` is found
STDOUT_MAX_BYTES: Final = 16_384  # a child that writes more is killed
STDERR_MAX_BYTES: Final = 4_096  # of the end; what comes before is dropped
RESULT_MAX_BYTES: Final = 16_777_216
_READ_BYTES: Final = 65_536
_PR_SET_PDEATHSIG: Final = 1
_LIMIT_TRIES: Final = 5
_JOB: Final = "job.json"
_RESULT: Final = "result.json"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use, without core files. A lower limit of its owner stays."""

    memory_bytes: int  # of address space
    cpu_s: int  # of all threads together; then SIGXCPU, and a second later SIGKILL
    file_bytes: int | None = None  # the longest file that it may write
    open_files: int = 1_024

    def apply(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            set_limit(resource.RLIMIT_AS, self.memory_bytes, pid)
            set_limit(resource.RLIMIT_CPU, self.cpu_s, pid, hard=self.cpu_s + 1)
            set_limit(resource.RLIMIT_CORE, 0, pid)
            set_limit(resource.RLIMIT_NOFILE, self.open_files, pid)
            if self.file_bytes is not None:
                set_limit(resource.RLIMIT_FSIZE, self.file_bytes, pid)


class Stopped(Enum):
    TIMEOUT = auto()
    TOO_MUCH_OUTPUT = auto()


@dataclass(frozen=True, slots=True)
class Ended:
    returncode: int  # negative: the signal that killed it
    stopped: Stopped | None
    wall_s: float
    memory_peak_bytes: int  # 0 when the kernel shows no more than the parent's own, with which its figure begins
    stdout: bytes = b""
    stderr: bytes = b""  # the end of it

    @property
    def signal_number(self) -> int:
        """The signal that killed it; 0 when it exited."""
        return max(0, -self.returncode)

    @property
    def signal_name(self) -> str:
        """Such as SIGSEGV; empty when it exited."""
        names = {number.value: number.name for number in signal.Signals}
        return names.get(self.signal_number, f"signal {self.signal_number}") if self.signal_number else ""

    @property
    def description(self) -> str:
        """Such as "exit status 3" or "signal 11 (segmentation fault)"."""
        if not self.signal_number:
            return f"exit status {self.returncode}"
        return f"signal {self.signal_number} ({(signal.strsignal(self.signal_number) or 'unknown').lower()})"

    @property
    def last_line(self) -> str:
        """The last line on stderr, where programs write why they fail; may be empty."""
        return (self.stderr.decode(errors="replace").strip().splitlines() or [""])[-1][:300]


class Child:
    """A process in a group of its own, limited from outside; keeps a bounded output."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        limits: Limits | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdout: int = subprocess.PIPE,
        stderr: int | None = subprocess.PIPE,
    ) -> None:
        """Start it. Raises OSError without such a program, or memory for it."""
        self._lock = Lock()
        self._output: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._started_s = time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env, cwd=cwd, start_new_session=True
        )
        try:
            if limits:
                limits.apply(self.pid)
        except BaseException:
            self.kill()
            self._reap()
            raise

    @property
    def pid(self) -> int:
        """Its process id, which is the id of its group too."""
        return self._process.pid

    def kill(self) -> None:
        """Kill the process group, unless it was reaped and its id may be reused."""
        with self._lock:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)

    def wait(self, timeout_s: float, *, stdout_max_bytes: int = STDOUT_MAX_BYTES, spare_group: bool = False) -> Ended:
        """Wait for its end. `spare_group`: do not kill what it leaves in its group."""
        stopped: Stopped | None = None
        killed = True
        try:
            stopped = self._listen(timeout_s, stdout_max_bytes)
            killed = stopped is not None or not spare_group
        finally:
            if killed:
                self.kill()
            memory_peak_bytes = self._reap()
        return Ended(
            returncode=self._process.returncode,
            stopped=stopped,
            wall_s=time.monotonic() - self._started_s,
            memory_peak_bytes=memory_peak_bytes,
            stdout=bytes(self._output["stdout"]),
            stderr=bytes(self._output["stderr"]),
        )

    def _listen(self, timeout_s: float, stdout_max_bytes: int) -> Stopped | None:
        """Read both pipes until the child ends or must be stopped. Does not reap it."""
        until_s = time.monotonic() + timeout_s
        ended = os.pidfd_open(self.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(ended, selectors.EVENT_READ)
                for name in self._output:
                    if pipe := getattr(self._process, name):
                        os.set_blocking(pipe.fileno(), False)
                        selector.register(pipe, selectors.EVENT_READ, name)
                while True:
                    running, left_s = ended in selector.get_map(), until_s - time.monotonic()
                    if left_s <= 0:
                        return Stopped.TIMEOUT if running else None
                    # output outlives the child; a grandchild may keep the pipes open
                    if not self._read(selector, left_s if running else 0) and not running:
                        return None
                    if len(self._output["stdout"]) > stdout_max_bytes:
                        return Stopped.TOO_MUCH_OUTPUT
        finally:
            os.close(ended)

    def _read(self, selector: selectors.BaseSelector, wait_s: float) -> bool:
        """Read one piece of each pipe that is ready; False when none was."""
        ready = selector.select(wait_s)
        for key, _ in ready:
            piece = os.read(key.fd, _READ_BYTES) if key.data else b""
            if not piece:
                selector.unregister(key.fileobj)  # the child has ended, or closed this pipe
                continue
            self._output[key.data] += piece
            if key.data == "stderr":
                del self._output["stderr"][:-STDERR_MAX_BYTES]
        return bool(ready)

    def _reap(self) -> int:
        """Wait for the end; return its memory peak, 0 if no more than the parent's."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)  # outside of the lock: `kill` must not block
        with self._lock:
            _, status, used = os.wait4(self.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()
        ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used.ru_maxrss * 1024 if used.ru_maxrss > ours else 0


class JobFailed(Exception):
    """A child gave no result: it crashed, was killed, or took too long."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.description)
        self.ended = ended


def run_job(
    module: str,
    folder: Path,
    job: Mapping[str, Any],
    *,
    limits: Limits,
    timeout_s: float,
    errors: Sequence[type[FerryError]],
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the job's result. Raises JobFailed, or its error by class in `errors`."""
    (folder / _JOB).write_text(json.dumps({"parent": os.getpid(), "job": job}))
    path = os.pathsep.join(filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH"))))
    child = Child(
        [sys.executable, "-P", "-m", module, str(folder)],
        limits=limits,
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        stdout=subprocess.DEVNULL,
    )
    ended = child.wait(timeout_s)
    place = folder / _RESULT
    if ended.returncode or not place.is_file() or place.stat().st_size > RESULT_MAX_BYTES:
        raise JobFailed(ended)
    answer: dict[str, Any] = json.loads(place.read_text())
    if "error" in answer:
        kinds = {error.__name__: error for error in errors}
        raise kinds.get(answer["kind"], errors[0])(answer["error"], hint=answer["hint"])
    return dict(answer["result"])


def serve_job(work: Callable[[Path, dict[str, Any]], dict[str, Any]]) -> None:
    """Run the job of the folder in `sys.argv`; leave its result or error there."""
    folder = Path(sys.argv[1])
    order = json.loads((folder / _JOB).read_text())
    die_with_parent(order["parent"])
    try:
        answer: dict[str, Any] = {"result": work(folder, order["job"])}
    except FerryError as error:
        answer = {"error": error.message, "hint": error.hint, "kind": type(error).__name__}
    (folder / _RESULT).write_text(json.dumps(answer))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")


def memory_peak_bytes() -> int | None:
    """Of this process alone: `ru_maxrss` begins with what its parent had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def set_limit(what: int, value: int, pid: int = 0, *, hard: int | None = None) -> None:
    """Limit a process, 0 being this one; to exceed its hard limit is a privilege."""
    wanted = (value, value if hard is None else hard)
    for _ in range(_LIMIT_TRIES):
        _, highest = resource.prlimit(pid, what)
        with contextlib.suppress(PermissionError):  # it has just lowered the limit itself: read it again
            resource.prlimit(pid, what, wanted if highest == resource.RLIM_INFINITY else _at_most(wanted, highest))
            return
    raise PermissionError(f"the limit {what} of process {pid} cannot be set to {value}")


def _at_most(limits: tuple[int, int], highest: int) -> tuple[int, int]:
    return min(limits[0], highest), min(limits[1], highest)

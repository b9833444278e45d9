"""A child is limited from outside, killed with its group, and its end reported."""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from protocol.errors import BadModel, MissingPart
from protocol.host.child_process import STDERR_MAX_BYTES, Child, Ended, JobFailed, Limits, Stopped, run_job, set_limit

WAIT_S = 60.0  # for a busy machine
LIMITS = Limits(memory_bytes=500_000_000, cpu_s=30)


def ended(program: str, timeout_s: float = WAIT_S, limits: Limits | None = None, *, spare_group: bool = False) -> Ended:
    return Child([sys.executable, "-c", program], limits=limits).wait(timeout_s, spare_group=spare_group)


def test_a_child_that_exits_is_told_with_its_status_and_what_it_wrote() -> None:
    end = ended("import sys; print('out'); sys.exit('no such thing')")
    assert (end.returncode, end.stopped, end.signal_number, end.signal_name) == (1, None, 0, "")
    assert (end.description, end.stdout, end.last_line) == ("exit status 1", b"out\n", "no such thing")


def test_a_child_that_dies_is_told_with_its_signal() -> None:
    end = ended("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (end.signal_number, end.signal_name, end.description) == (11, "SIGSEGV", "signal 11 (segmentation fault)")


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    end = Ended(returncode=-40, stopped=None, wall_s=0.0, memory_peak_bytes=0)
    assert (end.signal_name, end.description.startswith("signal 40")) == ("signal 40", True)


def test_a_child_that_takes_too_long_is_killed() -> None:
    end = ended("import time; time.sleep(600)", timeout_s=0.5)
    assert (end.stopped, end.signal_name) == (Stopped.TIMEOUT, "SIGKILL")
    assert 0.5 <= end.wall_s < WAIT_S


def test_a_child_that_floods_its_pipes_is_killed_or_cut() -> None:
    end = ended("while True: print('x' * 10_000)")
    assert end.stopped is Stopped.TOO_MUCH_OUTPUT
    end = ended("import sys\nfor n in range(1_000): sys.stderr.write('y' * 1_000)\nsys.exit('\\nthe end')")
    assert (end.stopped, len(end.stderr), end.last_line) == (None, STDERR_MAX_BYTES, "the end")


def test_limits_are_set_from_outside_and_never_lifted() -> None:
    program = """
        import json, resource, time
        names = ("AS", "CPU", "CORE", "NOFILE", "FSIZE")
        until = time.monotonic() + 20
        while resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 7 and time.monotonic() < until:  # the last one
            time.sleep(0.01)
        print(json.dumps({name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names}))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    limits = Limits(memory_bytes=900_000_000, cpu_s=60, file_bytes=7, open_files=50)
    found = json.loads(Child(command, limits=limits).wait(WAIT_S).stdout)
    wanted = {"AS": [900_000_000] * 2, "CPU": [60, 61], "CORE": [0, 0], "NOFILE": [50, 50], "FSIZE": [7, 7]}
    assert found == wanted
    owned = ["sh", "-c", 'ulimit -n 40; ulimit -v 800000; exec "$@"', "sh", *command]  # as its owner has set them
    found = json.loads(Child(owned, limits=limits).wait(WAIT_S).stdout)
    assert (found["NOFILE"], found["AS"]) == ([40, 40], [819_200_000] * 2)


def test_a_child_that_eats_processor_time_is_ended_by_the_kernel() -> None:
    end = ended("while True: pass", limits=Limits(memory_bytes=500_000_000, cpu_s=1))
    assert (end.stopped, end.signal_name) == (None, "SIGXCPU")


GRANDCHILD = """
import subprocess, sys
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(grandchild.pid, flush=True)
"""


def is_gone(pid: int) -> bool:
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def test_a_grandchild_neither_delays_the_end_nor_outlives_it() -> None:
    end = ended(GRANDCHILD)
    assert end.returncode == 0
    assert is_gone(int(end.stdout))


def test_a_grandchild_may_be_spared() -> None:
    end = ended(GRANDCHILD, spare_group=True)
    os.kill(int(end.stdout), 9)  # it was alive


def test_another_thread_may_kill_and_a_kill_after_the_end_does_nothing() -> None:
    child = Child([sys.executable, "-c", "import time; time.sleep(600)"])
    threading.Timer(0.1, child.kill).start()
    assert child.wait(WAIT_S).signal_name == "SIGKILL"
    child.kill()


def test_a_program_that_is_not_there_raises() -> None:
    with pytest.raises(FileNotFoundError):
        Child(["/nowhere/program"])


JOB = """
import os, sys, time
from pathlib import Path
from protocol.errors import BadModel, MissingPart, UnknownVersion
from protocol.host.child_process import serve_job

def work(folder, job):
    match job["do"]:
        case "return":
            print("noise on stdout")
            return {"got": job["value"], "limited": os.environ.get("EXTRA")}
        case "refuse":
            raise {"a": BadModel, "b": MissingPart, "c": UnknownVersion}[job["error"]]("no good", hint="mend it")
        case "crash":
            os.abort()
        case "fail":
            raise ZeroDivisionError("our own fault")
        case "sleep":
            Path(job["pipe"]).open("r").read()

if __name__ == "__main__":
    serve_job(work)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a_job_of_tests.py").write_text(JOB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def result_of(folder: Path, timeout_s: float = WAIT_S, **job: object) -> dict[str, object]:
    return run_job(
        "a_job_of_tests",
        folder,
        job,
        limits=LIMITS,
        timeout_s=timeout_s,
        errors=(BadModel, MissingPart),
        environment={"EXTRA": "yes"},
    )


def test_a_job_returns_its_result(folder: Path) -> None:
    assert result_of(folder, do="return", value=[1, "é"]) == {"got": [1, "é"], "limited": "yes"}


@pytest.mark.parametrize(("error", "raised"), [("a", BadModel), ("b", MissingPart), ("c", BadModel)])
def test_an_error_of_a_job_is_raised_again_in_one_of_the_expected_classes(
    folder: Path, error: str, raised: type[BadModel | MissingPart]
) -> None:
    with pytest.raises(raised) as caught:
        result_of(folder, do="refuse", error=error)
    assert (type(caught.value), caught.value.message, caught.value.hint) == (raised, "no good", "mend it")


def test_a_job_without_a_result_fails_with_how_its_child_ended(folder: Path) -> None:
    with pytest.raises(JobFailed) as failed:
        result_of(folder, do="crash")
    assert failed.value.ended.signal_name == "SIGABRT"
    with pytest.raises(JobFailed) as failed:
        result_of(folder, do="fail")
    assert failed.value.ended.last_line == "ZeroDivisionError: our own fault"
    os.mkfifo(folder / "pipe")
    with pytest.raises(JobFailed) as failed:
        result_of(folder, timeout_s=0.5, do="sleep", pipe=str(folder / "pipe"))
    assert failed.value.ended.stopped is Stopped.TIMEOUT


PARENT = """
import resource
import sys
from pathlib import Path
from protocol.errors import BadModel
from protocol.host.child_process import Limits, run_job
job = {"do": "sleep", "pipe": sys.argv[2]}
limits = Limits(memory_bytes=500_000_000, cpu_s=30)
run_job("a_job_of_tests", Path(sys.argv[1]), job, limits=limits, timeout_s=600, errors=(BadModel,))
"""


def test_a_job_dies_with_its_parent(folder: Path) -> None:
    """The child reads a named pipe, and closes it as it dies with its parent."""
    stuck = folder / "pipe"
    os.mkfifo(stuck)
    project = Path(__file__).resolve().parents[4]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder), str(stuck)], cwd=project)
    with stuck.open("wb") as pipe:  # opens as soon as the child reads
        parent.kill()
        parent.wait()
        no_reader = select.poll()
        no_reader.register(pipe, select.POLLERR)
        assert no_reader.poll(WAIT_S * 1000) != []


def test_a_child_that_lowers_its_own_limit_meanwhile_is_limited_all_the_same() -> None:
    lowering = (
        "import resource, time\n"
        "for most in range(3_000, 1_000, -1):\n  resource.setrlimit(7, (most, most)); time.sleep(1e-4)"
    )
    with subprocess.Popen([sys.executable, "-S", "-c", lowering], stderr=subprocess.PIPE, text=True) as child:
        while child.poll() is None:  # reading and setting a limit is not one step
            set_limit(resource.RLIMIT_NOFILE, 1_000_000, child.pid)
        assert child.stderr is not None
        assert child.returncode == 0, child.stderr.read()

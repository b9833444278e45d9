"""The program that tries a candidate: `python -m device_client.adapters.sandbox.child JOB`. What it opens may kill it.

The golden set is read before the memory limit falls, for it is ours; the candidate is opened after. Not meant to be
called by anything but the prover, which sets the other limits.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Final

from device_client.adapters.runtime.tflite import OpenModel, check_delegates, check_runtime, open_model
from device_client.adapters.sandbox.golden_set import LoadedGoldenSet, load_golden
from device_client.adapters.sandbox.messages import TrialActivity, TrialJob, TrialReport, used_more
from protocol.errors import FerryError

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Try the candidate of the order; the last line on stdout is the report."""
    order = TrialJob.model_validate_json(sys.argv[1])
    _die_with(order.parent)
    try:
        report = _try(order)
    except MemoryError:
        report = TrialReport(
            passed=False, reason=used_more(order.memory_max_bytes, order.memory_by), out_of_memory=True
        )
    except FerryError as refused:
        report = TrialReport(passed=False, reason=str(refused)[:500])
    _say(report.model_copy(update={"memory_peak_bytes": _memory_peak_bytes()}))


def _try(order: TrialJob) -> TrialReport:
    _begin("reading the golden set")
    contract = order.contract
    golden = load_golden(Path(order.golden), order.variant, len(contract.inputs), len(contract.outputs))
    _begin("starting the runtime")
    check_runtime()  # loads all that is not the candidate's doing before the limit falls
    check_delegates(order.delegates)
    _limit_memory(order.memory_max_bytes)
    _begin("opening the file")
    model = open_model(Path(order.model), delegates=order.delegates)
    contract.check_successor(model.contract)
    _begin("running the golden set")
    return _compare(model, golden, order.tolerance)


def _compare(model: OpenModel, golden: LoadedGoldenSet, tolerance: float) -> TrialReport:
    """Run every sample; the first one beyond the tolerance ends it."""
    model.run(golden.input(0))  # the first run prepares kernels; it is not timed
    largest, times_s = 0.0, []
    for sample in range(golden.samples):
        begun = time.perf_counter()
        outputs = model.run(golden.input(sample))
        times_s.append(time.perf_counter() - begun)
        difference = golden.largest_difference(sample, outputs)
        if difference.error > tolerance:
            allowed = f", allowed {tolerance:g}" if math.isfinite(difference.error) else ""
            error = difference.error if math.isfinite(difference.error) else None
            return TrialReport(passed=False, reason=difference.told + allowed, samples=sample + 1, max_error=error)
        largest = max(largest, difference.error)
    p50_ms = sorted(times_s)[len(times_s) // 2] * 1000
    reason = f"{golden.samples} golden samples within {largest:.2g}, allowed {tolerance:g}; {p50_ms:.2g} ms each"
    return TrialReport(
        passed=True, reason=reason, samples=golden.samples, max_error=largest, latency_ms_p50=round(p50_ms, 4)
    )


def _limit_memory(more_bytes: int) -> None:
    """Allow so much address space beyond what the interpreter and its libraries have taken up to now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    allowed_bytes = pages * resource.getpagesize() + more_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        allowed_bytes = min(allowed_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (allowed_bytes, allowed_bytes))


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the one that ordered the trial is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the process that ordered this trial is gone")


def _begin(doing: str) -> None:
    _say(TrialActivity(doing=doing, memory_peak_bytes=_memory_peak_bytes()))


def _memory_peak_bytes() -> int | None:
    """Of this process alone: `ru_maxrss` begins with what the one that started it had."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _say(words: TrialActivity | TrialReport) -> None:
    sys.stdout.write(words.model_dump_json() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

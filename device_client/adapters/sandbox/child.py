"""The program of `parent`: tries the candidate of a job, which may kill this process.

Golden set and libraries are trusted and loaded before it lowers its memory limit, the
candidate after. `parent` sets the other limits.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from pathlib import Path

from device_client.adapters.runtime.tflite import Array, OpenModel, check_delegates, check_runtime, open_model
from device_client.adapters.sandbox.golden_set import LoadedGoldenSet, load_golden
from device_client.adapters.sandbox.messages import TrialActivity, TrialJob, TrialReport, used_more
from protocol.errors import FerryError
from protocol.host.child_process import die_with_parent, memory_peak_bytes, set_limit
from protocol.preprocessing.preprocessor import Preprocessor, preprocessor_of


def main() -> None:
    """Try the candidate of the job; the last line on stdout is the report."""
    job = TrialJob.model_validate_json(sys.argv[1])
    die_with_parent(job.parent)
    try:
        report = _try(job)
    except MemoryError:
        report = TrialReport(passed=False, reason=used_more(job.memory_max_bytes, job.memory_by), out_of_memory=True)
    except FerryError as refused:
        report = TrialReport(passed=False, reason=str(refused)[:500])
    _send(report.model_copy(update={"memory_peak_bytes": memory_peak_bytes()}))


def _try(job: TrialJob) -> TrialReport:
    _begin("reading the golden set")
    contract = job.contract
    preprocessor = preprocessor_of(job.preprocessing, contract)
    golden = load_golden(Path(job.golden), job.variant, len(contract.inputs), len(contract.outputs))
    _begin("starting the runtime")
    check_runtime()
    check_delegates(job.delegates)
    _limit_memory(job.memory_max_bytes)
    _begin("opening the file")
    model = open_model(Path(job.model), delegates=job.delegates)
    contract.check_file(model.contract)
    _begin("running the golden set")
    return _compare(model, golden, job.tolerance, preprocessor)


def _compare(
    model: OpenModel, golden: LoadedGoldenSet, tolerance: float, preprocessor: Preprocessor | None
) -> TrialReport:
    """Run every sample, up to the first one beyond the tolerance."""
    model.run(_prepared(golden.input(0), preprocessor))  # the first run prepares kernels; it is not timed
    largest, times_s = 0.0, []
    for sample in range(golden.samples):
        begun = time.perf_counter()
        outputs = model.run(_prepared(golden.input(sample), preprocessor))
        times_s.append(time.perf_counter() - begun)
        difference = golden.largest_difference(sample, outputs)
        if difference.error > tolerance:
            error = difference.error if math.isfinite(difference.error) else None
            reason = difference.description + ("" if error is None else f", allowed {tolerance:g}")
            return TrialReport(passed=False, reason=reason, samples=sample + 1, max_error=error)
        largest = max(largest, difference.error)
    p50_ms = sorted(times_s)[len(times_s) // 2] * 1000
    reason = f"{golden.samples} golden samples within {largest:.2g}, allowed {tolerance:g}; {p50_ms:.2g} ms each"
    return TrialReport(
        passed=True, reason=reason, samples=golden.samples, max_error=largest, latency_ms_p50=round(p50_ms, 4)
    )


def _prepared(raw: list[Array], preprocessor: Preprocessor | None) -> list[Array]:
    """A golden sample, stored as an application gives it, as the model takes it."""
    if preprocessor is None:
        return raw
    return preprocessor.apply(preprocessor.arrange(raw[0] if len(raw) == 1 else raw)[0])


def _limit_memory(more_bytes: int) -> None:
    """Allow so much address space beyond what interpreter and libraries have taken."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    set_limit(resource.RLIMIT_AS, pages * resource.getpagesize() + more_bytes)


def _begin(activity: str) -> None:
    _send(TrialActivity(doing=activity, memory_peak_bytes=memory_peak_bytes()))


def _send(message: TrialActivity | TrialReport) -> None:
    sys.stdout.write(message.model_dump_json() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""The program of `parent`: tries the candidate of a job, which may kill this process.

Golden set and libraries are trusted and loaded before it lowers its memory limit, the
candidate after. `parent` sets the other limits.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device_client.adapters.runtime.tflite import Array, OpenModel, check_delegates, check_runtime, open_model
from device_client.adapters.sandbox.comparison import OutputComparison
from device_client.adapters.sandbox.golden_set import StoredGoldenSet, load_golden
from device_client.adapters.sandbox.messages import TrialActivity, TrialJob, TrialReport, used_more
from protocol.errors import FerryError, MissingPart
from protocol.host.child_process import die_with_parent, memory_peak_bytes, set_limit
from protocol.messages.manifest import GoldenBound
from protocol.preprocessing.preprocessor import Preprocessor, preprocessor_of

SAMPLE_COPIES: Final = 4  # as stored, unpacked, converted, and as the runtime gives it


def main() -> None:
    """Try the candidate of the job; the last line on stdout is the report."""
    job = TrialJob.model_validate_json(sys.argv[1])
    die_with_parent(job.parent)
    try:
        report = _try(job)
    except MemoryError:
        report = TrialReport(passed=False, reason=used_more(job.memory_max_bytes, job.memory_by), out_of_memory=True)
    except MissingPart as missing:
        report = TrialReport(passed=False, reason=str(missing)[:500], lacking=True)
    except FerryError as refused:
        report = TrialReport(passed=False, reason=str(refused)[:500])
    _send(report.model_copy(update={"memory_peak_bytes": memory_peak_bytes()}))


def _try(job: TrialJob) -> TrialReport:
    _begin("reading the golden set")
    contract = job.contract
    preprocessor = preprocessor_of(job.preprocessing, contract)
    golden = load_golden(Path(job.golden), job.variant, contract)
    _begin("starting the runtime")
    check_runtime()
    check_delegates(job.delegates)
    _limit_memory(job.memory_max_bytes + SAMPLE_COPIES * golden.sample_bytes_max)
    _begin("opening the file")
    model = open_model(Path(job.model), delegates=job.delegates, contract=contract)
    _begin("running the golden set")
    bounds = job.bounds or (GoldenBound(tolerance=job.tolerance),) * len(contract.outputs)
    return _compare(
        GoldenRunner(model, preprocessor),
        golden,
        OutputComparison(bounds, contract.outputs, golden.samples * golden.steps),
    )


@dataclass(frozen=True, slots=True)
class GoldenRunner:
    """Runs golden inputs as they are stored: as an application gives them."""

    model: OpenModel
    preprocessor: Preprocessor | None

    def run(self, raw: list[Array]) -> list[Array]:
        return self.model.step(_prepared(raw, self.preprocessor))


def _compare(runner: GoldenRunner, golden: StoredGoldenSet, comparison: OutputComparison) -> TrialReport:
    """Run every sample, up to the one that decides that the candidate is refused."""
    runner.run(golden.inputs(0)[0])  # the first run prepares kernels; it is not timed
    times_s: list[float] = []
    for sample in range(golden.samples):
        if runner.model.contract.stateful:
            runner.model.reset()  # each sequence begins in the initial state
        refusal = _compare_sample(runner, golden, sample, comparison, times_s)
        if refusal:
            return TrialReport(passed=False, reason=refusal, samples=sample + 1, max_error=comparison.largest)
    p50_ms = sorted(times_s)[len(times_s) // 2] * 1000
    return TrialReport(
        passed=True,
        reason=f"{_passed(golden, comparison)}; {p50_ms:.2g} ms each",
        samples=golden.samples,
        max_error=comparison.largest,
        latency_ms_p50=round(p50_ms, 4),
    )


def _compare_sample(
    runner: GoldenRunner, golden: StoredGoldenSet, sample: int, comparison: OutputComparison, times_s: list[float]
) -> str:
    """Run the steps of a sample; the reason of a refusal, or empty."""
    expected = golden.expected(sample)
    for step, inputs in enumerate(golden.inputs(sample)):
        begun = time.perf_counter()
        outputs = runner.run(inputs)
        times_s.append(time.perf_counter() - begun)
        for index, values in enumerate(outputs):
            seen = golden.seen(index, values)
            refusal = comparison.refusal(sample, index, seen if expected is None else expected[step][index], seen)
            if refusal:
                return refusal
    return ""


def _passed(golden: StoredGoldenSet, comparison: OutputComparison) -> str:
    counted = f"{golden.samples} golden samples"
    if golden.expected(0) is None:
        return f"{counted} give finite outputs, to which the publisher has none to compare"
    allowed = max(bound.tolerance for bound in comparison.bounds)
    return f"{counted} within {comparison.largest:.2g}, allowed {allowed:g}"


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

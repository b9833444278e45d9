"""A device that takes a 60 MB model needs little more memory than when idle."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.content.encodings import RAW, ZSTD
from tests.brokers import mosquitto, url_of
from tests.integration import fleet_models
from tests.integration.fleet import a_device, running
from tests.integration.fleet_observer import observing
from tests.integration.unchecked_publisher import Source, UncheckedPublisher

ALLOWED_BYTES = 40_000_000
LARGE_BYTES = 60_000_000


def peak_bytes(pid: int) -> int:
    """The peak of a process's resident memory since `forget_peak`, or its start."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])  # type: ignore[index] # Linux has it


def forget_peak(pid: int) -> None:
    """Let the peak begin again at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@pytest.fixture(scope="module")
def large(once_per_run: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once_per_run("fleet large", fleet_models.make_large) / "large.tflite"


@pytest.mark.parametrize("kind", [pytest.param(RAW, marks=pytest.mark.slow), ZSTD])  # zstd takes more
def test_a_60_mb_model_comes_in_within_40_mb(large: Path, tmp_path: Path, kind: str) -> None:
    assert large.stat().st_size >= LARGE_BYTES
    with (
        mosquitto() as broker,
        UncheckedPublisher(url_of(broker), tmp_path) as publisher,
        observing(url_of(broker)) as observer,
    ):
        publisher.add_version("1.0.0", Source.of(large, kinds=(kind,), golden_samples=2))
        pi = a_device(tmp_path / "pi", "pi", broker.url, publisher.authority.root, download={"window": 8})
        with running(pi) as process:
            observer.state("pi", "idle")
            forget_peak(process.popen.pid)
            idle_bytes = peak_bytes(process.popen.pid)
            publisher.announce("1.0.0")
            observer.state("pi", "proving")
            most_bytes = peak_bytes(process.popen.pid)
            observer.state("pi", "probation")
            assert process.stop() == 0, process.stderr
    figures = f"{kind}: idle {idle_bytes / 1e6:.1f} MB, at most {most_bytes / 1e6:.1f} MB"
    sys.stdout.write(f"{figures}\n")
    assert most_bytes - idle_bytes <= ALLOWED_BYTES, figures

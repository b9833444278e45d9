"""A 60 MB model on its way into a device: the process takes little more memory than it has when idle."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from protocol.content.encodings import RAW, ZSTD
from tests.brokers import mosquitto, url_of
from tests.integration import fleet_models
from tests.integration.fleet import a_device, running
from tests.integration.fleet_observer import observing
from tests.integration.unchecked_publisher import Source, UncheckedPublisher
from tests.recorder import WITHIN_S

ALLOWED_BYTES = 40_000_000
SAMPLES_A_SECOND = 20
LARGE_BYTES = 60_000_000


class Scale:
    """Weighs a process from outside, again and again; the child that proves a candidate is another process."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self.samples: list[int] = []
        self._thread = threading.Thread(target=self._weigh, daemon=True)

    def now(self) -> int:
        """Resident bytes."""
        return int(self._process.memory_info().rss)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> int:
        """End; the most that was seen."""
        self._stop.set()
        self._thread.join()
        return max(self.samples)

    def _weigh(self) -> None:
        while not self._stop.wait(1 / SAMPLES_A_SECOND):
            self.samples.append(self.now())


@pytest.fixture(scope="module")
def large(once_per_run: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once_per_run("fleet large", fleet_models.make_large) / "large.tflite"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", [pytest.param(RAW, marks=pytest.mark.slow), ZSTD])  # zstd takes more
def test_a_60_mb_model_comes_in_within_40_mb(large: Path, tmp_path: Path, kind: str) -> None:
    assert large.stat().st_size >= LARGE_BYTES
    # three seconds and more, so that the scale sees enough of it
    download = {"rate_max_bytes_s": 40_000_000, "window": 8}
    with (
        mosquitto() as broker,
        UncheckedPublisher(url_of(broker), tmp_path) as publisher,
        observing(url_of(broker)) as observer,
    ):
        publisher.add_version("1.0.0", Source.of(large, kinds=(kind,), golden_samples=2))
        pi = a_device(tmp_path / "pi", "pi", broker.url, publisher.authority.root, download=download)
        with running(pi) as process:
            observer.state("pi", "idle", within_s=WITHIN_S)
            scale = Scale(process.popen.pid)
            idle_bytes = scale.now()
            scale.start()
            publisher.announce("1.0.0")
            observer.state("pi", "proving", within_s=4 * WITHIN_S)
            most_bytes = scale.stop()
            observer.state("pi", "probation", within_s=4 * WITHIN_S)
            assert process.stop() == 0, process.stderr
    figures = f"{kind}: idle {idle_bytes / 1e6:.1f} MB, at most {most_bytes / 1e6:.1f} MB in {len(scale.samples)} looks"
    sys.stdout.write(f"{figures}\n")
    assert len(scale.samples) >= SAMPLES_A_SECOND, "too short a look at it"
    assert most_bytes - idle_bytes <= ALLOWED_BYTES, figures

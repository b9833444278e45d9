"""A broker for each test, and models that are built once for all workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.brokers import Mosquitto, mosquitto
from tests.integration import fleet_models, models
from tests.integration.publisher_cli import PublisherCli, a_publisher

OncePerRun = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    """A real mosquitto on a free port."""
    with mosquitto() as running:
        yield running


@pytest.fixture
def publisher(tmp_path: Path, broker: Mosquitto) -> PublisherCli:
    """A new registry, and that broker."""
    return a_publisher(tmp_path, broker.url)


@pytest.fixture(scope="session")
def digits(once_per_run: OncePerRun) -> Path:
    """A folder with versions of the digits model; read-only."""
    return once_per_run("fleet digits", fleet_models.make_digits)


@pytest.fixture(scope="session")
def flowers(once_per_run: OncePerRun) -> Path:
    """A very small model's file."""
    return once_per_run("models", models.make) / "flowers-float32.tflite"


@pytest.fixture(scope="session")
def big(once_per_run: OncePerRun) -> Path:
    """The file of a model of many chunks."""
    return once_per_run("models", models.make) / "big.tflite"

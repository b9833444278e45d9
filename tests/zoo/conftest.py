"""A registry and a broker for all files of one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.brokers import mosquitto
from tests.integration.publisher_cli import PublisherCli, a_publisher


@dataclass(frozen=True, slots=True)
class Fleet:
    """A publisher, and the root of trust of its devices."""

    publisher: PublisherCli
    root: bytes


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with mosquitto() as broker:
        publisher = a_publisher(Path(tmp_path_factory.mktemp("zoo")), broker.url)
        yield Fleet(publisher, publisher.enrolled_root())

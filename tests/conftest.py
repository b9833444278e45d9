"""For every test: a clean environment, the broker program, work done once for all
workers.

Builders of domain objects are in tests/builders.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# tflite-runtime opens no model after TensorFlow was imported ("vector::reserve"); the
# other way round both work.
with contextlib.suppress(ModuleNotFoundError):
    import tflite_runtime.interpreter  # noqa: F401  (imported for its place in the order)

settings.register_profile("full", deadline=None, print_blob=True)  # a busy machine is no failure
settings.register_profile("fast", settings.get_profile("full"), max_examples=12, stateful_step_count=25)
settings.load_profile("full")  # scripts/test --fast: --hypothesis-profile=fast

for name in [name for name in os.environ if name.startswith("EDGEFERRY_")]:
    del os.environ[name]  # a developer's own broker or registry is never touched by a test
os.environ.pop("FORCE_COLOR", None)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture(scope="session")
def mosquitto_program() -> Path:
    """The installed mosquitto; without it the test fails and says how to install it."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")
    if found is None:
        pytest.fail("mosquitto is not installed: sudo apt-get install mosquitto mosquitto-clients", pytrace=False)
    return Path(found)


@pytest.fixture(scope="session")
def once_per_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Give `once_per_run(name, make)`: a folder that `make` filled, shared by all
    workers.

    The first worker calls `make(folder)`, the others wait. Treat it as read-only.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def filled(name: str, make: Callable[[Path], None]) -> Path:
        folder = shared / f"once-{re.sub(r'[^a-z0-9]+', '-', name.lower())}"
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                making = folder.with_suffix(".making")
                shutil.rmtree(making, ignore_errors=True)  # left by a worker whose `make` failed
                making.mkdir()
                make(making)
                making.rename(folder)
        return folder

    return filled

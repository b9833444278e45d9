"""A device that swaps versions of five files, and is killed again and again.

`python -m tests.integration.version_swapper FOLDER KILLS` prints what readers saw, as
JSON. The store, the serving and the effects of a swap are the product's; a fetch is a
copy, and the saved state a file. Every file of a version says which version it is of.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from device_client.adapters.runtime.self_test_model import self_test_model
from device_client.adapters.runtime.tflite import open_model
from device_client.adapters.storage.file_store import FileStore
from device_client.adapters.storage.version_folders import hold_folder
from device_client.core import effects as do
from device_client.core.state import Installed
from device_client.engine.file_effects import FileEffects
from device_client.engine.trial_effects import TrialEffects
from device_client.ports.context import Adapters, Clock
from device_client.serving.live_serving import LiveServing
from protocol.content.chunks import name as hash_of
from protocol.host.files import rename_durably, write_durably
from tests.builders import a_manifest, a_variant, a_version_file

VERSIONS: Final = ("1.0.0", "2.0.0", "3.0.0", "4.0.0")
NAMES: Final = ("anchors.npy", "labels.txt", "thresholds.json", "tokens.bin")  # and the model: five
RATE_HZ: Final = 200.0
LIFE_MAX_S: Final = 0.6
COUNTED: Final = ("starts", "swaps", "predictions", "looks within", "looks by lock", "looks without", "gone", "mixed")


class Counts:
    """Counters that a killed process leaves; each has one writer at a time."""

    def __init__(self) -> None:
        self._numbers = np.frombuffer(mmap.mmap(-1, 8 * len(COUNTED)), np.int64)

    def add(self, name: str) -> None:
        self._numbers[COUNTED.index(name)] += 1

    def told(self) -> dict[str, int]:
        return dict(zip(COUNTED, map(int, self._numbers), strict=True))


def content_of(version: str, name: str) -> bytes:
    """Bytes that end with the version; a model may have any behind it."""
    start = self_test_model() if name == "model.tflite" else f"{name}\n".encode() * 3_000
    return start + f"\n{version}\n".encode()


def version_in(path: Path) -> str:
    return path.read_bytes().decode(errors="replace").rpartition("\n")[0].rpartition("\n")[2]


def installed(version: str, folder: Path) -> Installed:
    path = folder / "self-test"
    path.write_bytes(self_test_model())
    variant = a_variant().model_copy(update={"sha256": hash_of(content_of(version, "model.tflite"))})
    files = tuple(
        a_version_file(name).model_copy(update={"sha256": hash_of(content_of(version, name))}) for name in NAMES
    )
    manifest = a_manifest(
        version,
        variants=[variant],
        files=files,
        labels=(),
        labels_file="labels.txt",
        contract=open_model(path).contract,
    )
    return Installed(manifest=manifest, variant=variant)


class Swapper:
    """The device: what it saved before a kill is what it starts from."""

    def __init__(self, folder: Path, versions: dict[str, Installed], counts: Counts) -> None:
        self._folder, self._versions, self._counts = folder, versions, counts
        self._saved = folder / "saved.json"
        clock = Clock(time.monotonic, cast(Any, None))
        self.store = FileStore(folder / "model")
        self.serving = LiveServing()
        other = cast(Any, None)
        adapters = Adapters(self.store, other, self.serving, other, other, other, other, clock)
        self._files = FileEffects("model", self.store, clock)
        self._trials = TrialEffects(adapters, self._files, lambda _: None)

    def run(self) -> None:
        """Serve what was saved, then swap for ever."""
        live, previous = self._load()
        self._swap(live)
        self._counts.add("starts")
        threading.Thread(target=self._predict, daemon=True).start()
        while True:
            following = random.choice([version for version in VERSIONS if version != live])
            live, previous = following, live
            self._fetch(live)
            write_durably(self._saved, json.dumps([live, previous]).encode(), 0o644)
            self._swap(live)
            self._counts.add("swaps")
            kept = self._versions[live].files() | self._versions[previous].files()
            self._files.keep_only(do.KeepOnly(tuple(kept)))

    def _load(self) -> tuple[str, str]:
        if not self._saved.exists():
            self._fetch(VERSIONS[0])
            write_durably(self._saved, json.dumps([VERSIONS[0]] * 2).encode(), 0o644)
        live, previous = json.loads(self._saved.read_text())
        return live, previous

    def _swap(self, version: str) -> None:
        failed = self._trials.swap(self._versions[version])
        assert failed is None, failed

    def _fetch(self, version: str) -> None:
        for name in ("model.tflite", *NAMES):
            content = content_of(version, name)
            path = self.store.path(hash_of(content))
            if not self.store.has(path.name):
                fresh = path.with_name("fetching")
                fresh.write_bytes(content)
                rename_durably(fresh, path)

    def _predict(self) -> None:
        """The application: predict at a rate, and read the files of one version."""
        x = np.ones(2, np.float32)
        while True:
            answer = self.serving.predict(x)
            assert answer.output.tolist() == [2.0, 2.0]
            self._counts.add("predictions")
            with self.serving.files() as files:
                seen = {version_in(path) for path in files.values()}
                if seen != {files.version} or set(files) != {"model.tflite", *NAMES}:
                    self._counts.add("mixed")
            self._counts.add("looks within")
            time.sleep(1 / RATE_HZ)


def read_for_ever(folder: Path, counts: Counts) -> None:
    """Another program: once with a lock, once without one."""
    current = folder / "model" / "current"
    while True:
        try:
            resolved = current.resolve(strict=True)
        except FileNotFoundError:
            continue  # before the first start
        with hold_folder(resolved) as held:
            if held:
                _look(resolved, counts, "looks by lock", _never_gone)
        _look(current.resolve(), counts, "looks without", lambda: counts.add("gone"))


def _look(folder: Path, counts: Counts, counter: str, on_gone: Callable[[], None]) -> None:
    try:
        seen = {version_in(folder / name) for name in ("model.tflite", *NAMES)}
    except FileNotFoundError:
        on_gone()
        return
    counts.add(counter)
    if len(seen) != 1 or not seen <= set(VERSIONS):
        counts.add("mixed")


def _never_gone() -> None:
    raise AssertionError("a folder that was held lost a file")


def _forked(work: Callable[[], None]) -> int:
    """Run it in a process of its own, which ends with 1 if it fails."""
    pid = os.fork()
    if pid:
        return pid
    threading.excepthook = lambda failed: _end(failed.exc_value)
    try:
        work()
    except BaseException as failed:  # noqa: BLE001 - the process must not go on as its parent
        _end(failed)
    os._exit(1)


def _end(failed: BaseException | None) -> None:
    sys.stderr.write(f"{type(failed).__name__}: {failed}\n")
    sys.stderr.flush()
    os._exit(1)


def main(folder: Path, kills: int) -> None:
    counts = Counts()
    versions = {version: installed(version, folder) for version in VERSIONS}
    reader = _forked(lambda: read_for_ever(folder, counts))
    ends = set()
    for number in range(kills):
        random.seed(number)
        swapper = _forked(lambda: Swapper(folder, versions, counts).run())
        time.sleep(random.uniform(0.01, LIFE_MAX_S))
        os.kill(swapper, signal.SIGKILL)
        ends.add(os.waitpid(swapper, 0)[1])
    os.kill(reader, signal.SIGKILL)
    ends.add(os.waitpid(reader, 0)[1])
    sys.stdout.write(json.dumps({**counts.told(), "ends": sorted(ends), "kills": kills}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

"""EdgeModel through swaps, holds, and days without a broker."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from device_client import EdgeModel
from device_client.adapters.runtime.tflite import open_model
from protocol.errors import BadInput, BadSettings, Busy, MissingPart
from protocol.topics import Kind
from tests.brokers import Mosquitto, mosquitto, url_of
from tests.integration import fleet_models
from tests.integration.fleet import PROJECT, DeviceFolder, a_device, run_command, running
from tests.integration.fleet_observer import FleetObserver, observing
from tests.integration.unchecked_publisher import Source, UncheckedPublisher
from tests.recorder import WITHIN_S

ROWS = 30


@dataclass(frozen=True)
class Scene:
    """A broker with 1.0.0 and 2.0.0 on it, and a device that was never started."""

    broker: Mosquitto
    publisher: UncheckedPublisher
    observer: FleetObserver
    pi: DeviceFolder
    x: NDArray[np.float32]
    right: dict[str, NDArray[np.float32]]

    def installs(self, version: str = "1.0.0") -> None:
        """Let the device fetch a version, and end."""
        self.publisher.announce(version)
        with EdgeModel(self.pi.config) as model:
            assert model.wait_ready(WITHIN_S)
            while (device := self.pi.remembered()) is None or device.phase.value != "committed":
                model.predict(self.x[0])  # what probation counts

    def saved(self, folder: Path) -> Path:
        path = folder / "rows.npz"
        np.savez(path, x=self.x)
        return path


@pytest.fixture
def scene(digits: Path, tmp_path: Path) -> Iterator[Scene]:
    x = np.random.default_rng(9).uniform(0, 1, (ROWS, 784)).astype(np.float32)
    with (
        mosquitto() as broker,
        UncheckedPublisher(url_of(broker), tmp_path) as publisher,
        observing(url_of(broker)) as observer,
    ):
        right = {}
        for number, version in enumerate(("1.0.0", "2.0.0", "3.0.0")):
            tflite = tmp_path / f"{version}.tflite"
            tflite.write_bytes(fleet_models.nudged(digits, number))
            publisher.add_version(version, Source.of(tflite))
            right[version] = open_model(tflite).run([x])[0]
        pi = a_device(tmp_path / "pi", "pi", broker.url, publisher.authority.root)
        yield Scene(broker, publisher, observer, pi, x, right)


def test_four_threads_ask_through_two_swaps_and_none_gets_less_than_a_right_answer(scene: Scene) -> None:
    scene.publisher.announce("1.0.0")
    stop, seen = threading.Event(), Counter[str]()
    current = scene.pi.files() / "current.tflite"

    def ask(model: EdgeModel, first: int) -> None:
        row = first
        while not stop.is_set():
            answer = model.predict(scene.x[row])
            np.testing.assert_allclose(answer.output, scene.right[answer.version][row], atol=1e-4)
            seen[answer.version] += 1
            row = (row + 1) % ROWS
            stop.wait(0.002)

    def look() -> set[str]:
        """Another program's view: whenever it looks, the link leads to a whole file."""
        seen_files = set()
        while not stop.wait(0.01):
            name = current.resolve().name
            content = current.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            assert digest in {name, current.resolve().name}, "it may be another one by now, but a whole one"
            seen_files.add(digest)
        return seen_files

    with EdgeModel(scene.pi.config) as model, ThreadPoolExecutor(5) as pool:
        assert model.wait_ready(WITHIN_S)
        while not current.exists():
            time.sleep(0.01)  # made just after the first answer can be given
        try:
            asking = [pool.submit(ask, model, first) for first in range(0, 4 * 7, 7)]
            looking = pool.submit(look)
            for version in ("1.0.0", "2.0.0", "3.0.0"):
                scene.publisher.announce(version)
                scene.observer.state("pi", "committed", installed_version=version)
        finally:
            stop.set()
        for thread in asking:
            thread.result()
        assert len(looking.result()) == len(scene.right)
        assert model.version == "3.0.0"
    assert set(seen) == {"1.0.0", "2.0.0", "3.0.0"}


def test_without_any_broker_it_answers_with_what_is_installed(scene: Scene, tmp_path: Path) -> None:
    scene.installs()
    scene.broker.stop()
    with EdgeModel(scene.pi.config) as model:
        assert model.wait_ready(WITHIN_S)
        assert model.version == "1.0.0"
        np.testing.assert_allclose(model.predict(scene.x).output, scene.right["1.0.0"], atol=1e-4)
        assert model.label(model.predict(scene.x[0]), 3) is True
    said = run_command("predict", str(scene.saved(tmp_path)), "--config", str(scene.pi.config), "--row", "3", "--json")
    assert said.code == 0
    np.testing.assert_allclose(json.loads(said.out)["output"], scene.right["1.0.0"][3], atol=1e-4)


def test_a_file_that_was_damaged_while_the_power_was_off_is_fetched_anew_and_never_opened(
    scene: Scene, tmp_path: Path
) -> None:
    scene.installs()
    device = scene.pi.remembered()
    assert device is not None
    assert device.live is not None
    file = scene.pi.files() / "files" / device.live.variant.sha256
    os.truncate(file, file.stat().st_size // 2)
    result = run_command("predict", str(scene.saved(tmp_path)), "--config", str(scene.pi.config))
    assert result.code == 4
    assert "holds other bytes than were signed" in result.err
    since = scene.observer.mark()
    with running(scene.pi, "--replay", str(scene.saved(tmp_path)), "--rate", "50") as process:
        said = scene.observer.state("pi", "committed", since=since)
        assert said["installed_version"] == "1.0.0"
        assert process.stop() == 0, process.stderr
    reasons = [status["reason"] for status in scene.observer.of(Kind.STATUS, "pi", since)]
    assert any("the file of 1.0.0 could not be opened" in reason for reason in reasons), reasons
    scene.pi.check_files()


def test_before_the_first_version_it_says_so_and_can_be_waited_for(scene: Scene) -> None:
    with EdgeModel(scene.pi.config) as model:
        assert model.version is None
        assert model.wait_ready(0.05) is False
        with pytest.raises(MissingPart, match="no model is installed yet"):
            model.predict(scene.x[0])
        scene.publisher.announce("1.0.0")
        assert model.wait_ready(WITHIN_S)
        assert model.predict(scene.x[0]).version == "1.0.0"


def test_the_application_can_hold_updates_even_over_a_restart(scene: Scene) -> None:
    scene.installs()
    with EdgeModel(scene.pi.config) as model:
        model.hold("a drive is under way")
    scene.publisher.announce("2.0.0")
    with EdgeModel(scene.pi.config) as model:
        said = scene.observer.state("pi", "deferred", latest_version="2.0.0")
        assert said["reason"] == "the application holds updates: a drive is under way"
        assert model.predict(scene.x[0]).version == "1.0.0"
        model.release_hold()
        model.release_hold()  # twice is no mistake
    with EdgeModel(scene.pi.config) as model:  # else it looks again within half a minute
        assert model.wait_ready(WITHIN_S)
        until_s = time.monotonic() + WITHIN_S
        for x in itertools.cycle(scene.x):  # a trial needs inputs that differ
            if model.predict(x).version == "2.0.0":
                break
            assert time.monotonic() < until_s


def test_a_model_that_was_closed_says_so_and_may_be_closed_again(scene: Scene) -> None:
    scene.installs()
    with EdgeModel(scene.pi.config) as model:
        assert model.wait_ready(WITHIN_S)
        model.close()
        others = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]  # they get the numbers that were let go
        model.close()
        with pytest.raises(MissingPart, match="the model was closed"):
            model.predict(scene.x[0])
        model.hold("for later")  # a file: it needs no updater
        model.release_hold()
        shutil.rmtree(scene.pi.state)
        with pytest.raises(BadInput, match="updates cannot be held"):
            model.hold("in vain")
    for other in others:
        os.close(other)


def test_a_second_application_is_sent_away_and_the_first_does_not_notice(scene: Scene) -> None:
    scene.installs()
    with EdgeModel(scene.pi.config) as model:
        result = run_command("run", "--config", str(scene.pi.config))
        assert (result.code, "already runs with the folder" in result.err) == (Busy.exit_code, True), result
        assert model.wait_ready(WITHIN_S)
        assert model.predict(scene.x[0]).version == "1.0.0"
    with EdgeModel(scene.pi.config) as again:  # the first has gone
        assert again.wait_ready(WITHIN_S)


def of_two(scene: Scene, **changes: Any) -> Path:
    """Settings of a device with digits, and birds, which has no release."""
    pi = a_device(scene.pi.path, "pi", scene.broker.url, scene.publisher.authority.root, **changes)
    with pi.config.open("a") as file:
        file.write('\n[[models]]\nname = "digits"\n[[models]]\nname = "birds"\n')
    return pi.config


def test_an_application_uses_all_models_of_its_device(scene: Scene) -> None:
    scene.installs()
    config = of_two(scene)
    birds = EdgeModel(config, "birds")
    with EdgeModel(config, "digits") as digits, EdgeModel(config) as once_more:
        assert digits.wait_ready(WITHIN_S)
        assert digits.predict(scene.x[0]).version == once_more.predict(scene.x[0]).version == "1.0.0"
        with pytest.raises(MissingPart):
            birds.predict(scene.x[0])
        birds.close()
        birds.close()  # twice is no mistake, and takes nothing from the others
        assert once_more.version == "1.0.0"
        result = run_command("run", "--config", str(config))
        assert result.code == Busy.exit_code, "it runs on until the last one has gone"
    with EdgeModel(config, "birds") as again:
        assert again.version is None


def test_one_device_is_not_opened_with_two_settings(scene: Scene) -> None:
    with EdgeModel(of_two(scene), "birds"):
        other = of_two(scene, groups=["canary"])
        with pytest.raises(BadSettings, match=r"runs the device of .* already, with another groups") as refused:
            EdgeModel(other, "digits")
        assert "one device.toml" in refused.value.hint
    with EdgeModel(other, "digits"):
        pass  # the first has gone, and the one that was refused has left nothing


def test_models_may_be_opened_and_closed_by_many_threads_at_once(scene: Scene) -> None:
    config = of_two(scene)

    def opens(number: int) -> str | None:
        with EdgeModel(config, ("digits", "birds")[number % 2]) as model:
            return model.version

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(opens, range(12))) == {None}


def test_a_model_that_the_device_has_not_is_refused_by_name(scene: Scene) -> None:
    with pytest.raises(BadSettings, match="has no model 'birds'"):
        EdgeModel(scene.pi.config, model="birds")


def test_status_and_predict_look_in_while_the_device_runs(scene: Scene, tmp_path: Path) -> None:
    scene.installs()
    with EdgeModel(scene.pi.config) as model:
        assert model.wait_ready(WITHIN_S)
        status = run_command("status", "--config", str(scene.pi.config), "--json")
        facts = json.loads(status.out)["models"][0]
        assert (facts["state"], facts["installed_version"], facts["latest_version"]) == ("committed", "1.0.0", "1.0.0")
        assert hashlib.sha256(Path(facts["file"]).read_bytes()).hexdigest() == Path(facts["file"]).name
        assert "installed    1.0.0 (float32)" in run_command("status", "--config", str(scene.pi.config)).out
        answer = run_command("predict", str(scene.saved(tmp_path)), "--config", str(scene.pi.config), "--row", "5")
        top = int(scene.right["1.0.0"][5].argmax())
        assert answer.out.startswith(f"digits 1.0.0 (float32) says {top}, ")
        assert model.predict(scene.x[5]).top == top


def test_the_example_of_twenty_lines_runs(scene: Scene) -> None:
    scene.publisher.announce("1.0.0")
    program = PROJECT / "examples" / "application.py"
    assert len(program.read_text().splitlines()) <= 23
    done = subprocess.run(
        [sys.executable, program, scene.pi.config, "5"],
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("1.0.0 says ") for line in lines)

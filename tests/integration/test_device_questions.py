"""Inference over MQTT: a real device answers the lines of docs/APPLICATIONS.md."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from device_client.adapters.runtime.tflite import open_model
from protocol.topics import Kind
from tests.brokers import Mosquitto, mosquitto, url_of
from tests.integration.fleet import PROJECT, DeviceFolder, a_device, running
from tests.integration.fleet_observer import FleetObserver, observing
from tests.integration.unchecked_publisher import Source, UncheckedPublisher
from tests.pages import page
from tests.recorder import WITHIN_S, poll_until

ROWS: Final = 5
CLIENTS: Final = ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr")
INPUT: Final = "fleet/v1/devices/pi-1/digits/input"
FOLLOW: Final = """#!/bin/sh
cd "$(dirname "$0")"
echo "$EDGEFERRY_SWAP_VERSION $EDGEFERRY_SWAP_STATE $1 $(sha256sum < "$EDGEFERRY_SWAP_FILE")" >> followed
"""
OUTPUT: Final = "fleet/v1/devices/pi-1/digits/output"


@dataclass(frozen=True)
class Scene:
    """A device that answers over MQTT, and a shell beside it."""

    broker: Mosquitto
    publisher: UncheckedPublisher
    observer: FleetObserver
    pi: DeviceFolder
    shell: Path
    right: NDArray[np.float32]

    def types(self, text: str) -> str:
        """A block of the page, typed; what it printed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=self.shell, env=self.environment(), capture_output=True,
            text=True, check=False, timeout=WITHIN_S,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}: {done.stdout}{done.stderr}"
        return done.stdout

    def asks(self, text: str) -> dict[str, Any]:
        """The same, where what it printed is an answer."""
        said: dict[str, Any] = json.loads(self.types(text))
        return said

    def hears(self, where: Callable[[Any], bool], since: int) -> Any:
        """The next answer on the output."""
        return self.observer.wait(Kind.OUTPUT, where, device="pi-1", since=since)

    def quiet(self) -> int:
        """A mark after the responses to all requests so far."""
        mark, end = self.observer.mark(), f"quiet {time.monotonic_ns()}"
        self.types(f'mosquitto_pub -t {INPUT} -m \'{{"id": "{end}"}}\'')
        self.hears(lambda says: says.get("id") == end, mark)
        return self.observer.mark()

    def environment(self) -> dict[str, str]:
        """The shell's: our Python first, and the broker's port in the clients'
        settings.
        """
        here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        more = {"XDG_CONFIG_HOME": str(self.shell), "BROKER_PORT": str(self.broker.port)}
        return {**os.environ, **more, "PATH": here}


@pytest.fixture(scope="module")
def scene(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("questions")
    x = np.random.default_rng(9).uniform(0, 1, (ROWS, 784)).round(4).astype(np.float32)
    np.savez(folder / "digits.npz", x=x)
    with (
        mosquitto() as broker,
        UncheckedPublisher(url_of(broker), folder) as publisher,
        observing(url_of(broker)) as observer,
    ):
        for client in CLIENTS:
            assert shutil.which(client), "sudo apt-get install mosquitto-clients"
            (folder / client).write_text(f"-p {broker.port}\n")  # the clients' own way to have settings
        publisher.add_version("1.0.0", Source.of(digits / "digits.tflite"))
        publisher.announce("1.0.0")
        pi = a_device(folder / "pi-1", "pi-1", broker.url, publisher.authority.root)
        with pi.config.open("a") as config:
            config.write(f'{block("toml device.toml")}on_swap = ["./follow", "now"]\n')
        follow = pi.path / "follow"
        follow.write_text(FOLLOW)
        follow.chmod(0o755)
        with running(pi):
            observer.state("pi-1", "probation", installed_version="1.0.0")
            yield Scene(broker, publisher, observer, pi, folder, open_model(digits / "digits.tflite").run([x])[0])


def block(info: str) -> str:
    """The first block of the page with this info."""
    return next(fence for fence in page("docs/APPLICATIONS.md").fences if fence.info == info).text


def is_right(scene: Scene, answer: Any, row: int = 0) -> None:
    """The model's own answer, with four digits of each number."""
    (scores,) = answer["outputs"]
    np.testing.assert_allclose(scores, scene.right[row], rtol=2e-3, atol=1e-6)
    assert answer["class"] == int(scene.right[row].argmax())
    assert answer["label"] == str(answer["class"])
    assert answer["confidence"] == pytest.approx(float(scene.right[row].max()), rel=1e-3)
    assert (answer["version"], answer["device"], answer["model"]) == ("1.0.0", "pi-1", "digits")


def test_the_lines_of_the_page_are_answered_with_mqtt_5_and_3(scene: Scene) -> None:
    scene.types(block("sh a question"))
    for way in ("sh ask with MQTT 5", "sh ask with MQTT 3.1.1"):
        answer = scene.asks(block(way))
        assert answer["id"] == "first"
        is_right(scene, answer)


def test_who_listens_hears_answers_and_a_label_that_comes_later_is_counted(scene: Scene) -> None:
    scene.types(block("sh a question"))
    since = scene.quiet()
    listening = subprocess.Popen(
        ["bash", "-c", f"exec {block('sh listen').strip()} -C 2"], stdout=subprocess.PIPE, env=scene.environment()
    )
    with listening:
        while listening.poll() is None:  # it does not report its subscription
            scene.types(block("sh ask and tell the truth"))
        assert listening.stdout
        heard = [json.loads(line) for line in listening.stdout]
    is_right(scene, next(each for each in heard if "outputs" in each))  # the other one is about a label
    labelled = scene.hears(lambda says: "label_counted" in says, since)
    assert (labelled["id"], labelled["label_counted"]) == ("first", True)
    scene.observer.wait(Kind.FEEDBACK, lambda says: says["inferences"] > 0 and says["labelled"] > 0, since=since)


def test_an_answer_goes_where_it_is_awaited_with_what_it_is_known_by(scene: Scene) -> None:
    scene.types(block("sh a question"))
    since = scene.quiet()
    for place in (OUTPUT, f"{OUTPUT}/desk", "elsewhere/desk"):
        told = scene.types(
            f"""mosquitto_rr -W 30 -t {INPUT} -e {place} -D publish correlation-data who-7 -F '%t %D %p' \
            -m "$(cat question.json)" """
        )
        topic, correlation, line = told.split(" ", 2)
        assert (topic, correlation) == (place, "who-7")
        is_right(scene, json.loads(line))
    scene.types(f'mosquitto_rr -W 30 -t {INPUT} -e {OUTPUT} -m \'{{"id": "last", "x": []}}\'')
    scene.hears(lambda says: says["id"] == "last", since)
    heard = [each.says["id"] for each in scene.observer.messages[since:] if each.kind is Kind.OUTPUT]
    assert heard == ["first", "last"], "what was awaited elsewhere is not said on the output too"


def test_nobody_makes_a_device_speak_elsewhere_in_the_fleet(scene: Scene) -> None:
    scene.types(block("sh a question"))
    for place in ("fleet/v1/models/digits/desired", INPUT, f"{OUTPUT}/a/b", "fleet/v1/devices/pi-2/digits/output"):
        since = scene.quiet()
        scene.types(f"mosquitto_pub -V mqttv5 -D publish response-topic {place} -t {INPUT} -f question.json")
        refused = scene.hears(bool, since)
        assert refused["error"].startswith(f"no answer is given on {place} (await it on {OUTPUT}")
        assert (refused["id"], refused["error_kind"]) == ("first", "bad_question")
        assert "class" not in refused


FLAT = ", ".join(["0.5"] * 784)
REFUSED: Final = (
    ("", None, "an empty message (mosquitto_rr 2.0 sends nothing of -f and -s"),
    ("hello", None, "not a question: Invalid JSON"),
    ('{"id": 1, "x": [0.1, 0.2]}', 1, "the input has the shape (2,); the model takes float32 of shape (784,)"),
    (f'{{"id": 2, "x": [{FLAT.replace("0.5", "NaN", 1)}]}}', 2, "no finite numbers (NaN or infinite)"),
    (f'{{"id": 3, "x": [[{FLAT}], [{FLAT}]]}}', 3, "2 inputs in one message"),
    ('{"id": 4, "x": [["a"], ["b"]]}', 4, "values of type <U1"),
    ('{"id": 5}', 5, "a question needs x, or the label of an earlier one"),
    ('{"label": 3}', None, "a label needs x, or the id of the question"),
    ('{"id": 6, "label": 3}', 6, "no answer to the question 6 waits for a label"),
    (f'{{"id": 7, "x": [{FLAT}], "label": "eleven"}}', 7, "'eleven' is none of the model's labels"),
    ('{"id": 8, "x": [0], "v": 2}', 8, "a question of format 2 cannot be read here"),
    (f'{{"id": "{"long" * 20}", "x": [0]}}', None, "id: a text of at most 64 characters"),
    (f'{{"id": 9, "x": [{"0.123456789, " * 6_000} 0]}}', None, "bytes is over the limit of 65536"),
    (f'{{"id": 10, "x": {"[" * 500}0{"]" * 500}}}', None, "not a question"),
)


def test_what_cannot_be_answered_is_told_with_the_way_out(scene: Scene) -> None:
    for number, (question, mark, told) in enumerate(REFUSED):
        (scene.shell / f"{number}.json").write_text(question)
        since = scene.quiet()
        scene.types(f"mosquitto_pub -t {INPUT} {'-n' if not question else f'-f {number}.json'}")
        refused = scene.hears(bool, since)
        assert told in refused["error"], question[:80]
        assert (refused.get("id"), refused["error_kind"]) == (mark, "bad_question")
        assert ("class" in refused) is (mark == 7), "only a label was wrong"


def test_a_device_hears_questions_again_after_a_cut_but_none_that_the_broker_keeps(scene: Scene) -> None:
    scene.types(block("sh a question"))
    since = scene.quiet()
    scene.types(f"mosquitto_pub -r -t {INPUT} -f question.json")
    scene.hears(lambda says: says["id"] == "first", since)  # it was said just now
    since = scene.quiet()
    scene.types("mosquitto_pub -i edgeferry-pi-1 -t elsewhere -n")  # the broker lets the older of one name go
    scene.observer.wait(Kind.PRESENCE, lambda says: says["online"], device="pi-1", since=since)
    is_right(scene, scene.asks(block("sh ask with MQTT 5")))
    heard = [each for each in scene.observer.messages[since:] if each.kind is Kind.OUTPUT]
    scene.types(f"mosquitto_pub -r -n -t {INPUT}")
    assert not heard
    assert "a question that the broker keeps is not answered" in (scene.pi.path / "stderr").read_text()


def test_the_example_asks(scene: Scene) -> None:
    scene.types(block("sh a question"))
    is_right(scene, scene.asks(f"{PROJECT}/examples/ask.sh pi-1 digits question.json"))


def test_the_command_after_a_swap_has_found_the_new_file_in_the_link(scene: Scene) -> None:
    followed, (version,) = scene.pi.path / "followed", scene.publisher.manifests.values()
    poll_until(lambda: followed.exists() and followed.read_text().endswith("\n"))
    assert followed.read_text().splitlines() == [f"1.0.0 probation now {version.variants[0].sha256}  -"]

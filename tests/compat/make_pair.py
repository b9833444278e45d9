"""Makes `pair.tar.xz`: `PRODUCT/.venv/bin/python make_pair.py PRODUCT OUT.tar.xz`.

PRODUCT is a checkout with a finished .venv. Only its programs and `EdgeModel` are used,
so this runs with any commit of EdgeFerry. The archive has

    recipe.py     what was trained
    registry/     0.9.0, a bad 0.9.1, 1.0.0 which continues 0.9.0, one more training,
                  the device pi-1
    pi-1/         the enrolled device: 1.0.0 live, 0.9.0 before it, 0.9.1 rejected;
                  drift state, log, unsent feedback
    states.jsonl  the device's state, as the journal had it in each phase
    answers.json  {"version", "x", "output"}: predictions of that device
    messages/     desired.json (the last bundle), and all messages of the device:
                  {status,feedback,event,presence}.jsonl
"""

from __future__ import annotations

import contextlib
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

HERE = Path(__file__).resolve().parent
BROKERS = ("publisher.embedded_broker", "publisher.adapters.embedded_broker")  # today's place, and the one before
WITHIN_S = 120.0
SETTINGS = """
[strategy]
recheck_s = 0.5

[conditions]
cpu_max_percent = 100.0
temperature_max_c = 200.0
round_trip_max_ms = 60000.0
memory_min_bytes = 0
disk_min_bytes = 0

[trial]
labels_wait_s = 0.0
accuracy_drop_max = 0.2
probation_share = 1.0
probation_inferences = 20
probation_min_s = 0.3
poll_s = 0.1
latency_floor_ms = 10000.0

[feedback]
every_s = 1.0
"""
APPLICATION = """
import json, re, sqlite3, sys, time
sys.path.insert(0, ".")
connect, states = sqlite3.connect, {}

def traced_connect(*arguments, **options):
    connection = connect(*arguments, **options)
    connection.set_trace_callback(note)
    return connection

def note(statement):
    if " INTO state " in statement and (blob := re.search("[xX]'([0-9a-fA-F]+)'", statement)):
        state = bytes.fromhex(blob[1]).decode()
        states[json.loads(state)["phase"], *sorted(json.loads(state))] = state

sqlite3.connect = traced_connect
from device_client import EdgeModel
from recipe import load_data

wanted, predictions = sys.argv[1], int(sys.argv[2])
_, _, x, y = load_data()
with EdgeModel("pi-1/device.toml") as model:
    assert model.wait_ready(60)
    row, left = 0, predictions
    while left > 0:
        at = row % len(x)
        answer = model.predict(x[at])
        model.label(answer, int(y[at]))
        row += 1
        left -= model.version == wanted
        time.sleep(0.005)
    time.sleep(2.5)  # two windows are closed meanwhile
    answers = [model.predict(sample) for sample in x[:20]]
    facts = {
        "version": answers[0].version,
        "x": x[:20].tolist(),
        "output": [answer.output.tolist() for answer in answers],
    }
    print(json.dumps(facts))
with open("states.jsonl", "a") as file:
    file.writelines(state + "\\n" for state in states.values())
"""


class Product:
    """The programs of one checkout, run in a folder."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self._python = str(checkout / ".venv" / "bin" / "python")
        self._folder = folder
        self._environment = {"PATH": os.defpath, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}

    def publisher(self, *arguments: str) -> None:
        """Run a command of the publisher to its end."""
        self.python("-c", "from publisher.cli import main; main()", *arguments)

    def python(self, *arguments: str) -> str:
        """Run Python to its end; its standard output."""
        command = [self._python, *arguments]
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, text=True, timeout=300, check=True
        )
        return done.stdout

    @contextlib.contextmanager
    def broker(self) -> Iterator[int]:
        """The embedded broker; its port."""
        command = [self._python, "-m", self._broker_module(), "--port", "0"]
        process = subprocess.Popen(command, cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            port = int(url.rpartition(":")[2])
            self._environment["EDGEFERRY_BROKER"] = url
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(WITHIN_S)

    def _broker_module(self) -> str:
        find = "import importlib.util, sys; print(importlib.util.find_spec(sys.argv[1]) is not None)"
        return next(name for name in BROKERS if self.python("-c", find, name).strip() == "True")


def main() -> None:
    """Make the archive."""
    checkout, archive = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copy(HERE / "recipe.py", folder)
        (folder / "messages").mkdir()
        make(Product(checkout, folder), folder)
        for cache in list(folder.rglob("__pycache__")):
            shutil.rmtree(cache)
        pack(folder, archive)


def make(product: Product, folder: Path) -> None:
    """One device follows three releases, then predicts without a broker."""
    with product.broker() as port, recording(port, folder / "messages"):
        product.publisher("init")
        product.publisher("release", "pumps", "--version", "0.9.0", "--recipe", "recipe.py", "--epochs", "8")
        product.publisher("enroll", "pi-1", "--group", "hall", "--model", "pumps", "--out", "pi-1")
        settings = folder / "pi-1" / "device.toml"
        settings.write_text(settings.read_text() + SETTINGS)
        product.python("-c", APPLICATION, "0.9.0", "250")
        bad = ("release", "pumps", "--version", "0.9.1", "--recipe", "recipe.py", "--epochs", "1", "--force")
        product.publisher(*bad)
        product.python("-c", APPLICATION, "0.9.0", "500")
        product.publisher("release", "pumps", "--version", "1.0.0", "--recipe", "recipe.py", "--from", "0.9.0")
        product.publisher("train", "pumps", "--recipe", "recipe.py", "--epochs", "2", "--out", "trained")
        product.python("-c", APPLICATION, "1.0.0", "250")
    answers = product.python("-c", APPLICATION, "1.0.0", "30")  # no broker: its windows stay in the outbox
    (folder / "answers.json").write_text(answers)
    shutil.rmtree(folder / "trained")


@contextlib.contextmanager
def recording(port: int, folder: Path) -> Iterator[None]:
    """Write the last bundle and every message of a device to `folder`, as they came."""
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)

    def keep(_client: Client, _data: Any, message: MQTTMessage) -> None:
        kind = message.topic.rpartition("/")[2]
        if kind == "desired":
            (folder / "desired.json").write_bytes(message.payload)
        elif message.payload:
            with (folder / f"{kind}.jsonl").open("ab") as lines:
                lines.write(message.payload + b"\n")

    client.on_message = keep
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.subscribe([("fleet/v1/models/#", 1), ("fleet/v1/devices/#", 1)])
    client.loop_start()
    try:
        assert subscribed.wait(WITHIN_S)
        yield
    finally:
        client.disconnect()
        client.loop_stop()


def pack(folder: Path, archive: Path) -> None:
    """Write the archive without names and times of this machine."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = 0
        return member

    with lzma.open(archive, "wb", preset=9) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for entry in sorted(folder.iterdir()):
            tar.add(entry, entry.name, filter=anonymous)
    sys.stdout.write(json.dumps({"size_bytes": archive.stat().st_size}) + "\n")


if __name__ == "__main__":
    main()

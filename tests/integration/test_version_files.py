"""An application reads the files of the version that answers: docs/APPLICATIONS.md.

The device is one that was installed before; it has no broker.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from device_client import BadInput, EdgeModel, MissingPart
from device_client.adapters.runtime.self_test_model import self_test_model
from device_client.adapters.runtime.tflite import open_model
from device_client.adapters.storage.journal import Journal
from device_client.core.state import Device, Installed, Phase
from device_client.diagnostics.installed_model import opened
from device_client.settings.loader import load
from protocol.content.chunks import name as hash_of
from protocol.content.label_file import pack_labels
from tests.builders import a_manifest, a_variant, a_version_file, an_authority
from tests.integration.fleet import DeviceFolder, a_device
from tests.pages import page

LABELS = ("Zaunkönig", "", *(f"bird {index}" for index in range(6_520)))
READY_S = 30.0


def some_anchors() -> bytes:
    packed = io.BytesIO()
    np.save(packed, np.arange(8.0))
    return packed.getvalue()


CONTENT = {
    "anchors.npy": some_anchors(),
    "thresholds.json": b'{"bird": 0.5}',
    "labels.txt": pack_labels(LABELS),
}


@pytest.fixture
def installed(tmp_path: Path) -> DeviceFolder:
    """A device on which a version with files is committed."""
    device = a_device(tmp_path / "pi-1", "pi-1", "mqtt://127.0.0.1:1", an_authority().root)
    files = device.files() / "files"
    files.mkdir(parents=True)
    for content in (self_test_model(), *CONTENT.values()):
        (files / hash_of(content)).write_bytes(content)
    variant = a_variant().model_copy(update={"sha256": hash_of(self_test_model())})
    manifest = a_manifest(
        "1.2.0",
        variants=[variant],
        labels=(),
        labels_file="labels.txt",
        contract=open_model(files / variant.sha256).contract,
        files=tuple(
            a_version_file(name).model_copy(update={"sha256": hash_of(content)}) for name, content in CONTENT.items()
        ),
    )
    live = Installed(manifest=manifest, variant=variant)
    saved = Device(phase=Phase.COMMITTED, live=live, committed=("1.2.0",))
    journal = Journal(tmp_path / "pi-1" / "state" / "journal.db")
    journal.save("digits", saved.model_dump_json().encode())
    journal.close()
    return device


def test_an_application_reads_files_and_labels_of_the_live_version(installed: DeviceFolder) -> None:
    with EdgeModel(installed.path / "device.toml") as model:
        assert model.wait_ready(READY_S)
        anchors = model.file("anchors.npy")
        assert anchors.name == "anchors.npy"
        assert np.load(anchors).tolist() == list(range(8))
        assert model.labels == LABELS
        with model.files() as files:
            assert (files.version, files.variant) == ("1.2.0", "float32")
            assert {name: path.read_bytes() for name, path in files.items()} == CONTENT | {
                "model.tflite": self_test_model()
            }
            with pytest.raises(BadInput, match=r"has no file 'other\.npy'"):
                files["other.npy"]
        answers = [model.predict(np.array(x, np.float32)) for x in ([2.0, 1.0], [1.0, 2.0])]
        assert [answer.label for answer in answers] == ["Zaunkönig", None]
    with pytest.raises(MissingPart):
        model.file("anchors.npy")


def test_the_programs_on_the_page_run(installed: DeviceFolder) -> None:
    blocks = {fence.info: fence.text for fence in page("docs/APPLICATIONS.md").fences}
    program = installed.path.parent / "application.py"
    program.write_text(blocks["python files"].replace("np.zeros(64", "np.zeros(2") + "\nprint(read, limits, anchors)\n")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=program.parent, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1.2.0 {'bird': 0.5} [0. 1. 2.")
    listed = subprocess.run(
        ["bash", "-c", blocks["sh other programs"]], cwd=installed.path, capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == ["anchors.npy", "labels.txt", "model.tflite", "thresholds.json"]


def test_a_file_that_was_damaged_is_noticed_at_start(installed: DeviceFolder) -> None:
    (installed.files() / "files" / hash_of(CONTENT["anchors.npy"])).write_bytes(b"rot")
    with EdgeModel(installed.path / "device.toml") as model:
        assert not model.wait_ready(2.0)
    journal = Journal(installed.path / "state" / "journal.db")
    device = Device.model_validate_json(journal.load("digits") or b"")
    journal.close()
    assert device.live is None
    assert "anchors.npy: its file is gone" in device.reason


def test_the_command_predict_names_a_class_of_thousands(installed: DeviceFolder) -> None:
    settings = load(installed.path / "device.toml")
    with opened(settings, "digits") as (_, serving):
        assert serving.predict(np.array([2.0, 1.0], np.float32)).label == "Zaunkönig"
    assert json.loads(CONTENT["thresholds.json"]) == {"bird": 0.5}

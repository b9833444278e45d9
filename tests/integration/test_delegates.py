"""Delegates: serving, shadow and proof use the same; a missing library is named."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Final

import numpy as np
import pytest

from device_client.adapters.runtime.tflite import check_delegates, open_model
from device_client.adapters.sandbox.parent import TrialProcess
from device_client.diagnostics.doctor import Check, examine
from device_client.ports.proof import NotTried, Proof, ProofOrder
from device_client.ports.serving import Delegate, ModelFile
from device_client.service.device_service import DeviceService
from device_client.serving.live_serving import LiveServing
from device_client.settings.loader import load
from protocol.errors import BadSettings, MissingPart
from tests.builders import an_authority
from tests.integration import models

WITHIN_S: Final = 120.0
COMPILER: Final = shutil.which("cc")
DELEGATE: Final = """
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What the interface of external delegates asks for, and no more: it takes no part of a model on. */
struct delegate { void *data; int (*prepare)(void *, void *); void *copies[3]; int64_t flags; void *builder; };
static int prepare(void *context, void *self) { return 0; }

void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    static struct delegate ours[64];
    static int made;
    const char *device = "", *diary = 0, *exact = "";
    for (size_t at = 0; at < count; at++) {
        if (!strcmp(keys[at], "device")) device = values[at];
        if (!strcmp(keys[at], "diary")) diary = values[at];
        if (!strcmp(keys[at], "exact")) exact = values[at];
    }
    if (strcmp(device, "usb:0")) { report("no hardware is called so"); return 0; }
    if (diary) {
        FILE *file = fopen(diary, "a");
        fprintf(file, "opened, exact=%s\\n", exact);
        fclose(file);
    }
    ours[made].prepare = prepare;
    return &ours[made++ % 64];
}

void tflite_plugin_destroy_delegate(void *self) {}
"""


@pytest.fixture(scope="module")
def folder(once_per_run: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once_per_run("models", models.make)


@pytest.fixture
def library(tmp_path: Path) -> str:
    """A delegate that works, where there is something to make it with."""
    if COMPILER is None:
        pytest.skip("a delegate that works needs a C compiler")
    source, made = tmp_path / "delegate.c", tmp_path / "libdelegate.so"
    source.write_text(DELEGATE)
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", made, source], check=True, capture_output=True)
    return str(made)


def a_file(folder: Path) -> ModelFile:
    path = folder / "flowers-float32.tflite"
    return ModelFile(path, "1.0.0", "float32", open_model(path).contract, ("rose", "tulip", "daisy"))


def prove(folder: Path, tmp_path: Path, *delegates: Delegate) -> Proof | NotTried:
    """In a real child process."""
    file = a_file(folder)
    inputs = np.random.default_rng(5).uniform(0, 1, (3, 4)).astype(np.float32)
    (answers,) = open_model(file.path).run([inputs])
    np.savez(tmp_path / "golden.npz", input_0=inputs, float32_output_0=answers)
    told: Queue[Proof | NotTried] = Queue()
    order = ProofOrder(file.path, tmp_path / "golden.npz", "float32", 0.01, file.contract, 200_000_000, WITHIN_S)
    TrialProcess(delegates=delegates).start(order, told.put)
    return told.get(timeout=WITHIN_S)


def broken_libraries(tmp_path: Path) -> dict[str, str]:
    """A path, and what is said of it."""
    text = tmp_path / "text.so"
    text.write_text("no library")
    maths = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libm" in line)
    return {
        str(tmp_path / "gone.so"): "cannot be loaded: ",
        str(text): "cannot be loaded: ",
        maths: "is a library, but no delegate of TensorFlow Lite",
    }


def test_a_library_that_is_missing_broken_or_no_delegate_is_told_by_name(folder: Path, tmp_path: Path) -> None:
    for library, told in broken_libraries(tmp_path).items():
        for attempt in (check_delegates, lambda delegates: open_model(a_file(folder).path, delegates=delegates)):
            with pytest.raises(MissingPart) as refused:
                attempt([Delegate(library)])
            assert library in refused.value.message
            assert told in refused.value.message
            assert "\n" not in refused.value.message


def test_neither_serving_nor_shadow_nor_proof_does_without_its_delegate(folder: Path, tmp_path: Path) -> None:
    gone, file = Delegate(str(tmp_path / "gone.so")), a_file(folder)
    serving = LiveServing(delegates=[gone])
    with pytest.raises(MissingPart, match=r"gone\.so cannot be loaded"):
        serving.swap(file)
    assert serving.version is None
    proof = prove(folder, tmp_path, gone)
    assert isinstance(proof, NotTried), "the device's own trouble is not held against the candidate"
    assert f"the delegate {gone.library} cannot be loaded" in proof.reason


def test_a_delegate_that_works_opens_what_serves_what_shadows_and_what_is_proved(
    folder: Path, tmp_path: Path, library: str
) -> None:
    diary, file = tmp_path / "diary", a_file(folder)
    options = (("device", "usb:0"), ("exact", "true"), ("diary", str(diary)))
    serving = LiveServing(delegates=[Delegate(library, options)])
    serving.swap(file)
    assert diary.read_text() == "opened, exact=true\n"
    serving.start_shadow(file)
    assert diary.read_text().count("opened") == 2
    x = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    np.testing.assert_allclose(serving.predict(x).output, open_model(file.path).run([x[None]])[0][0], atol=1e-5)
    serving.close()
    proof = prove(folder, tmp_path, Delegate(library, options[:2]))
    assert isinstance(proof, Proof)
    assert proof.passed
    refused = prove(folder, tmp_path, Delegate(library, (("device", "usb:1"),)))
    assert isinstance(refused, NotTried)
    assert "no hardware is called so" in refused.reason


SETTINGS: Final = """
device = "pi-1"
[[models]]
name = "digits"
delegates = [{ library = "lib/gone.so", options = { device = "usb:0", verbosity = 1, exact = true } }]
"""


def settings_file(tmp_path: Path, text: str) -> Path:
    (tmp_path / "root.json").write_bytes(an_authority().root)
    file = tmp_path / "device.toml"
    file.write_text(text)
    return file


def test_settings_name_the_library_beside_the_file_and_give_options_as_texts(tmp_path: Path) -> None:
    (section,) = load(settings_file(tmp_path, SETTINGS)).models
    options = (("device", "usb:0"), ("verbosity", "1"), ("exact", "true"))
    assert section.runtime_delegates() == (Delegate(str(tmp_path / "lib/gone.so"), options),)
    (section,) = load(settings_file(tmp_path, SETTINGS.replace("lib/gone.so", "libedge.so.1"))).models
    assert section.runtime_delegates()[0].library == "libedge.so.1", "the system's loader looks for it"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("[{}]", "the setting 'models.delegates.library' is missing"),
        ('[{ library = "" }]', "at least 1 character"),
        ('[{ library = "a", option = {} }]', "there is no setting 'models.delegates.option'"),
        ('["a"]', "a section is wanted"),
    ],
)
def test_a_delegate_that_is_set_wrongly_is_refused_with_its_line(tmp_path: Path, wrong: str, told: str) -> None:
    file = settings_file(tmp_path, f'device = "pi-1"\n[[models]]\nname = "digits"\ndelegates = {wrong}\n')
    with pytest.raises(BadSettings) as refused:
        load(file)
    assert f"{file}, line 4" in refused.value.message
    assert told in refused.value.message


def test_a_device_does_not_start_without_its_delegate_and_doctor_says_so(tmp_path: Path) -> None:
    settings = load(settings_file(tmp_path, SETTINGS))
    with pytest.raises(BadSettings, match=r"delegates of digits: the delegate .*gone\.so cannot be loaded") as refused:
        DeviceService(settings)
    assert "to compute on the processor" in refused.value.hint
    check = next(each for each in itertools.islice(examine(settings), 3) if each.name == "delegates of digits")
    assert (check.level, "cannot be loaded" in check.found) == ("bad", True)
    assert isinstance(check, Check)

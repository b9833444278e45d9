"""Own data, from file to fleet: examples are trained and released, one to a device."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import BadRecipe, MissingPart
from protocol.mqtt.broker_url import BrokerUrl
from publisher.learning.recipe.heldout import write_heldout_npz
from publisher.learning.recipe.recipe import load_recipe
from publisher.learning.training.train import train
from publisher.operations.context import open_context
from publisher.operations.progress import SilentProgress
from publisher.operations.release.release import Released, ReleaseRequest, release
from publisher.operations.release.train import Training, build_version
from publisher.settings import Settings
from tests.brokers import Mosquitto, mosquitto
from tests.integration.fleet import BRISK, DeviceFolder, running, toml
from tests.integration.fleet_observer import observing
from tests.integration.publisher_cli import PublisherCli, a_publisher

pytestmark = [pytest.mark.xdist_group("own-recipes"), pytest.mark.usefixtures("mosquitto_program")]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as broker:
        yield broker


@pytest.fixture(scope="module")
def publisher(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> PublisherCli:
    return a_publisher(tmp_path_factory.mktemp("publisher"), broker.url)


def put_example(name: str, folder: Path) -> Path:
    """Copy an example and let it write its sample data, as its first lines say."""
    recipe = Path(shutil.copy(EXAMPLES / f"{name}.py", folder))
    ran = subprocess.run([sys.executable, recipe], capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    return recipe


def enrolled(publisher: PublisherCli, name: str, model: str = "fields") -> DeviceFolder:
    """The folder that a device is given, with settings that lose no time."""
    publisher.run_here("enroll", name, "--out", publisher.folder / name, "--model", model)
    with (publisher.folder / name / "device.toml").open("a") as settings:
        settings.write(toml({}, BRISK))
    return DeviceFolder(publisher.folder / name, name)


def release_here(publisher: PublisherCli, model: str, recipe: Path) -> Released:
    """The release command without a process of its own: TensorFlow is loaded once."""
    settings = Settings.read({"broker": publisher.url, "registry": str(publisher.registry)}, {})
    with open_context(settings, SilentProgress(), broker=True) as context:
        return release(context, ReleaseRequest(model, "1.0.0"), lambda bar: build_version(Training(str(recipe)), bar))


# the third goes all the way below
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        pytest.param("from_npz", 3, marks=pytest.mark.slow),
        ("from_folder_of_images", 2),
    ],
)
def test_an_example_of_ones_own_data_is_trained_and_released(
    name: str, labels: int, publisher: PublisherCli, tmp_path: Path
) -> None:
    released = release_here(publisher, name, put_example(name, tmp_path))
    assert [variant.name for variant in released.manifest.variants] == ["float32", "int8"]
    assert len(released.manifest.labels) == labels
    assert released.accuracy is not None
    assert released.accuracy > 0.9


def grow(path: Path) -> None:
    """More lines, as a season brings them: some of those that are there once more."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, *lines[1:41]]))


def test_an_example_goes_from_a_csv_file_to_a_device_and_on_to_its_next_version(
    publisher: PublisherCli, broker: Mosquitto, tmp_path: Path
) -> None:
    recipe = put_example("from_csv", tmp_path)
    publisher.run_here("release", "fields", "--version", "1.0.0", "--recipe", recipe)
    ladder = ("compress", "--recipe", recipe, "--rungs", "pruned-80-int8", "--out", tmp_path / "ladder")
    compressed = publisher.run_here(*ladder, "--from", "1.0.0", "--model", "fields").err
    assert len(list((tmp_path / "ladder").rglob("*.tflite"))) == 2  # the parent is always built
    assert "pruned-80-int8 goes on from float32 of 1.0.0; made anew: 1.0.0 has no pruned-80" in compressed
    replay = tmp_path / "held-back.npz"
    assert write_heldout_npz(load_recipe(recipe), replay) == 60
    device = enrolled(publisher, "pi-7")
    with observing(BrokerUrl.parse(broker.url)) as observer, running(device, "--replay", str(replay), "--rate", "200"):
        observer.state("pi-7", "committed", installed_version="1.0.0")
        grow(tmp_path / "fields.csv")
        trained = publisher.run_here(
            "train", "fields", "--recipe", recipe, "--out", tmp_path / "trained", "--json"
        ).json
        said = publisher.run_here("release", "fields", "--version", "1.1.0", "--recipe", recipe, "--from", "1.0.0").err
        observer.state("pi-7", "committed", installed_version="1.1.0")
    # trainings are numbered across the registry, which other examples here use too
    assert re.search(r"kept as training \d+ of fields", said)
    shown = publisher.run_here("show", "fields", "1.1.0")
    lineage = publisher.run_here("show", "fields", "1.1.0", "--json").json["lineage"]
    # a training on more data, and its release, are calibrated like the version before
    before = publisher.run_here("show", "fields", "1.0.0", "--json").json["lineage"]
    assert (tmp_path / "trained" / "fields-int8.tflite").stat().st_size == trained["variants"]["int8"]["size_bytes"]
    assert before["calibration_of"] is None
    for now in (trained["lineage"], lineage):
        assert now["data_sha256"] != before["data_sha256"]
        assert (now["calibration_sha256"], now["calibration_of"]) == (before["calibration_sha256"], "1.0.0")
    assert "goes on from:   1.0.0" in shown.out
    assert "int8 goes on from float32 of 1.0.0" in shown.out
    for key in ("recipe_sha256", "data_sha256", "calibration_sha256"):
        assert lineage[key] in shown.out
    assert "settings:       epochs 5" in shown.out
    assert f"tensorflow {lineage['versions']['tensorflow']}" in shown.out
    refused = publisher.run_here("release", "fields", "--version", "1.2.0", "--from", "9.9.9", expect=2).err
    assert "fields has no version 9.9.9" in refused


needs_recordings = pytest.mark.skipif(
    importlib.util.find_spec("sktime") is None, reason="the recordings come with sktime: pip install -e '.[dev]'"
)


@needs_recordings
@pytest.mark.parametrize(
    ("name", "device", "epochs", "variants", "least", "measure"),
    [
        pytest.param("spectra", "pi-8", 60, "float32,int8", 0.8, "regression", marks=pytest.mark.slow),
        pytest.param(
            "voices", "pi-9", 20, "float32,dynamic,distilled-int8", 0.9, "classification", marks=pytest.mark.slow
        ),
    ],
)
def test_an_example_on_real_recordings_goes_all_the_way_to_a_device(
    name: str,
    device: str,
    epochs: int,
    variants: str,
    least: float,
    measure: str,
    publisher: PublisherCli,
    broker: Mosquitto,
    tmp_path: Path,
) -> None:
    recipe = EXAMPLES / f"{name}.py"
    made = ("--recipe", recipe, "--epochs", epochs, "--variants", variants)
    released = publisher.run_here("release", name, "--version", "1.0.0", *map(str, made), "--json").json
    assert released["accuracy"] > least
    contract = publisher.run_here("show", name, "1.0.0", "--json").json["contract"]
    assert contract["task"]["name"] == measure
    replay = tmp_path / "held-back.npz"
    write_heldout_npz(load_recipe(recipe), replay)
    folder = enrolled(publisher, device, name)
    with observing(BrokerUrl.parse(broker.url)) as observer, running(folder, "--replay", str(replay), "--rate", "100"):
        observer.state(device, "committed", installed_version="1.0.0")


STUDENT = """
def build_student():
    import tf_keras
    return tf_keras.Sequential([tf_keras.Input((784,)), tf_keras.layers.Dense({classes}, {activation!r})])
"""


@pytest.mark.parametrize(
    ("classes", "activation", "said"),
    [
        (7, "softmax", "build_student() in strict.py: the network gives [7], but there are 10 classes"),
        (10, "linear", "build_student() in strict.py: what the network gives are no probabilities"),
    ],
)
def test_a_student_that_cannot_learn_this_is_refused_before_anything_is_trained(
    classes: int, activation: str, said: str, tmp_path: Path
) -> None:
    student = STUDENT.format(classes=classes, activation=activation)
    (tmp_path / "strict.py").write_text(f"from publisher.recipes.digits import *\n{student}")
    told: list[tuple[int, int, str]] = []
    with pytest.raises(BadRecipe) as refused:
        train(
            load_recipe(tmp_path / "strict.py"), on_progress=lambda done, total, what: told.append((done, total, what))
        )
    assert refused.value.message.startswith(said)
    assert told == [(0, 20, "preparing to train")]


def test_the_small_convolutional_network_learns_the_digits() -> None:
    trained = train(load_recipe("digits_cnn"), epochs=6)
    assert trained.accuracy > 0.9
    assert trained.model.input_shape == (None, 28, 28, 1)


def test_a_data_set_that_cannot_be_fetched_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: no proxy listens there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingPart) as refused:
        load_recipe("mnist")
    assert f"the data set mnist is not in {tmp_path / 'datasets'}" in refused.value.message
    assert "put mnist.npz into" in refused.value.hint


def test_a_library_that_is_missing_is_named_as_it_is_installed(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["PIL"] = None  # as if it were not installed
from publisher.learning.recipe.recipe import load_recipe
from protocol.errors import BadRecipe, MissingPart
try:
    load_recipe(sys.argv[1])
except BadRecipe as refused:
    print(refused.hint)
"""
    recipe = shutil.copy(EXAMPLES / "from_folder_of_images.py", tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", program, recipe], capture_output=True, text=True, timeout=120, check=True
    )
    assert ran.stdout.strip() == "install pillow into this Python, or leave it out"

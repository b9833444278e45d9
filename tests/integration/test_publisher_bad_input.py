"""Wrong uses of `publisher`: each gives a message, an exit code, and breaks nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from publisher.adapters.registry import Registry
from tests.brokers import free_port, mosquitto, mosquitto_with_users
from tests.integration import models
from tests.integration.publisher_cli import PublisherCli, a_publisher, announced, connect

OncePerRun = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="module")
def files(once_per_run: OncePerRun) -> Path:
    return once_per_run("models", models.make)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with mosquitto() as broker:
        yield broker.url


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, files: Path, url: str) -> PublisherCli:
    """A publisher that has released one version; tests that change it copy it."""
    publisher = a_publisher(tmp_path_factory.mktemp("released"), url)
    publisher.run("release", "flowers", "--version", "1.0.0", "--tflite", files / "flowers-float32.tflite")
    return publisher


@pytest.fixture
def publisher(tmp_path: Path, released: PublisherCli) -> PublisherCli:
    shutil.copytree(released.registry, tmp_path / "registry")
    return PublisherCli(tmp_path, released.url)


def a_file(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


BROKEN_RECIPE = b"def load_data():\n    x = 1\n    return x / 0\n\n\ndef build_model(): ...\n"
BAD_LINES = [
    ("release flowers --version 1.0.0 --tflite MODEL", 2, "flowers 1.0.0 is released already", "the next"),
    ("release flowers --version 2 --tflite OTHER", 2, "input 0 is float32 [1, 784]", "release it as another model"),
    ("release flowers --version 2 --tflite INT8", 2, "input 0 is int8 [1, 4]", "release it as another model"),
    ("release flowers --version 2 --tflite TEXT", 2, "text.tflite is no TensorFlow Lite model", "whole .tflite"),
    ("release flowers --version 2 --tflite CUT", 2, "cut.tflite", "whole"),
    ("release flowers --version 2 --tflite NOWHERE", 2, "No such file", "give a .tflite file"),
    ("release flowers --version 2 --tflite MODEL --data TEXT", 2, "no .npz", "numpy.savez"),
    ("release flowers --version 2 --data TEXT", 2, "--data goes with --tflite", "own data"),
    ("release flowers --version 2 --labels a,b", 2, "--labels goes with --tflite or --keras", "own labels"),
    ("release flowers --version 2 --tflite MODEL --labels a,b", 2, "2 labels for a model that gives", "each class"),
    ("release flowers --version 2 --tflite MODEL --labels a,b,a,b", 2, "4 labels for a model that gives", "each class"),
    ("release flowers --version 2 --tflite MODEL --labels ,", 2, "--labels names no class", "one name a line"),
    ("release flowers --version 2 --tflite MODEL --file ../x=MODEL", 2, "no name for a file", "1 to 80"),
    ("release flowers --version 2 --tflite MODEL --file x", 2, "is not NAME=PATH", "anchors.npy="),
    ("release flowers --version 2 --tflite MODEL --file x=NOWHERE", 2, "cannot be read", ""),
    ("release flowers --version 2 --tflite MODEL --file labels.txt=MODEL", 2, "use themselves", "--labels"),
    ("release flowers --version 2 --tflite MODEL --drop-file x", 2, "has no such file", "it has none"),
    ("release flowers --version 2 --tflite MODEL --labels NOWHERE", 2, "there is no file", "one name a line"),
    ("release flowers --version 2 --tflite MODEL --epochs 3", 2, "--epochs does not go with --tflite", "leave one"),
    ("release flowers --version 2 --tflite MODEL --min-accuracy 0.9", 6, "accuracy of original is not", "--force"),
    ("release flowers --version 2 --tflite MODEL --min-accuracy 9", 2, "--min-accuracy 9 is no share", "0.9"),
    ("release flowers --version 2 --tflite MODEL --to 50", 2, "--to '50' names no audience", "group:NAME"),
    ("release flowers --version 2 --tflite MODEL --to group:a/b", 2, "group 'a/b'", "a-z"),
    ("release flowers --version 2 --tflite MODEL --spread soon", 2, "--spread 'soon'", "10m"),
    ("release flowers --version a/b --tflite MODEL", 2, "'a/b' cannot be a version", "1.0.0"),
    ("release Fl.owers --version 2 --tflite MODEL", 2, "model 'Fl.owers'", "a-z"),
    ("release digits --version 1 --recipe nosuch", 2, "there is no recipe 'nosuch'", "digits"),
    ("release digits --version 1 --recipe RECIPE", 2, "recipe.py", "x / 0"),
    ("rollback nosuch", 2, "no version of 'nosuch' is released", "flowers"),
    ("rollback flowers", 2, "flowers has no version before 1.0.0", "--version"),
    ("rollback flowers --version 7", 2, "flowers has no version 7", "1.0.0"),
    ("pin flowers 7 pi-1", 2, "flowers has no version 7", "1.0.0"),
    ("pin flowers 1.0.0 pi.1", 2, "device 'pi.1'", "a-z"),
    ("unpin flowers pi-1", 2, "pi-1 is not pinned", ""),
    ("rollout advance flowers --to 10%", 2, "every device already", "rollback"),
    ("show flowers 7", 2, "flowers has no version 7", "1.0.0"),
    ("enroll pi.1 --out OUT", 2, "device 'pi.1'", "a-z"),
    ("enroll pi-1 --out OUT --group a.b", 2, "group 'a.b'", "a-z"),
    ("enroll pi-1 --out OUT --user u --password-file NOWHERE", 2, "the password file", "one line"),
    ("enroll pi-1 --out TEXT/below", 2, "cannot be written", "--out"),
    ("train digits --out TEXT", 2, "nothing can be written to", "--out"),
    ("compress --out OUT --from 9", 2, "the registry holds no model 'digits'", "flowers"),
    ("compress --out OUT --from 1.0.0 --model flowers", 2, "flowers 1.0.0 was made from the file", "without --from"),
    ("compress --out OUT --tflite MODEL", 2, "its ladder has one rung", "release MODEL --version VERSION --tflite"),
    ("compress --out OUT --keras MODEL", 2, "--keras needs --data", "samples x and their classes y"),
    ("compress --out OUT --keras MODEL --data NOWHERE --from 1", 2, "--from does not go with --keras", "leave it out"),
    ("compress --out OUT --data NOWHERE", 2, "--data goes with --keras", "a recipe loads its own data"),
    ("compress --out OUT --model flowers", 2, "--model goes with --from", "leave it out"),
    ("status --broker http://x", 2, "does not begin with mqtt://", "mqtt://host"),
    ("status --broker mqtt://127.0.0.1:NOBODY", 5, "no broker listens at 127.0.0.1", "scripts/broker"),
    ("release digits --version 1 --broker mqtt://127.0.0.1:NOBODY", 5, "no broker listens", "scripts/broker"),
    ("prune --ca NOWHERE", 2, "certificates are given", "mqtts://"),
    ("prune --wait soon", 2, "--wait 'soon'", "such as 60"),
    ("prune --root a/b", 2, "topic root 'a/b'", "a-z"),
    ("prune --registry OUT", 2, "is no registry", "publisher init"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code", "message", "hint"), BAD_LINES, ids=[line for line, *_ in BAD_LINES])
def test_a_mistake_is_named_with_the_way_out(
    released: PublisherCli, files: Path, tmp_path: Path, line: str, code: int, message: str, hint: str
) -> None:
    model = files / "flowers-float32.tflite"
    places = {
        "MODEL": model,
        "OTHER": files / "digits-float32.tflite",
        "INT8": files / "flowers-int8.tflite",
        "TEXT": a_file(tmp_path, "text.tflite", b"not a model at all"),
        "CUT": a_file(tmp_path, "cut.tflite", model.read_bytes()[:900]),
        "RECIPE": a_file(tmp_path, "recipe.py", BROKEN_RECIPE),
        "NOWHERE": tmp_path / "nowhere",
        "OUT": tmp_path / "out",
        "NOBODY": free_port(),
    }  # fmt: skip
    words = line.split()
    for place, value in places.items():
        words = [word.replace(place, str(value)) for word in words]
    ran = released.run(*words, expect=code)
    assert ran.out == ""
    rows = ran.err.splitlines()
    lines = rows[next(at for at, row in enumerate(rows) if row.startswith("error: ")) :]  # before it is progress
    assert message in lines[0]
    assert hint in "\n".join(lines[1:])
    assert len(lines) <= 2 or "RECIPE" in line
    with Registry.open(released.registry) as registry:
        assert registry.versions.of_model("flowers") == ["1.0.0"]
        assert (registry.announcements.pending(), registry.orphans()) == ([], [])


def test_a_missing_key_is_reported_before_anything_is_trained(publisher: PublisherCli, files: Path) -> None:
    (publisher.registry / "keys" / "timestamp.pem").unlink()
    ran = publisher.run("release", "digits", "--version", "1.0.0", expect=9)
    assert "the key of the timestamp role is not in" in ran.err
    assert "timestamp.pem" in ran.err
    assert "making" not in ran.err
    assert "timestamp" in publisher.run("rollout", "hold", "flowers", expect=9).err
    assert files.exists()


def test_a_key_that_others_can_read_is_not_used(publisher: PublisherCli) -> None:
    (publisher.registry / "keys" / "snapshot.pem").chmod(0o644)
    assert "chmod 600" in publisher.run("rollout", "hold", "flowers", expect=2).err


def test_a_wrong_password_is_reported_as_one(publisher: PublisherCli) -> None:
    with mosquitto_with_users({"publisher": "right"}) as broker:
        for credentials, message in (("publisher:wrong@", "wrong user or password"), ("", "wants a user")):
            address = f"mqtt://{credentials}127.0.0.1:{broker.port}"
            ran = publisher.run("prune", "--broker", address, expect=5)
            assert message in ran.err
            assert "wrong@" not in ran.err
        assert publisher.run("prune", "--broker", f"mqtt://publisher:right@127.0.0.1:{broker.port}").out


def test_a_second_command_waits_or_says_who_is_at_work(publisher: PublisherCli) -> None:
    with Registry.open(publisher.registry) as registry:
        with registry.lock():
            ran = publisher.run("rollout", "hold", "flowers", "--wait", "0.3", expect=7)
            assert "waiting for" in ran.err
            assert "the registry is in use by" in ran.err
            assert f"process {os.getpid()}" in ran.err
            waiting = publisher.begin("rollout", "hold", "flowers", "--wait", "60")
            assert waiting.stderr is not None
            assert "waiting for" in waiting.stderr.readline()
        out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, "held" in out) == (0, True), err


def test_a_broken_registry_is_reported_as_one(publisher: PublisherCli) -> None:
    for name in ("registry.db-wal", "registry.db-shm"):
        (publisher.registry / name).unlink(missing_ok=True)
    (publisher.registry / "registry.db").write_bytes(b"this is no database" * 1_000)
    ran = publisher.run("show", "flowers", expect=4)
    assert "damaged" in ran.err
    assert "backup" in ran.err


def test_a_file_that_changed_on_disk_is_never_uploaded(publisher: PublisherCli) -> None:
    for blob in (publisher.registry / "blobs").iterdir():
        blob.write_bytes(bytes(blob.stat().st_size))
    with mosquitto() as empty:
        ran = publisher.run("rollout", "hold", "flowers", "--broker", empty.url, expect=4)
        assert "its bytes have changed" in ran.err
        with connect(empty.url) as broker:
            assert announced(broker, "flowers", b"") is None


def test_a_version_whose_file_is_lost_can_be_left_behind(publisher: PublisherCli, files: Path) -> None:
    other = files / "other-float32.tflite"
    publisher.run("release", "flowers", "--version", "1.1.0", "--tflite", other)
    with Registry.open(publisher.registry) as registry:
        blob = registry.blobs.path(registry.versions.manifest("flowers", "1.1.0").variants[0].sha256)
    blob.write_bytes(bytes(blob.stat().st_size))
    with mosquitto() as empty:
        publisher.run("rollout", "hold", "flowers", "--broker", empty.url, expect=4)
        back = publisher.run("rollback", "flowers", "--broker", empty.url)
        assert "cannot be announced" in back.err
        assert "rolled back from 1.1.0 to 1.0.0" in back.out
    with Registry.open(publisher.registry) as registry:
        assert registry.announcements.pending() == []


def test_an_unfinished_registry_is_reported_and_finished(publisher: PublisherCli, tmp_path: Path) -> None:
    half = tmp_path / "half"
    Registry.create(half).close()
    ran = publisher.run("show", "flowers", "--registry", half, expect=9)
    assert "publisher init" in ran.err
    publisher.run("init", "--registry", half)
    assert publisher.run("enroll", "pi-1", "--out", tmp_path / "pi-1", "--registry", half).out


@pytest.mark.parametrize("words", [["relase"], ["release"], ["release", "flowers"], ["status", "--nosuch"]])
def test_a_line_that_cannot_be_read_says_how_to_get_help(released: PublisherCli, words: list[str]) -> None:
    assert "--help" in released.run(*words, expect=2).err

"""The files of a version are swapped at once, and stay while a reader holds them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from device_client.adapters.storage.file_store import FileStore
from device_client.adapters.storage.version_folders import KEPT_MAX, hold_folder
from device_client.core.state import Installed
from device_client.ports.storage import VersionFolder
from protocol.content.chunks import name as hash_of
from protocol.errors import BlobDamaged
from tests.builders import a_manifest, a_version_file

NAMES = ("model.tflite", "anchors.npy", "tokens.json")


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "device")


def a_version(store: FileStore, version: str, *, labels: tuple[str, ...] = ()) -> VersionFolder:
    """A version whose whole files are in the store; each says which it is."""
    links = {}
    for name in NAMES:
        content = f"{name} of {version}".encode()
        links[name] = hash_of(content)
        store.path(links[name]).write_bytes(content)
    return VersionFolder(version, links, labels)


def read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def files_of(version: str) -> dict[str, str]:
    return {name: f"{name} of {version}" for name in NAMES}


def test_one_link_swaps_all_files(store: FileStore) -> None:
    current = store.folder / "current"
    for version in ("1.0.0", "2.0.0"):
        store.make_current(a_version(store, version, labels=("cat", "", "dog")))
        assert read(current) == files_of(version) | {"labels.txt": "cat\n\ndog\n"}
        assert (store.folder / "current.tflite").read_text() == f"model.tflite of {version}"
    assert not any(link.readlink().is_absolute() for link in (current, store.folder / "current.tflite"))


def test_a_state_folder_may_be_moved(store: FileStore, tmp_path: Path) -> None:
    store.make_current(a_version(store, "1.0.0"))
    store.folder.rename(tmp_path / "elsewhere")
    assert read(tmp_path / "elsewhere" / "current") == files_of("1.0.0")


def test_the_link_of_an_older_client_becomes_one_of_the_folder(store: FileStore) -> None:
    version = a_version(store, "1.0.0")
    (store.folder / "current.tflite").symlink_to(Path("files") / version.links["model.tflite"])
    store.make_current(version)
    assert (store.folder / "current.tflite").readlink() == Path("current/model.tflite")


@pytest.mark.parametrize("damage", ["gone", "another", "no link", "labels"])
def test_a_folder_that_was_changed_is_mended(store: FileStore, damage: str) -> None:
    version = a_version(store, "1.0.0", labels=("cat",))
    folder = store.make_folder(version)
    whole = read(folder)
    anchors = folder / ("labels.txt" if damage == "labels" else "anchors.npy")
    anchors.unlink()
    if damage == "another":
        anchors.symlink_to("../../files/other")
    elif damage != "gone":
        anchors.write_text("mine")
    assert store.make_folder(version) == folder
    assert read(folder) == whole


def test_a_version_without_one_of_its_files_is_never_current(store: FileStore) -> None:
    store.make_current(a_version(store, "1.0.0"))
    version = a_version(store, "2.0.0")
    store.path(version.links["tokens.json"]).unlink()
    with pytest.raises(BlobDamaged, match=r"tokens\.json"):
        store.make_current(version)
    assert read(store.folder / "current") == files_of("1.0.0")


def test_what_a_reader_holds_stays_with_its_files(store: FileStore) -> None:
    old, new = a_version(store, "1.0.0"), a_version(store, "2.0.0")
    store.make_current(old)
    with hold_folder((store.folder / "current").resolve()) as held:
        assert held
        folder = (store.folder / "current").resolve()
        store.make_current(new)
        store.keep_only(new.links.values())
        assert read(folder) == files_of("1.0.0")
    store.keep_only(new.links.values())
    assert not folder.exists()
    assert not any(store.path(sha256).exists() for sha256 in old.links.values())
    assert read(store.folder / "current") == files_of("2.0.0")


def test_another_program_holds_a_folder_with_flock(store: FileStore) -> None:
    old, new = a_version(store, "1.0.0"), a_version(store, "2.0.0")
    folder = store.make_folder(old)
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    store.keep_only(new.links.values())
    assert read(folder) == files_of("1.0.0")
    os.close(descriptor)
    store.keep_only(new.links.values())
    assert not folder.exists()


def test_a_folder_that_is_gone_cannot_be_held(store: FileStore) -> None:
    with hold_folder(store.folder / "versions" / "none") as held:
        assert not held


def test_folders_of_versions_with_the_same_files_do_not_pile_up(store: FileStore) -> None:
    links = a_version(store, "1.0.0").links
    for number in range(3 * KEPT_MAX):
        store.make_current(VersionFolder(f"1.0.{number}", links))
        store.keep_only(links.values())
    names = [folder.name for folder in (store.folder / "versions").iterdir()]
    assert len(names) == KEPT_MAX
    assert {f"1.0.{number}" for number in range(2 * KEPT_MAX + 1, 3 * KEPT_MAX)} <= set(names)


def test_what_a_power_cut_left_half_made_is_removed(store: FileStore) -> None:
    making = store.folder / "versions" / ".making"
    making.mkdir(parents=True)
    (making / "model.tflite").symlink_to("../../files/x")
    (store.folder / ".current.next").symlink_to("versions/x")
    FileStore(store.folder)
    assert not making.exists()
    assert not (store.folder / ".current.next").is_symlink()


def test_a_folder_is_named_by_its_content() -> None:
    manifest = a_manifest(files=(a_version_file("anchors.npy"),))
    one = VersionFolder.of(Installed(manifest=manifest, variant=manifest.variants[0]))
    assert one.name.startswith("1.0.0-float32-")
    assert one.names == ("model.tflite", "anchors.npy", "labels.txt")
    others = [
        Installed(manifest=manifest, variant=manifest.variants[1]),
        Installed(manifest=a_manifest(), variant=manifest.variants[0]),
        Installed(manifest=manifest.model_copy(update={"labels": ("a", "b")}), variant=manifest.variants[0]),
    ]
    assert len({one.name, *(VersionFolder.of(other).name for other in others)}) == 4

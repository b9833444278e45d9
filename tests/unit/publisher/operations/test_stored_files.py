"""The files of a version: checked, stored in chunks, and handed on to the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import BadInput, BadName
from protocol.messages.manifest import Manifest
from protocol.topics import BUNDLE_MAX_BYTES
from publisher.adapters.registry import Registry
from publisher.operations.release.stored_files import (
    INLINE_LABELS_MAX_BYTES,
    FilesRequest,
    carried_files,
    check_files,
    read_labels_of,
    store_files,
    store_labels,
)
from tests.builders import NOON, a_bundle, a_manifest, a_plan, a_rule

BIRDS = tuple(f"Abroscopus albogularis {index}_Zaunkönig {index}" for index in range(6_522))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.create(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def anchors(tmp_path: Path) -> Path:
    path = tmp_path / "anchors.npy"
    path.write_bytes(bytes(range(256)) * 800)
    return path


def a_stored_version(registry: Registry, version: str, *, labels: tuple[str, ...] = (), **files: Path) -> Manifest:
    """A version with files, and its labels as `release` stores them."""
    kept, file = store_files(registry, files), store_labels(registry, labels)
    manifest = a_manifest(
        version,
        labels=() if file else labels,
        files=(*kept, file) if file else kept,
        labels_file=file.name if file else None,
    )
    registry.versions.add(manifest, {}, NOON)
    return manifest


def test_a_stored_file_can_be_sent_and_is_no_orphan(registry: Registry, anchors: Path) -> None:
    manifest = a_stored_version(registry, "1.0.0", anchors=anchors)
    file = manifest.files[0]
    assert registry.blobs.path(file.sha256).read_bytes() == anchors.read_bytes()
    for encoding in file.encodings:
        assert encoding.tree in manifest.trees()
        assert all(registry.chunks.read(sha256) for sha256 in registry.chunks.of_tree(encoding.tree))
    assert {encoding.kind for encoding in file.encodings} == {"raw", "zstd"}
    assert file.sha256 not in registry.orphans()


def test_few_labels_stay_in_the_manifest_and_many_become_a_file(registry: Registry) -> None:
    assert store_labels(registry, ("cat", "dog")) is None
    assert store_labels(registry, ("x" * (INLINE_LABELS_MAX_BYTES - 1),)) is None
    file = store_labels(registry, ("x" * INLINE_LABELS_MAX_BYTES,))
    assert file is not None
    assert file.name == "labels.txt"


@pytest.mark.parametrize("labels", [("cat", "dog"), ("a", "", "a"), BIRDS, (*[""] * 2_046, "x")])
def test_labels_are_read_back_from_wherever_they_are(registry: Registry, labels: tuple[str, ...]) -> None:
    manifest = a_stored_version(registry, "1.0.0", labels=labels)
    assert read_labels_of(registry, manifest) == labels


def test_three_versions_with_thousands_of_labels_fit_into_one_announcement(registry: Registry) -> None:
    versions = ("1.0.0", "1.1.0", "1.2.0")
    manifests = [a_stored_version(registry, version, labels=BIRDS) for version in versions]
    plan = a_plan(rules=[a_rule(version) for version in versions])
    _, bundle = a_bundle(plan, manifests=manifests)
    assert len(bundle) < BUNDLE_MAX_BYTES / 2


def test_files_are_handed_on_unless_given_anew_or_dropped(registry: Registry, anchors: Path) -> None:
    first = a_stored_version(registry, "1.0.0", labels=BIRDS, anchors=anchors, tokens=anchors)
    a_stored_version(registry, "1.1.0")
    assert carried_files(registry, "digits", FilesRequest()) == ()
    from_first = FilesRequest({"tokens": anchors}, carried_from="1.0.0")
    assert carried_files(registry, "digits", from_first) == (first.file("anchors"),)
    dropping = FilesRequest(dropped=("tokens",), carried_from="1.0.0")
    check_files(registry, "digits", dropping)
    assert [file.name for file in carried_files(registry, "digits", dropping)] == ["anchors"]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "-x", "x" * 81, "a\0b", "café", "a b", "x\n", "model.tflite",
     "Model.TFLite", "labels.txt"],
)  # fmt: skip
def test_a_name_that_no_device_can_have_is_refused(registry: Registry, anchors: Path, name: str) -> None:
    with pytest.raises(BadName):
        check_files(registry, "digits", FilesRequest({name: anchors}))


def test_what_cannot_be_released_is_refused_before_anything_is_made(registry: Registry, anchors: Path) -> None:
    empty = anchors.with_name("empty")
    empty.touch()
    for wrong in (
        FilesRequest({"a": empty}),
        FilesRequest({"a": anchors.with_name("nowhere")}),
        FilesRequest({"a": anchors.parent}),
        FilesRequest(dropped=("a",)),
        FilesRequest({"a": anchors}, dropped=("a",)),
        FilesRequest({"a": anchors, "A": anchors}),
        FilesRequest({f"file-{index}": anchors for index in range(32)}),
    ):
        with pytest.raises(BadInput):
            check_files(registry, "digits", wrong)

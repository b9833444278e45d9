"""A manifest refuses files that a device could not keep apart."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from protocol.messages.manifest import Manifest
from tests.builders import a_manifest, a_version_file


def test_its_files_travel_with_a_version() -> None:
    manifest = a_manifest(files=[a_version_file("anchors.npy"), a_version_file("labels.txt")], labels_file="labels.txt")
    assert Manifest.from_line(manifest.to_line()) == manifest
    anchors = manifest.file("anchors.npy")
    assert anchors is not None
    assert anchors.encodings[0].tree in manifest.trees()
    assert len(manifest.trees()) == len(a_manifest().trees()) + 2


@pytest.mark.parametrize(
    ("names", "labels_file"),
    [
        (["a", "a"], None),
        (["a", "A"], None),
        (["model.tflite"], None),
        (["a"], "labels.txt"),
        (["../a"], None),
        ([".."], None),
    ],
)
def test_names_that_a_device_could_not_keep_apart_are_refused(names: list[str], labels_file: str | None) -> None:
    with pytest.raises(ValidationError):
        a_manifest(files=[a_version_file(name) for name in names], labels_file=labels_file)

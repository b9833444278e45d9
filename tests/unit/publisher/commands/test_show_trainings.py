"""What was trained can be seen, released or not, and in which version it went out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from protocol.errors import UnknownVersion
from publisher.adapters.registry import Registry
from publisher.operations.context import open_context
from publisher.operations.init import init
from publisher.operations.progress import SilentProgress
from publisher.operations.show import ModelShown, show_model
from publisher.settings import Settings
from publisher.views import json_output as facts
from publisher.views import tables
from tests.builders import NOON, a_manifest

LINEAGE: dict[str, Any] = {
    "source": "recipe", "recipe": "fields", "settings": {"epochs": 20, "seed": 4}, "accuracy": 0.9758,
    "weights_sha256": "a" * 64, "history": [{"loss": 1.0, "accuracy": 0.5}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A registry with two trainings of digits, one of them a version, and one of
    fields.
    """
    init(tmp_path / "registry", topic_root="edgeferry", now=NOON)
    with Registry.open(tmp_path / "registry") as registry:
        registry.trainings.add("digits", LINEAGE, {"float32": "b" * 64}, NOON)
        registry.trainings.add("digits", {**LINEAGE, "weights_sha256": "c" * 64}, {"float32": "d" * 64}, NOON)
        registry.trainings.add("fields", LINEAGE, {"float32": "b" * 64}, NOON)
        registry.versions.add(a_manifest("1.0.0"), LINEAGE, NOON)
    return tmp_path / "registry"


def shown(folder: Path, model: str) -> ModelShown:
    with open_context(Settings.read({"registry": str(folder)}, {}), SilentProgress(), broker=False) as context:
        return show_model(context, model)


def test_a_model_that_was_only_trained_is_shown_with_its_trainings(folder: Path) -> None:
    found = shown(folder, "fields")
    assert (found.versions, found.plan, len(found.trainings)) == ((), None, 1)
    result = facts.of_training(found.trainings[0], None)
    assert (result["training"], result["accuracy"], result["files"]) == (3, 0.9758, {"float32": "b" * 64})
    assert "history" not in result["lineage"]


def test_each_training_tells_in_which_version_it_went_out(folder: Path) -> None:
    found = shown(folder, "digits")
    assert dict(found.released_as) == {1: "1.0.0"}
    page = io.StringIO()
    Console(file=page, width=80).print(tables.training_table(found.trainings, found.released_as))
    assert [line.split() for line in page.getvalue().splitlines()[1:]] == [
        ["2", "2026-06-01", "12:00", "fields", "20", "4", "0.976", "-"],
        ["1", "2026-06-01", "12:00", "fields", "20", "4", "0.976", "1.0.0"],
    ]


def test_a_model_that_was_never_trained_is_unknown(folder: Path) -> None:
    with pytest.raises(UnknownVersion, match="'nosuch'"):
        shown(folder, "nosuch")

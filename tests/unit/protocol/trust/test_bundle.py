"""The bundle as a message: bounds before parsing, and names that may stand in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.errors import BadInput, BundleMalformed
from protocol.topics import BUNDLE_MAX_BYTES
from protocol.trust.bundle import manifest_path, pack, plan_path, target_files, unpack
from tests.builders import a_bundle, a_manifest, a_plan, a_rule


def a_message(**changes: Any) -> bytes:
    """The parts of an honest bundle with some of them replaced."""
    return json.dumps(json.loads(a_bundle()[1]) | changes).encode()


def test_what_is_packed_is_unpacked_byte_for_byte() -> None:
    metadata = {"timestamp.json": '{"quote":"\\" ü \\n"}'.encode()}
    targets = {"digits/plan.json": a_plan().to_line()}
    parts = unpack(pack("digits", metadata, targets))
    assert {name: text.encode() for name, text in parts.metadata.items()} == metadata
    assert {path: text.encode() for path, text in parts.targets.items()} == targets


def test_an_announcement_is_one_line() -> None:
    assert b"\n" not in a_bundle()[1]


def test_the_announcement_of_one_release_stays_small() -> None:
    _, bundle = a_bundle()
    assert len(bundle) < 8_000


def test_a_message_one_byte_too_long_is_refused_and_one_at_the_limit_is_read() -> None:
    padded = a_message(padding="")
    at_limit = a_message(padding="x" * (BUNDLE_MAX_BYTES - len(padded)))
    assert unpack(at_limit).model == "digits"
    with pytest.raises(BundleMalformed, match=r"\b65537\b.*\b65536\b"):
        unpack(at_limit + b" ")


def test_a_plan_that_names_too_many_versions_is_refused_with_a_way_out() -> None:
    versions = [f"1.{minor}.0" for minor in range(60)]
    plan = a_plan(rules=[a_rule(version, devices=(f"pi-{version[2:-2]}",)) for version in versions])
    with pytest.raises(BadInput, match=r"\b60\b") as refusal:
        a_bundle(plan)
    assert refusal.value.hint


@pytest.mark.parametrize(
    "metadata",
    [
        {"../root.json": "{}"},
        {"root_history/1.root.json": "{}"},
        {"0.root.json": "{}"},
        {"TIMESTAMP.json": "{}"},
        {"timestamp.json": 7},
        {f"{number}.root.json": "{}" for number in range(1, 262)},
    ],
)
def test_metadata_under_a_name_that_cannot_be_or_too_much_of_it_is_refused(metadata: dict[str, Any]) -> None:
    with pytest.raises(BundleMalformed, match="metadata"):
        unpack(a_message(metadata=metadata))


@pytest.mark.parametrize("path", ["plan.json", "../plan.json", "digits/../plan.json", "/digits/plan.json", "a/b/c"])
def test_a_target_path_that_cannot_be_is_refused(path: str) -> None:
    with pytest.raises(BundleMalformed, match="targets"):
        unpack(a_message(targets={path: "{}"}))


def test_fields_of_a_newer_minor_format_pass() -> None:
    assert unpack(a_message(colour="blue")).model == "digits"


def test_the_files_to_sign_are_the_plan_and_the_manifests_it_names() -> None:
    plan = a_plan("1.0.0")
    files = target_files(plan, [a_manifest("1.0.0"), a_manifest("2.0.0"), a_manifest("1.0.0", model="other")])
    assert set(files) == {plan_path("digits"), manifest_path("digits", "1.0.0")}
    assert files[manifest_path("digits", "1.0.0")] == a_manifest("1.0.0").to_line()


def test_a_plan_without_the_manifest_it_names_is_not_signed() -> None:
    with pytest.raises(BadInput, match=r"2\.0\.0"):
        target_files(a_plan("2.0.0"), [a_manifest("1.0.0")])


def test_a_version_called_plan_has_a_place_of_its_own() -> None:
    assert manifest_path("digits", "plan") != plan_path("digits")

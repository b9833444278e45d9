"""A version is a set of files: fetched, kept and taken back as a whole."""

from __future__ import annotations

import pytest

from device_client.core import effects as do
from device_client.core.conditions.readings import Readings
from device_client.core.events import ModelFailed
from device_client.core.state import Device, Phase
from device_client.core.variants.selection import choose
from protocol.messages.manifest import Manifest
from tests.builders import a_hash, a_manifest, a_policy, a_version_file, an_encoding
from tests.life import Life, only

NAMES = ("anchors.npy", "labels.txt", "tokens.json")


def with_files(version: str) -> Manifest:
    """A version of three files, one of which is the same in every version."""
    files = [a_version_file(name, of="" if name == "tokens.json" else version, size_bytes=10_000) for name in NAMES]
    return a_manifest(version, files=tuple(files), labels=(), labels_file="labels.txt")


def a_life(phase: Phase = Phase.IDLE, *versions: str) -> Life:
    life = Life()
    life.manifest = with_files
    for version in versions:
        life.goes_to(phase, version)
    return life


def hashes(version: str) -> list[str]:
    return [file.sha256 for file in with_files(version).files]


def test_golden_set_files_and_model_are_fetched_in_order_and_progress_is_over_all() -> None:
    life = a_life()
    life.plans("1.0.0")
    opened, percents = only(do.OpenBlob, life.reads()), []
    while life.phase is Phase.FETCHING:
        percents.append(life.told[-1].update_percentage)
        life.misses("one", "two")
        opened += only(do.OpenBlob, life.gets_blob())
    golden, model = a_hash("golden of digits 1.0.0"), a_hash("float32 digits 1.0.0")
    assert [each.sha256 for each in opened] == [golden, *hashes("1.0.0"), model]
    assert percents == [0.0, 25.0, 37.5, 50.0, 62.5]  # of 20, 10, 10, 10 and 30 kB
    assert life.phase is Phase.PROVING


def test_progress_within_a_file_counts_its_chunks() -> None:
    life = a_life()
    life.plans("1.0.0")
    life.reads()
    life.gets_blob()
    life.misses("one", "two")
    life.misses("two")
    assert life.told[-1].update_percentage == 25.0


def test_the_files_of_the_live_and_the_previous_version_are_kept() -> None:
    life = a_life(Phase.COMMITTED, "1.0.0", "2.0.0")
    models = [a_hash(f"float32 digits {version}") for version in ("1.0.0", "2.0.0")]
    kept = set(only(do.KeepOnly, life.asked)[-1].sha256s)
    assert kept == {*models, *hashes("1.0.0"), *hashes("2.0.0")}
    life.goes_to(Phase.COMMITTED, "3.0.0")
    assert not set(hashes("1.0.0")[:2]) & set(only(do.KeepOnly, life.asked)[-1].sha256s)


def test_a_way_back_checks_every_file_and_fetches_no_golden_set() -> None:
    life = a_life(Phase.COMMITTED, "1.0.0", "2.0.0")
    life.plans("1.0.0", urgency="urgent")
    opened = only(do.OpenBlob, life.reads())
    while life.phase is Phase.FETCHING:
        opened += only(do.OpenBlob, life.gets_blob())
    assert [each.sha256 for each in opened] == [*hashes("1.0.0"), a_hash("float32 digits 1.0.0")]
    assert life.live == "1.0.0"


def test_a_restart_in_the_middle_goes_on_with_the_same_files() -> None:
    life = a_life(Phase.FETCHING, "1.0.0")
    life.gets_blob()
    opened = only(do.OpenBlob, life.restarts())
    while life.phase is Phase.FETCHING:
        opened += only(do.OpenBlob, life.gets_blob())
    assert len(opened) == 5


@pytest.mark.parametrize("shared", ["golden", "model"])
def test_a_file_like_another_is_fetched_once(shared: str) -> None:
    plain = a_manifest("1.0.0")
    blob = plain.golden if shared == "golden" else plain.variants[0]
    twin = a_version_file("twin").model_copy(update={"sha256": blob.sha256, "size_bytes": blob.size_bytes})
    life = Life()
    life.manifest = lambda _: plain.model_copy(update={"files": (twin, twin.model_copy(update={"name": "other"}))})
    life.goes_to(Phase.PROVING, "1.0.0")
    assert len(only(do.OpenBlob, life.asked)) == 2


def test_a_version_that_lost_a_file_is_replaced_and_fetched_again() -> None:
    life = a_life(Phase.COMMITTED, "1.0.0", "2.0.0")
    life.sees(ModelFailed(a_hash("float32 digits 2.0.0"), "anchors.npy is gone", damaged=True))
    assert life.live == "1.0.0"
    assert life.told[-1].state == "assigned"
    opened = only(do.OpenBlob, life.reads())
    while life.phase is Phase.FETCHING:
        opened += only(do.OpenBlob, life.gets_blob())
    assert set(hashes("2.0.0")) <= {each.sha256 for each in opened}


def test_files_that_an_older_client_ignored_are_fetched_after_its_upgrade() -> None:
    life = Life()  # its manifests have no files, as an older client reads them
    life.goes_to(Phase.COMMITTED, "1.0.0")
    plan = life.device.plan
    assert plan is not None
    life.manifest = with_files
    life.trusts(plan)
    assert life.told[-1].state == "assigned"
    opened = only(do.OpenBlob, life.reads())
    while life.phase is Phase.FETCHING:
        opened += only(do.OpenBlob, life.gets_blob())
    assert [each.sha256 for each in opened][:-1] == hashes("1.0.0")
    life.counts()
    live = life.device.live
    assert live is not None
    assert live.files() == {*hashes("1.0.0"), live.variant.sha256}
    asked = len(life.asked)
    life.trusts(plan)
    assert len(life.asked) == asked, "it has all that it should have"


def test_a_file_in_no_known_encoding_is_named() -> None:
    strange = a_version_file("anchors.npy").model_copy(update={"encodings": (an_encoding(kind="tensor-delta"),)})
    chosen = choose(a_manifest(files=(strange,)), a_policy(), Readings(), frozenset())
    assert isinstance(chosen, str)
    assert "anchors.npy" in chosen


def test_the_disk_must_have_room_for_the_files_too() -> None:
    life = a_life()
    life.plans("1.0.0")
    life.reads(disk_free_bytes=1_000)
    assert life.phase is Phase.DEFERRED
    assert "disk" in life.device.reason


def test_a_saved_target_of_an_older_client_is_read() -> None:
    life = Life()
    life.goes_to(Phase.FETCHING, "1.0.0")
    saved = life.device.model_dump(mode="json")
    del saved["target"]["file_encodings"]
    assert Device.model_validate(saved).target == life.device.target

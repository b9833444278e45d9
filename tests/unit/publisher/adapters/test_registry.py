"""The registry on disk: what is stored is read back, one command at a time; errors."""

from __future__ import annotations

import hashlib
import json
import re
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from protocol.content.chunks import FANOUT, cut, name
from protocol.errors import BadInput, BadName, BlobDamaged, Busy, Damaged, NoRoom, UnknownVersion, VersionOccupied
from protocol.messages.manifest import CHUNK_BYTES
from publisher.adapters.registry import Registry
from publisher.adapters.registry.database import MIGRATIONS, RegistryDatabase
from tests.builders import DAY, NOON, a_bundle, a_hash, a_manifest, a_plan, a_variant, an_authority, an_encoding


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.create(tmp_path / "registry") as made:
        yield made


def some_bytes(size_bytes: int, seed: str = "x") -> bytes:
    """Bytes without repetition, the same for a seed each time."""
    pieces = (hashlib.sha256(f"{seed} {number}".encode()).digest() for number in range(size_bytes // 32 + 1))
    return b"".join(pieces)[:size_bytes]


def test_a_folder_that_is_no_registry_is_refused_with_the_command_to_type(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refusal:
        Registry.open(tmp_path)
    assert "publisher init" in refusal.value.hint


def test_a_registry_is_not_made_twice_but_one_whose_making_was_killed_is_finished(tmp_path: Path) -> None:
    Registry.create(tmp_path).close()
    with Registry.create(tmp_path) as finished:
        finished.announcements.save_metadata(an_authority().metadata)
    with pytest.raises(BadInput, match="registry already"):
        Registry.create(tmp_path)


def test_a_registry_cannot_be_made_where_a_file_stands(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match=f"{tmp_path}/file/registry: Not a directory"):
        Registry.create(tmp_path / "file" / "registry")


def test_keys_are_out_of_reach_of_others_from_the_start(registry: Registry) -> None:
    assert (registry.folder / "keys").stat().st_mode & 0o777 == 0o700


def test_a_blob_is_kept_once_under_its_hash(registry: Registry, tmp_path: Path) -> None:
    content = some_bytes(3_000_000)
    source = tmp_path / "model.tflite"
    source.write_bytes(content)
    sha256 = registry.blobs.add_file(source)
    assert sha256 == hashlib.sha256(content).hexdigest() == registry.blobs.add_bytes(content)
    assert registry.blobs.path(sha256).read_bytes() == content
    assert registry.blobs.has(sha256)
    assert not registry.blobs.has(a_hash())
    assert registry.blobs.names() == [sha256]
    assert [path.name for path in (registry.folder / "blobs").iterdir()] == [sha256]


def test_a_blob_added_again_repairs_a_damaged_copy(registry: Registry) -> None:
    sha256 = registry.blobs.add_bytes(b"a model")
    registry.blobs.path(sha256).write_bytes(b"a modem")
    registry.blobs.add_bytes(b"a model")
    assert registry.blobs.path(sha256).read_bytes() == b"a model"


def test_a_missing_file_is_named(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.tflite .*No such file"):
        registry.blobs.add_file(tmp_path / "nowhere.tflite")


def test_a_hash_that_is_none_reaches_no_file(registry: Registry) -> None:
    with pytest.raises(BadName, match=r"'\.\./keys/root\.pem'"):
        registry.blobs.path("../keys/root.pem")


def test_no_room_for_a_blob_is_an_error_and_leaves_nothing(registry: Registry) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(NoRoom, match=re.escape(str(registry.folder / "blobs"))) as refusal:
            registry.blobs.add_bytes(some_bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refusal.value.hint
    assert list((registry.folder / "blobs").iterdir()) == []


@pytest.mark.parametrize("size_bytes", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES - 1])
def test_chunks_come_out_by_hash_with_the_root_last(registry: Registry, size_bytes: int) -> None:
    content = some_bytes(size_bytes)
    sha256 = registry.blobs.add_bytes(content)
    pieces = cut(registry.blobs.path(sha256))
    registry.chunks.add(sha256, pieces)
    order = registry.chunks.of_tree(pieces.tree)
    assert order[-1] == pieces.tree.root
    slices = [registry.chunks.read(leaf.sha256) or b"" for leaf in pieces.leaves]
    assert b"".join(slices) == content
    assert set(order) == {leaf.sha256 for leaf in pieces.leaves} | set(pieces.nodes)
    assert registry.chunks.blobs_of(pieces.tree) == {sha256}


@pytest.mark.heavy
def test_every_list_of_chunks_is_uploaded_after_what_it_lists(registry: Registry, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        for number in range(3):
            file.seek((number * FANOUT + 5) * CHUNK_BYTES)
            file.write(some_bytes(100, str(number)))
    sha256 = registry.blobs.add_file(big)
    big.unlink()
    pieces = cut(registry.blobs.path(sha256))
    assert pieces.tree.depth == 2
    registry.chunks.add(sha256, pieces)
    order = registry.chunks.of_tree(pieces.tree)
    assert len(order) == len(set(order))
    for sha, content in pieces.nodes.items():
        listed = [content[at : at + 32].hex() for at in range(0, len(content), 32)]
        assert max(order.index(child) for child in set(listed)) < order.index(sha)


def test_an_unknown_chunk_is_none_and_an_unknown_tree_an_error(registry: Registry) -> None:
    assert registry.chunks.read(a_hash()) is None
    with pytest.raises(UnknownVersion, match=an_encoding().tree.root[:12]):
        registry.chunks.of_tree(an_encoding().tree.model_copy(update={"depth": 1}))


def test_a_blob_that_changed_on_disk_is_named(registry: Registry) -> None:
    sha256 = registry.blobs.add_bytes(some_bytes(100_000))
    pieces = cut(registry.blobs.path(sha256))
    registry.chunks.add(sha256, pieces)
    registry.blobs.path(sha256).write_bytes(some_bytes(100_000, "other"))
    with pytest.raises(BlobDamaged, match=f"blobs/{sha256} .*{pieces.leaves[0].sha256[:12]}"):
        registry.chunks.read(pieces.leaves[0].sha256)
    registry.blobs.path(sha256).unlink()
    with pytest.raises(BlobDamaged, match=f"blobs/{sha256} .*No such file"):
        registry.chunks.read(pieces.leaves[0].sha256)


def test_a_chunk_of_a_damaged_blob_is_read_from_another_that_has_it(registry: Registry) -> None:
    shared = some_bytes(CHUNK_BYTES)
    first, second = registry.blobs.add_bytes(shared + b"one"), registry.blobs.add_bytes(shared + b"two")
    for sha256 in (first, second):
        registry.chunks.add(sha256, cut(registry.blobs.path(sha256)))
    for sha256 in (first, second):
        kept = registry.blobs.path(sha256).read_bytes()
        registry.blobs.path(sha256).write_bytes(b"")
        assert registry.chunks.read(name(shared)) == shared
        registry.blobs.path(sha256).write_bytes(kept)
    registry.discard_blob(first)
    assert registry.chunks.read(name(shared)) == shared
    assert not registry.blobs.has(first)


def test_versions_come_back_in_the_order_of_release(registry: Registry) -> None:
    for version in ("1.9.0", "1.10.0", "0.1.0"):
        registry.versions.add(a_manifest(version), {"recipe": "digits"}, NOON)
    registry.versions.add(a_manifest("7", model="other"), {}, NOON)
    assert registry.versions.of_model("digits") == ["1.9.0", "1.10.0", "0.1.0"]
    assert registry.versions.of_model("nothing") == []
    assert registry.versions.models() == ["digits", "other"]
    assert registry.versions.manifest("digits", "1.10.0") == a_manifest("1.10.0")
    assert registry.versions.lineage("digits", "1.10.0") == {"recipe": "digits"}


def test_a_version_never_changes_but_the_same_again_is_no_error(registry: Registry) -> None:
    registry.versions.add(a_manifest("1.0.0"), {"seed": 1}, NOON)
    registry.versions.add(a_manifest("1.0.0"), {"seed": 1}, NOON + DAY)
    with pytest.raises(VersionOccupied, match=r"digits 1\.0\.0"):
        registry.versions.add(a_manifest("1.0.0", notes="another"), {}, NOON)
    assert registry.versions.manifest("digits", "1.0.0").notes == ""


def test_an_unknown_version_names_the_known_ones(registry: Registry) -> None:
    registry.versions.add(a_manifest("1.0.0"), {}, NOON)
    with pytest.raises(UnknownVersion, match=r"digits .*2\.0\.0") as refusal:
        registry.versions.manifest("digits", "2.0.0")
    assert refusal.value.hint == "there are: 1.0.0"
    with pytest.raises(UnknownVersion, match="'cats'") as refusal:
        registry.versions.lineage("cats", "1.0.0")
    assert refusal.value.hint == "there are: digits"
    with pytest.raises(UnknownVersion):
        registry.versions.remove("digits", "2.0.0")


def test_orphans_are_the_blobs_that_no_version_needs(registry: Registry) -> None:
    model, packed, checkpoint, left = (
        registry.blobs.add_bytes(text.encode()) for text in ("model", "zst", "keras", "left")
    )
    pieces = cut(registry.blobs.path(packed))
    registry.chunks.add(packed, pieces)
    encoding = an_encoding().model_copy(update={"tree": pieces.tree})
    variant = a_variant(encodings=[encoding]).model_copy(update={"sha256": model})
    registry.versions.add(a_manifest(variants=[variant]), {"parents": [{"checkpoint": checkpoint}]}, NOON)
    assert registry.orphans() == [left]
    registry.versions.remove("digits", "1.0.0")
    assert set(registry.orphans()) == {model, packed, checkpoint, left}


def test_what_a_killed_command_left_half_written_is_cleared(registry: Registry) -> None:
    (registry.folder / "blobs" / ".unfinished-abc").write_bytes(b"half")
    sha256 = registry.blobs.add_bytes(b"whole")
    assert registry.blobs.names() == [sha256]
    assert registry.blobs.remove_unfinished() == 1
    assert registry.blobs.has(sha256)


def test_a_staged_bundle_is_to_be_sent_until_the_broker_has_it(registry: Registry) -> None:
    authority, bundle = a_bundle()
    assert registry.announcements.plan("digits") is None
    assert registry.announcements.bundle("digits") is None
    staged = registry.announcements.stage("digits", a_plan(), bundle, authority.metadata)
    assert registry.announcements.pending() == [staged]
    assert registry.announcements.plan("digits") == a_plan()
    assert registry.announcements.bundle("digits") == bundle
    assert registry.announcements.metadata() == authority.metadata
    registry.announcements.mark_announced(staged)
    assert registry.announcements.pending() == []


def test_a_bundle_staged_while_another_was_being_sent_stays_to_be_sent(registry: Registry) -> None:
    authority, bundle = a_bundle()
    sending = registry.announcements.stage("digits", a_plan(), bundle, authority.metadata)
    authority, renewed = authority.renew(registry.announcements.bundles(), NOON + DAY)
    registry.announcements.stage_renewed(renewed, authority.metadata)
    registry.announcements.mark_announced(sending)
    (waiting,) = registry.announcements.pending()
    assert waiting.bundle == renewed["digits"]
    assert waiting.sequence == sending.sequence


def test_a_plan_that_does_not_come_after_the_last_is_not_staged(registry: Registry) -> None:
    authority, bundle = a_bundle(a_plan(sequence=5))
    registry.announcements.stage("digits", a_plan(sequence=5), bundle, authority.metadata)
    with pytest.raises(BadInput, match=r"5 of 'digits' .*5"):
        registry.announcements.stage("digits", a_plan(sequence=5), b"other", {})
    assert registry.announcements.bundle("digits") == bundle
    assert registry.announcements.metadata() == authority.metadata


def test_a_renewal_of_what_was_never_announced_changes_nothing(registry: Registry) -> None:
    authority, bundle = a_bundle()
    registry.announcements.stage("digits", a_plan(), bundle, authority.metadata)
    with pytest.raises(UnknownVersion, match="'cats'"):
        registry.announcements.stage_renewed({"digits": b"new", "cats": b"new"}, {})
    assert registry.announcements.bundle("digits") == bundle
    assert registry.announcements.metadata() == authority.metadata


def test_uploads_are_noted_per_broker(registry: Registry) -> None:
    one, two = a_hash("one"), a_hash("two")
    registry.uploads.add([one, two], "a:1883")
    registry.uploads.add([one], "b:1883")
    registry.uploads.add([one], "a:1883")
    registry.uploads.remove([two], "a:1883")
    assert registry.uploads.of_broker("a:1883") == {one}
    registry.uploads.remove([one], "a:1883")
    assert registry.uploads.of_broker("a:1883") == set()
    assert registry.uploads.of_broker("b:1883") == {one}


def test_devices_and_settings_are_kept(registry: Registry) -> None:
    registry.devices.add("pi-2", (), NOON)
    registry.devices.add("pi-1", ("canary", "lab"), NOON)
    registry.devices.add("pi-2", ("lab",), NOON + DAY)
    assert [(device.name, device.groups) for device in registry.devices.all()] == [
        ("pi-1", ("canary", "lab")),
        ("pi-2", ("lab",)),
    ]
    assert registry.settings.get("topic_root") is None
    registry.settings.set("topic_root", "fleet")
    registry.settings.set("topic_root", "barn")
    assert registry.settings.get("topic_root") == "barn"


def test_everything_is_still_there_when_opened_again(tmp_path: Path) -> None:
    authority, bundle = a_bundle()
    with Registry.create(tmp_path) as registry:
        sha256 = registry.blobs.add_bytes(b"model")
        registry.versions.add(a_manifest(), {}, NOON)
        registry.announcements.stage("digits", a_plan(), bundle, authority.metadata)
    with Registry.open(tmp_path) as registry:
        assert registry.blobs.has(sha256)
        assert registry.versions.of_model("digits") == ["1.0.0"]
        assert registry.announcements.bundle("digits") == bundle


def test_threads_of_one_program_may_share_a_registry(registry: Registry) -> None:
    def work(number: int) -> str:
        registry.uploads.add([a_hash(str(number))], "broker")
        return registry.blobs.add_bytes(f"blob {number % 5}".encode())

    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(work, range(60)))
    assert set(registry.blobs.names()) == names
    assert len(registry.uploads.of_broker("broker")) == 60


HOLD = """
import sys
from pathlib import Path
from publisher.adapters.registry import Registry
sys.argv = ["publisher", "release"]
with Registry.open(Path(sys.stdin.readline().strip())).lock():
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_command_learns_which_one_holds_the_registry_until_that_one_dies(registry: Registry) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin
        assert other.stdout
        other.stdin.write(f"{registry.folder}\n")
        other.stdin.flush()
        assert other.stdout.readline() == "held\n"
        holders: list[str] = []
        in_use = pytest.raises(Busy, match=rf"publisher release .*{other.pid}")
        with in_use, registry.lock(wait_s=0.3, on_wait=holders.append):
            pytest.fail("two commands hold the registry")
        assert holders == [f"publisher release (process {other.pid})"]
        other.kill()
    with registry.lock():
        assert (registry.folder / "lock").exists()


def test_the_lock_is_free_again_after_an_error(registry: Registry) -> None:
    with pytest.raises(ZeroDivisionError), registry.lock():
        raise ZeroDivisionError
    with registry.lock(), pytest.raises(Busy), registry.lock():
        pytest.fail("two commands hold the registry")


def test_a_damaged_database_is_an_error_with_a_hint(tmp_path: Path) -> None:
    Registry.create(tmp_path).close()
    (tmp_path / "registry.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(Damaged, match=r"registry\.db .*file is not a database") as refusal:
        Registry.open(tmp_path)
    assert refusal.value.hint


def test_a_database_with_a_torn_page_is_damaged(tmp_path: Path) -> None:
    with Registry.create(tmp_path) as registry:
        for number in range(50):
            registry.versions.add(a_manifest(f"1.{number}"), {}, NOON)
    path = tmp_path / "registry.db"
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = b"\xa5" * (len(content) - 4096 * 2)
    path.write_bytes(content)
    with Registry.open(tmp_path) as registry, pytest.raises(Damaged, match=r"registry\.db .*malformed"):
        registry.versions.of_model("digits")


def test_a_registry_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    Registry.create(tmp_path).close()
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(BadInput, match=rf"\b{len(MIGRATIONS) + 1}\b.*\b{len(MIGRATIONS)}\b") as refusal:
        Registry.open(tmp_path)
    assert refusal.value.hint


def test_a_database_without_room_says_so_and_keeps_what_it_had(tmp_path: Path) -> None:
    database = RegistryDatabase(tmp_path / "registry.db", create=True)

    def write_much() -> None:
        with database.transaction() as rows:
            rows.execute("INSERT INTO settings VALUES ('small', 'kept?')")
            rows.execute("PRAGMA max_page_count = 1")
            rows.execute("INSERT INTO settings VALUES ('big', zeroblob(1000000))")

    with pytest.raises(NoRoom, match=r"registry\.db"):
        write_much()
    assert database.rows("SELECT * FROM settings") == []
    database.close()


def test_a_database_that_another_program_keeps_writing_is_busy(tmp_path: Path) -> None:
    database = RegistryDatabase(tmp_path / "registry.db", create=True, busy_timeout_s=0.1)
    other = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy, match=r"registry\.db"), database.transaction():
        pytest.fail("two writers at once")
    assert database.rows("SELECT * FROM settings") == []
    other.close()
    database.close()


RELEASES = """
import sys
from pathlib import Path
from protocol.trust.authority import Authority
from protocol.content.chunks import cut
from publisher.adapters.registry import Registry
from tests.builders import NOON, KeyRing, a_manifest, a_plan, a_variant, an_authority, an_encoding

registry = Registry.open(Path(sys.argv[1]))
authority = an_authority()
registry.announcements.save_metadata(authority.metadata)
for number in range(1, 1000):
    print(number, flush=True)
    sha256 = registry.blobs.add_bytes(f"model {number}".encode() * 10_000)
    pieces = cut(registry.blobs.path(sha256))
    registry.chunks.add(sha256, pieces)
    encoding = an_encoding().model_copy(update={"tree": pieces.tree})
    variant = a_variant(encodings=[encoding]).model_copy(update={"sha256": sha256})
    manifest = a_manifest(f"{number}", variants=[variant])
    registry.versions.add(manifest, {}, NOON)
    plan = a_plan(f"{number}", sequence=number)
    authority, bundle = authority.publish(plan, [manifest], NOON)
    registry.announcements.mark_announced(registry.announcements.stage("digits", plan, bundle, authority.metadata))
"""


@pytest.mark.parametrize("lines", [1, 2, 5, 9, 14])
def test_a_publisher_killed_at_any_point_leaves_a_whole_registry(tmp_path: Path, lines: int) -> None:
    Registry.create(tmp_path).close()
    command = [sys.executable, "-c", RELEASES, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as publisher:
        assert publisher.stdout
        for _ in range(lines):
            assert publisher.stdout.readline()
        publisher.kill()
    with Registry.open(tmp_path) as registry:
        for version in registry.versions.of_model("digits"):
            (variant,) = registry.versions.manifest("digits", version).variants
            for sha256 in registry.chunks.of_tree(variant.encodings[0].tree):
                assert registry.chunks.read(sha256)
        plan, bundle, metadata = (
            registry.announcements.plan("digits"),
            registry.announcements.bundle("digits"),
            registry.announcements.metadata(),
        )
        if plan and bundle:
            assert plan.versions()[0] in registry.versions.of_model("digits")
            assert json.loads(bundle)["metadata"]["timestamp.json"].encode() == metadata["timestamp.json"]
        assert lines == 1 or plan is not None
        registry.blobs.remove_unfinished()
        assert len(registry.orphans()) <= 1

"""What `publisher release` and the other commands leave on a real broker."""

from __future__ import annotations

import io
import json
import shutil
import stat
import tomllib
import zipfile
from pathlib import Path

from protocol.topics import Topics
from publisher.adapters.broker_client import RetainedMessage
from publisher.adapters.registry import Registry
from tests.brokers import Mosquitto, mosquitto_with_users, readable_folder
from tests.integration.publisher_cli import (
    TOPICS,
    PublisherCli,
    a_publisher,
    announced,
    another_model,
    connect,
    missing_chunks,
)


def test_a_device_finds_all_that_a_release_promises(publisher: PublisherCli, big: Path) -> None:
    result = publisher.run("release", "big", "--version", "1.0.0", "--tflite", big, "--notes", "first", "--json").json
    with connect(publisher.url) as broker:
        accepted = announced(broker, "big", publisher.enrolled_root())
        assert accepted is not None
        assert missing_chunks(broker, accepted) == []
    assert accepted.plan.versions() == ("1.0.0",)
    manifest = accepted.manifests["1.0.0"]
    assert (manifest.notes, [variant.name for variant in manifest.variants]) == ("first", ["original"])
    assert {encoding.kind for encoding in manifest.variants[0].encodings} == {"raw", "zstd"}
    assert result["uploaded_bytes"] > big.stat().st_size
    assert (result["plan_sequence"], result["audience"]) == (1, "every device")


def test_going_back_uploads_nothing(publisher: PublisherCli, flowers: Path) -> None:
    publisher.run("release", "flowers", "--version", "1.0.0", "--tflite", flowers)
    other = publisher.run(
        "release", "flowers", "--version", "1.1.0", "--tflite", flowers.with_stem("other-float32"), "--json"
    )
    assert other.json["uploaded_chunks"] > 0
    output = publisher.run("rollback", "flowers").out
    assert "rolled back from 1.1.0 to 1.0.0" in output
    assert "0 chunks uploaded" in output
    with connect(publisher.url) as broker:
        accepted = announced(broker, "flowers", publisher.enrolled_root())
    assert accepted is not None
    assert (accepted.plan.versions(), accepted.plan.urgency) == (("1.0.0",), "urgent")


def test_the_same_file_again_costs_no_upload(publisher: PublisherCli, flowers: Path) -> None:
    publisher.run("release", "flowers", "--version", "1.0.0", "--tflite", flowers)
    result = publisher.run("release", "flowers", "--version", "1.0.1", "--tflite", flowers, "--json").json
    assert result["uploaded_chunks"] == 0


def test_a_release_to_an_emptied_broker_uploads_everything_again(
    publisher: PublisherCli, broker: Mosquitto, big: Path
) -> None:
    first = publisher.run("release", "big", "--version", "1.0.0", "--tflite", big, "--json").json
    broker.stop()
    broker.start()
    second = publisher.run("release", "big", "--version", "1.0.1", "--tflite", big, "--json").json
    assert second["uploaded_chunks"] == first["uploaded_chunks"]
    with connect(publisher.url) as looking:
        accepted = announced(looking, "big", publisher.enrolled_root())
        assert accepted is not None
        assert missing_chunks(looking, accepted) == []


def test_options_may_stand_before_and_behind(publisher: PublisherCli, flowers: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    publisher.run("--registry", elsewhere, "init", "--root", "garden")
    publisher.run("release", "flowers", "--version", "1", "--tflite", flowers, "--registry", elsewhere)
    assert publisher.run("--json", "rollout", "show", "flowers", "--registry", elsewhere).json["sequence"] == 1
    assert publisher.run("rollout", "--json", "--registry", elsewhere, "show", "flowers").json["sequence"] == 1
    with connect(publisher.url) as broker:
        assert broker.read([Topics("garden").desired("flowers")])
        assert not broker.read([TOPICS.desired("flowers")])


def test_plans_are_steered_from_the_command_line(publisher: PublisherCli, flowers: Path) -> None:
    for version in ("1.0.0", "1.1.0"):
        publisher.run("release", "flowers", "--version", version, "--tflite", flowers, "--to", "all")
    publisher.run(
        "release", "flowers", "--version", "1.2.0", "--tflite", flowers, "--to", "group:canary", "--spread", "10m"
    )
    publisher.run("pin", "flowers", "1.0.0", "pi-1", "pi-2")
    publisher.run("unpin", "flowers", "pi-2")
    publisher.run("rollout", "hold", "flowers")
    publisher.run("rollout", "resume", "flowers")
    plan = publisher.run("rollout", "advance", "flowers", "--to", "25%", "--json").json
    assert [(rule["audience"], rule["version"]) for rule in plan["rules"]] == [
        ("device pi-1", "1.0.0"),
        ("25 % of the fleet", "1.2.0"),
        ("group canary", "1.2.0"),
        ("every device", "1.1.0"),
    ]
    assert (plan["sequence"], plan["spread_s"], plan["uploaded_chunks"]) == (8, 600, 0)
    with connect(publisher.url) as broker:
        accepted = announced(broker, "flowers", publisher.enrolled_root())
    assert accepted is not None
    assert accepted.plan.sequence == 8
    assert set(accepted.manifests) == {"1.0.0", "1.1.0", "1.2.0"}


def test_what_no_plan_needs_is_cleared_and_comes_back_when_it_is_needed(
    publisher: PublisherCli, flowers: Path, big: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(another_model(big.read_bytes(), seed=2))
    first = publisher.run("release", "big", "--version", "1.0.0", "--tflite", big, "--json").json
    publisher.run("release", "flowers", "--version", "1.0.0", "--tflite", flowers)
    publisher.run("release", "big", "--version", "1.1.0", "--tflite", other)
    root = publisher.enrolled_root()
    planned = publisher.run("prune", "--dry-run", "--json").json
    pruned = publisher.run("prune", "--json").json
    assert (planned["chunks"], pruned["chunks"] > 0, publisher.run("prune", "--json").json["chunks"]) == (
        pruned["chunks"], True, 0,
    )  # fmt: skip
    with connect(publisher.url) as broker:
        for model in ("big", "flowers"):
            accepted = announced(broker, model, root)
            assert accepted is not None
            assert missing_chunks(broker, accepted) == []
        back = publisher.run("rollback", "big", "--json").json
        assert pruned["chunks"] == back["uploaded_chunks"] <= first["uploaded_chunks"]
        accepted = announced(broker, "big", root)
        assert accepted is not None
        assert missing_chunks(broker, accepted) == []


def test_files_of_a_refused_release_are_pruned(publisher: PublisherCli) -> None:
    with Registry.open(publisher.registry) as registry:
        registry.blobs.add_bytes(b"left behind")
    pruned = publisher.run("prune", "--json").json
    assert (pruned["blobs"], pruned["blob_bytes"]) == (1, 11)


def test_a_trained_model_passes_its_gates_and_a_scrambled_one_only_by_force(publisher: PublisherCli) -> None:
    good = publisher.run("release", "digits", "--version", "1.0.0", "--epochs", "3", "--json").json
    assert set(good["variants"]) == {"float32", "int8"}
    assert good["accuracy"] > 0.85
    assert good["missed_gates"] == []
    bad = ("release", "digits", "--version", "1.1.0", "--epochs", "1", "--scramble-labels")
    refused = publisher.run(*bad, expect=6)
    assert "under the" in refused.err
    assert "--force" in refused.err
    forced = publisher.run(*bad, "--force", "--json").json
    assert "of 1.0.0" in forced["forced"]
    assert publisher.run("show", "digits", "1.1.0", "--json").json["lineage"]["settings"]["scramble_labels"] is True
    assert "1.1.0" in publisher.run("show", "digits").out


def test_training_alone_writes_the_variants_and_their_numbers(publisher: PublisherCli, tmp_path: Path) -> None:
    out = tmp_path / "trained"
    publisher.run("train", "digits", "--epochs", "1", "--seed", "5", "--out", out)
    assert (out / "digits-float32.tflite").read_bytes()[4:8] == b"TFL3"
    assert (out / "digits-int8.tflite").exists()
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["lineage"]["settings"]["seed"] == 5
    assert metrics["variants"]["int8"]["accuracy"] > 0.3


def test_a_device_is_enrolled_with_what_it_needs(publisher: PublisherCli, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text('se"cret\\\n')
    folder = tmp_path / "kitchen"
    words = ("enroll", "pi-1", "--out", folder, "--group", "kitchen", "--group", "canary", "--model", "flowers")
    output = publisher.run(*words, "--user", "pi-1", "--password-file", password)
    settings = tomllib.loads((folder / "device.toml").read_text())
    assert settings == {
        "device": "pi-1", "groups": ["kitchen", "canary"], "broker": publisher.url, "user": "pi-1",
        "password": 'se"cret\\', "root": "root.json", "topic_root": "fleet", "state": "state",
        "models": [{"name": "flowers"}],
    }  # fmt: skip
    assert stat.S_IMODE((folder / "device.toml").stat().st_mode) == 0o600
    assert "se" + '"cret' not in output.out + output.err
    assert [device.groups for device in Registry.open(publisher.registry).devices.all()] == [("kitchen", "canary")]


def test_a_device_of_a_private_authority_is_given_its_certificate(publisher: PublisherCli, tmp_path: Path) -> None:
    ca = tmp_path / "our-ca.pem"
    ca.write_text("a certificate")
    publisher.run("enroll", "pi-1", "--out", tmp_path / "pi-1", "--broker", "mqtts://broker.lan", "--ca", ca)
    settings = tomllib.loads((tmp_path / "pi-1" / "device.toml").read_text())
    assert (settings["broker"], settings["tls"]) == ("mqtts://broker.lan:8883", {"ca": "ca.pem"})
    assert (tmp_path / "pi-1" / "ca.pem").read_text() == "a certificate"
    gone = ("enroll", "pi-1", "--out", tmp_path / "pi-1", "--broker", "mqtts://x", "--ca", tmp_path / "gone")
    assert "cannot be read" in publisher.run(*gone, expect=2).err


def test_another_registrys_root_is_not_overwritten_unless_asked(publisher: PublisherCli, tmp_path: Path) -> None:
    other = tmp_path / "other"
    publisher.run("init", "--registry", other)
    root = publisher.enrolled_root()
    refused = publisher.run("enroll", "pi-1", "--out", tmp_path / "pi-1", "--registry", other, expect=2)
    assert "root of another registry" in refused.err
    assert (tmp_path / "pi-1" / "root.json").read_bytes() == root
    publisher.run("enroll", "pi-1", "--out", tmp_path / "pi-1")
    publisher.run("enroll", "pi-1", "--out", tmp_path / "pi-1", "--registry", other, "--force")
    assert (tmp_path / "pi-1" / "root.json").read_bytes() != root


def test_a_registry_is_made_once(publisher: PublisherCli) -> None:
    with Registry.open(publisher.registry) as registry:
        before = registry.announcements.metadata()
    assert "is a registry already" in publisher.run("init", expect=2).err
    with Registry.open(publisher.registry) as registry:
        assert registry.announcements.metadata() == before
        assert stat.S_IMODE((publisher.registry / "keys").stat().st_mode) == 0o700


ACL = "user publisher\ntopic readwrite fleet/v1/#\nuser reader\ntopic read fleet/v1/#\n"


def test_a_user_without_write_access_gets_an_error(tmp_path: Path, flowers: Path) -> None:
    folder = readable_folder()
    rights = folder / "acl"
    rights.write_text(ACL)
    try:
        with mosquitto_with_users({"publisher": "p", "reader": "r"}, f"acl_file {rights}") as broker:
            port = broker.port
            publisher = a_publisher(tmp_path, f"mqtt://reader:r@127.0.0.1:{port}")
            output = publisher.run("release", "flowers", "--version", "1.0.0", "--tflite", flowers, expect=5).err
            assert "fleet/v1/chunks/" in output
            assert "ACL" in output
            done = PublisherCli(tmp_path, f"mqtt://publisher:p@127.0.0.1:{port}").run("rollout", "hold", "flowers")
            assert "announcing plan 1 of flowers" in done.err
    finally:
        shutil.rmtree(folder)


def test_a_fleet_of_another_registry_is_left_alone(tmp_path: Path, broker: Mosquitto, flowers: Path) -> None:
    theirs, ours = a_publisher(tmp_path / "theirs", broker.url), a_publisher(tmp_path / "ours", broker.url)
    theirs.run("release", "flowers", "--version", "1.0.0", "--tflite", flowers)
    refused = ours.run("release", "flowers", "--version", "7.0.0", "--tflite", flowers, expect=5)
    assert "another registry has announced 'flowers'" in refused.err
    with connect(broker.url) as seen:
        accepted = announced(seen, "flowers", theirs.enrolled_root())
        assert accepted is not None
        assert accepted.plan.versions() == ("1.0.0",)
        seen.put_all([RetainedMessage(TOPICS.desired("flowers"), b"")])  # cleared, as the hint says
    ours.run("release", "flowers", "--version", "7.0.0", "--tflite", flowers)


def test_files_travel_with_the_model_and_are_handed_on(publisher: PublisherCli, flowers: Path, tmp_path: Path) -> None:
    anchors, tokens = tmp_path / "a.npy", tmp_path / "t.json"
    anchors.write_bytes(bytes(range(256)) * 800)
    tokens.write_text('["a"]')
    release = ("release", "flowers", "--tflite", flowers, "--json", "--version")
    files = ("--file", f"anchors.npy={anchors}", "--file", f"tokens.json={tokens}")
    first = publisher.run_here(*release, "1.0.0", *files, "--labels", "rose,tulip,rose")
    sizes = {name: file["size_bytes"] for name, file in first.json["files"].items()}
    assert sizes == {"anchors.npy": 204_800, "tokens.json": 5}
    tokens.write_text('["b"]')
    second = publisher.run_here(*release, "1.1.0", "--file", f"tokens.json={tokens}")
    assert "as in the version before: anchors.npy" in second.err
    assert second.json["files"]["anchors.npy"] == first.json["files"]["anchors.npy"]
    assert second.json["files"]["tokens.json"] != first.json["files"]["tokens.json"]
    assert second.json["labels"] == ["rose", "tulip", "rose"]
    with connect(publisher.url) as broker:
        accepted = announced(broker, "flowers", publisher.enrolled_root())
        assert accepted is not None
        trees = [encoding.tree for file in accepted.manifests["1.1.0"].files for encoding in file.encodings]
        broker.put_all(RetainedMessage(TOPICS.chunk(tree.root), b"") for tree in trees)
        assert len(missing_chunks(broker, accepted)) >= len(trees)
        third = publisher.run_here(*release, "1.2.0", "--drop-file", "tokens.json")
        publisher.run_here("prune")
        accepted = announced(broker, "flowers", (publisher.folder / "pi-1" / "root.json").read_bytes())
        assert accepted is not None
        assert missing_chunks(broker, accepted) == []
    assert list(third.json["files"]) == ["anchors.npy"]
    assert "file: anchors.npy, 205 kB" in publisher.run_here("show", "flowers", "1.0.0").out


def test_labels_in_a_model_file_are_used_and_thousands_of_them_travel_as_a_file(
    publisher: PublisherCli, flowers: Path, tmp_path: Path
) -> None:
    described = tmp_path / "described.tflite"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("labels.txt", "Zaunkönig\r\nwren\r\n" + "x" * 3_000)
    described.write_bytes(flowers.read_bytes() + packed.getvalue())
    released = publisher.run_here("release", "flowers", "--version", "1.0.0", "--tflite", described, "--json")
    assert "3 labels are those in the model file's labels.txt" in released.err
    assert released.json["labels"] == ["Zaunkönig", "wren", "x" * 3_000]
    assert list(released.json["files"]) == ["labels.txt"]
    given = publisher.run_here("release", "flowers", "--version", "1.1.0", "--tflite", described, "--labels", "a,b,c")
    assert "model file's" not in given.err


def test_types_free_sizes_and_noise_are_told_and_sizes_stay_in_the_next_version(publisher: PublisherCli) -> None:
    file = Path(__file__).parents[1] / "data" / "models" / "dynamic-time.tflite"
    first = publisher.run("release", "ear", "--version", "1.0.0", "--tflite", file, "--free-size", "1=32-64")
    assert "input 0: input_2: float32 [1, 32-64, 13]" in first.out
    assert "golden set: 32 samples, of random noise" in first.out
    second = publisher.run("release", "ear", "--version", "1.1.0", "--tflite", file, "--json").json
    assert second["contract"]["inputs"][0]["size_max"] == [1, 64, 13]
    assert second["golden_noise_samples"] == 32
    assert "float32 [1, 32-64, 13]" in publisher.run("show", "ear", "1.1.0").out
    refused = publisher.run("release", "ear", "--version", "2.0.0", "--tflite", file, "--free-size", "1=64", expect=2)
    assert "earlier versions have float32 [1, 32-64, 13]" in refused.err

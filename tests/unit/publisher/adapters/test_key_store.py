"""The private keys: made once, readable by nobody else, and missed by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from protocol.errors import BadName, BadSettings, MissingPart
from protocol.trust.authority import Authority
from protocol.trust.metadata_editor import TOP_ROLES
from protocol.trust.verification import verify
from publisher.adapters.key_store import KeyStore
from tests.builders import NOON, a_bundle, a_plan


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore.create(tmp_path / "keys", [*TOP_ROLES, "model-digits"])


def test_each_role_has_a_key_of_its_own_that_only_its_owner_can_read(keys: KeyStore) -> None:
    assert keys.folder.stat().st_mode & 0o777 == 0o700
    ids = set()
    for role in (*TOP_ROLES, "model-digits"):
        assert (keys.folder / f"{role}.pem").stat().st_mode & 0o777 == 0o600
        ids |= {signer.public_key.keyid for signer in keys.signers(role)}
    assert len(ids) == 5


def test_making_keys_again_keeps_the_ones_there_are(keys: KeyStore) -> None:
    before = keys.signers("root")[0].public_key.keyid
    KeyStore.create(keys.folder, TOP_ROLES)
    assert [signer.public_key.keyid for signer in keys.signers("root")] == [before]


def test_keys_from_disk_sign_what_a_device_believes(keys: KeyStore) -> None:
    authority = Authority.create(keys.signers, NOON)
    _, bundle = a_bundle(authority=Authority(authority.metadata, KeyStore(keys.folder).signers))
    assert verify(bundle, model="digits", root=authority.root, trusted={}, now=NOON, clock_trusted=True).news


def test_a_root_key_in_a_safe_is_missed_by_name_and_only_when_needed(keys: KeyStore) -> None:
    authority = Authority.create(keys.signers, NOON)
    (keys.folder / "root.pem").rename(keys.folder.parent / "usb-stick.pem")
    authority, _ = a_bundle(authority=authority)
    with pytest.raises(MissingPart, match="root role") as refusal:
        keys.signers("root")
    assert "root.pem" in refusal.value.hint
    with pytest.raises(MissingPart, match=r"\broot\b.*\b1\b"):
        authority.rotate("root", [keys.add("timestamp")], NOON)


def test_a_key_that_others_can_read_is_refused_with_the_line_to_type(keys: KeyStore) -> None:
    path = keys.folder / "snapshot.pem"
    path.chmod(0o640)
    with pytest.raises(BadSettings, match=r"snapshot\.pem") as refusal:
        keys.signers("snapshot")
    assert refusal.value.hint == f"type: chmod 600 '{path}'"
    path.chmod(0o600)
    keys.folder.chmod(0o755)
    with pytest.raises(BadSettings) as refusal:
        keys.signers("snapshot")
    assert refusal.value.hint == f"type: chmod 700 '{keys.folder}'"


def test_a_file_that_is_no_key_is_named(keys: KeyStore) -> None:
    (keys.folder / "targets.pem").write_text("not a key")
    with pytest.raises(BadSettings, match=r"targets\.pem .*private key"):
        keys.signers("targets")


def test_a_key_of_another_kind_is_named(keys: KeyStore) -> None:
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (keys.folder / "targets.pem").write_bytes(other)
    with pytest.raises(BadSettings, match="Ed25519"):
        keys.signers("targets")


def test_a_key_that_cannot_be_read_is_named(keys: KeyStore) -> None:
    (keys.folder / "targets.pem").unlink()
    (keys.folder / "targets.pem").mkdir(mode=0o700)
    with pytest.raises(MissingPart, match=r"targets\.pem .*Is a directory"):
        keys.signers("targets")


def test_a_missing_folder_of_keys_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match=rf"no keys .*{re.escape(str(tmp_path / 'keys'))}"):
        KeyStore(tmp_path / "keys").signers("root")


def test_a_rotation_that_dies_half_way_loses_no_key(keys: KeyStore) -> None:
    authority = Authority.create(keys.signers, NOON)
    fresh = keys.add("timestamp")
    assert [path.name for path in keys.files("timestamp")] == ["timestamp.pem", "timestamp.2.pem"]
    assert a_bundle(authority=authority)[1]  # died before the new metadata was saved: the old key signs
    rotated = Authority(authority.rotate("timestamp", [fresh], NOON).metadata, keys.signers)
    assert a_bundle(a_plan(), authority=rotated)[1]  # died after it: the new one does
    dropped = keys.drop_all_but("timestamp", rotated.key_ids("timestamp"))
    assert [path.name for path in dropped] == ["timestamp.pem"]
    assert a_bundle(a_plan(), authority=rotated)[1]
    assert keys.drop_all_but("timestamp", rotated.key_ids("timestamp")) == []


def test_the_last_key_of_a_role_is_never_dropped(keys: KeyStore) -> None:
    assert keys.drop_all_but("snapshot", frozenset()) == []
    assert keys.signers("snapshot")


def test_the_key_of_one_model_is_not_taken_for_that_of_another(keys: KeyStore) -> None:
    keys.ensure("model-digits-2")
    keys.add("model-digits")
    assert [path.name for path in keys.files("model-digits")] == ["model-digits.pem", "model-digits.2.pem"]
    assert [path.name for path in keys.files("model-digits-2")] == ["model-digits-2.pem"]


def test_a_role_that_is_no_name_reaches_no_file(keys: KeyStore) -> None:
    with pytest.raises(BadName):
        keys.signers("../root")

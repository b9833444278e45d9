"""A device accepts honest bundles, and refuses each attack in TUF's list."""

from __future__ import annotations

import json
import resource
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

from protocol.errors import (
    BundleExpired,
    BundleMalformed,
    BundleReplayed,
    MissingPart,
    NoRoom,
    SignatureRefused,
    Untrusted,
)
from protocol.messages.plan import Plan
from protocol.trust.authority import Authority
from protocol.trust.bundle import role_of, target_files
from protocol.trust.metadata_editor import Lifetimes, MetadataEditor
from protocol.trust.verification import Accepted, verify
from tests.builders import DAY, NOON, KeyRing, a_bundle, a_manifest, a_plan, a_rule, an_authority, some_keys


class Device:
    """A device that stores what it accepted."""

    def __init__(self, root: bytes, model: str = "digits") -> None:
        self.root, self.model = root, model
        self.trusted: dict[str, bytes] = {}

    def accepts(self, bundle: bytes, *, now: datetime = NOON, clock_trusted: bool = True) -> Accepted:
        accepted = verify(
            bundle, model=self.model, root=self.root, trusted=self.trusted, now=now, clock_trusted=clock_trusted
        )
        self.trusted = accepted.trusted
        return accepted

    def refuses(
        self, bundle: bytes, error: type[Untrusted], message: str, *, now: datetime = NOON, clock_trusted: bool = True
    ) -> None:
        before = dict(self.trusted)
        with pytest.raises(Untrusted, match=message) as refusal:
            self.accepts(bundle, now=now, clock_trusted=clock_trusted)
        assert type(refusal.value) is error
        assert refusal.value.hint
        assert self.trusted == before


def edited(bundle: bytes, edit: Callable[[dict[str, Any]], None]) -> bytes:
    """A bundle as an attacker on the broker may edit it."""
    parts = json.loads(bundle)
    edit(parts)
    return json.dumps(parts).encode()


def file_of(bundle: bytes, role: str) -> tuple[str, bytes]:
    """A role's file in a bundle: its name and its bytes."""
    name = next(name for name in json.loads(bundle)["metadata"] if name.endswith(f"{role}.json"))
    return name, json.loads(bundle)["metadata"][name].encode()


def with_file(bundle: bytes, role: str, content: bytes) -> bytes:
    """A bundle whose file of this role is another one, under the same name."""
    name, _ = file_of(bundle, role)
    return edited(bundle, lambda parts: parts["metadata"].update({name: content.decode()}))


def without_signatures(content: bytes, keep: int = 0) -> bytes:
    """A metadata file with the first `keep` of its signatures."""
    metadata = Metadata[Any].from_bytes(content)
    metadata.signatures = dict(list(metadata.signatures.items())[:keep])
    return metadata.to_bytes(JSONSerializer(compact=True))


def resealed(authority: Authority, files: Mapping[str, bytes], plan: Plan) -> bytes:
    """Other files under a valid snapshot and timestamp, by a thief of these keys."""
    editor = MetadataEditor({**authority.metadata, **files}, authority.signers, Lifetimes(), NOON)
    editor.sign_snapshot()
    return replace(authority, metadata=editor.files)._bundle(plan.model, target_files(plan, manifests_of(plan)))


def manifests_of(plan: Plan) -> list[Any]:
    return [a_manifest(version, model=plan.model) for version in plan.versions()]


def two_announcements() -> tuple[Authority, bytes, bytes, Plan]:
    """An authority, its bundles of 1.0.0 and 1.1.0, and the older plan."""
    older = a_plan("1.0.0", sequence=1)
    authority, first = a_bundle(older)
    authority, second = a_bundle(a_plan("1.1.0", sequence=2), authority=authority)
    return authority, first, second, older


def test_a_signed_plan_is_believed_with_every_manifest_it_names() -> None:
    plan = a_plan(rules=[a_rule("1.1.0", devices=("pi-1",)), a_rule("1.0.0")], sequence=4)
    authority, bundle = a_bundle(plan)
    accepted = Device(authority.root).accepts(bundle)
    assert accepted.plan == plan
    assert accepted.sequence == 4
    assert accepted.manifests == {manifest.version: manifest for manifest in manifests_of(plan)}
    assert accepted.expires == NOON + 30 * DAY
    assert accepted.expiry_checked
    assert accepted.news


def test_the_same_bundle_again_is_nothing_new_and_no_error() -> None:
    authority, bundle = a_bundle()
    device = Device(authority.root)
    first = device.accepts(bundle)
    again = device.accepts(bundle)
    assert not again.news
    assert again.trusted == first.trusted
    assert again.plan == first.plan


def test_a_renewed_bundle_carries_the_same_plan_further() -> None:
    authority, bundle = a_bundle()
    device = Device(authority.root)
    first = device.accepts(bundle)
    _, renewed = authority.renew({"digits": bundle}, NOON + 20 * DAY)
    later = device.accepts(renewed["digits"], now=NOON + 40 * DAY)
    assert later.plan == first.plan
    assert later.news
    assert later.expires == NOON + 50 * DAY


def test_rollback_to_an_older_bundle_is_refused_by_name() -> None:
    authority, first, second, _ = two_announcements()
    device = Device(authority.root)
    device.accepts(second)
    device.refuses(first, BundleReplayed, "timestamp 2 .*3")
    assert device.accepts(second).plan.sequence == 2


def test_rollback_by_a_thief_of_the_timestamp_key_is_refused() -> None:
    authority, first, second, older = two_announcements()
    device = Device(authority.root)
    device.accepts(second)
    old_files = {name: authority.metadata[name] for name in authority.metadata}
    old_files |= {
        "snapshot.json": file_of(first, "snapshot")[1],
        "model-digits.json": file_of(first, "model-digits")[1],
    }
    editor = MetadataEditor(old_files, authority.signers, Lifetimes(), NOON)
    editor.sign_timestamp()
    forged = replace(authority, metadata=editor.files)._bundle("digits", target_files(older, manifests_of(older)))
    device.refuses(forged, BundleReplayed, "snapshot 2 .*3")


def test_rollback_by_a_thief_of_the_snapshot_and_timestamp_keys_is_refused() -> None:
    authority, first, second, older = two_announcements()
    device = Device(authority.root)
    device.accepts(second)
    forged = resealed(authority, {"model-digits.json": file_of(first, "model-digits")[1]}, older)
    device.refuses(forged, BundleReplayed, "model-digits 1 .*2")


def test_freeze_on_an_expired_timestamp_is_refused_when_the_clock_is_right() -> None:
    authority, bundle = a_bundle()
    device = Device(authority.root)
    device.refuses(bundle, BundleExpired, "timestamp", now=NOON + 31 * DAY)


def test_freeze_on_a_bundle_accepted_before_is_refused_when_the_clock_is_right() -> None:
    authority, bundle = a_bundle()
    device = Device(authority.root)
    device.accepts(bundle)
    device.refuses(bundle, BundleExpired, "timestamp", now=NOON + 31 * DAY)


def test_a_device_without_a_clock_takes_an_expired_bundle_and_says_that_it_did_not_check() -> None:
    authority, bundle = a_bundle()
    accepted = Device(authority.root).accepts(bundle, now=NOON + 400 * DAY, clock_trusted=False)
    assert not accepted.expiry_checked
    assert accepted.expires == NOON + 30 * DAY


@pytest.mark.parametrize("year", [1970, 2038, 9999])
def test_a_clock_that_is_far_off_and_known_to_be_so_bricks_nothing(year: int) -> None:
    authority, bundle = a_bundle()
    far = datetime(year, 1, 19, tzinfo=UTC)
    assert Device(authority.root).accepts(bundle, now=far, clock_trusted=False).sequence == 1


def test_a_device_without_a_clock_still_refuses_a_rollback() -> None:
    authority, first, second, _ = two_announcements()
    device = Device(authority.root)
    device.accepts(second, clock_trusted=False)
    device.refuses(first, BundleReplayed, "timestamp 2 .*3", clock_trusted=False)


def test_mix_and_match_of_two_honest_bundles_is_refused() -> None:
    authority, first, second, _ = two_announcements()
    mixed = edited(
        with_file(second, "model-digits", file_of(first, "model-digits")[1]),
        lambda parts: parts.update(targets=json.loads(first)["targets"]),
    )
    Device(authority.root).refuses(mixed, SignatureRefused, "altered")


def test_mix_and_match_of_an_old_snapshot_under_a_new_timestamp_is_refused() -> None:
    authority, first, second, _ = two_announcements()
    Device(authority.root).refuses(
        with_file(second, "snapshot", file_of(first, "snapshot")[1]), SignatureRefused, "altered"
    )


def test_an_old_plan_beside_new_metadata_is_refused() -> None:
    authority, first, second, _ = two_announcements()
    old_plan = json.loads(first)["targets"]["digits/plan.json"]
    forged = edited(second, lambda parts: parts["targets"].update({"digits/plan.json": old_plan}))
    Device(authority.root).refuses(forged, SignatureRefused, "altered")


def test_a_wrong_key_is_refused() -> None:
    ours, _ = a_bundle()
    _, theirs = a_bundle()
    Device(ours.root).refuses(theirs, SignatureRefused, "timestamp .*0/")


def test_a_wrong_key_is_refused_for_every_role() -> None:
    authority, bundle = a_bundle()
    plan = a_plan(sequence=1)
    stranger = KeyRing()
    for role in ("snapshot", "targets", "model-digits"):
        metadata = Metadata[Any].from_bytes(authority.metadata[f"{role}.json"])
        metadata.sign(stranger(role)[0])
        forged_file = metadata.to_bytes(JSONSerializer(compact=True))
        if role == "snapshot":
            editor = MetadataEditor(
                {**authority.metadata, "snapshot.json": forged_file}, authority.signers, Lifetimes(), NOON
            )
            editor.sign_timestamp()
            forged = replace(authority, metadata=editor.files)._bundle("digits", target_files(plan, manifests_of(plan)))
        else:
            forged = resealed(authority, {f"{role}.json": forged_file}, plan)
        Device(authority.root).refuses(forged, SignatureRefused, f"{role} .*0/")
    assert Device(authority.root).accepts(bundle).sequence == 1


def test_a_threshold_that_is_not_met_is_refused() -> None:
    keys = KeyRing()
    authority, bundle = a_bundle(authority=an_authority(keys=keys))
    authority = authority.rotate("model-digits", some_keys(2), NOON, threshold=2)
    one_signature = without_signatures(authority.metadata["model-digits.json"], keep=1)
    forged = resealed(authority, {"model-digits.json": one_signature}, a_plan())
    device = Device(authority.root)
    device.refuses(forged, SignatureRefused, "model-digits .*1/2")
    _, renewed = authority.renew({"digits": bundle}, NOON)
    assert device.accepts(renewed["digits"]).sequence == 1


def test_a_new_root_below_the_old_roots_threshold_is_refused() -> None:
    keys = KeyRing({"root": some_keys(2)})
    founded = an_authority(keys=keys, root_threshold=2)
    authority, bundle = a_bundle(authority=founded.rotate("timestamp", some_keys(), NOON))
    forged = with_file(bundle, "2.root", without_signatures(authority.metadata["2.root.json"], keep=1))
    device = Device(founded.root)
    device.refuses(forged, SignatureRefused, "root .*1/2")
    assert device.accepts(bundle).sequence == 1


def test_a_bundle_of_100_mb_is_refused_before_a_byte_of_it_is_parsed() -> None:
    huge = b'{"v":1,"model":"' + b"x" * 100_000_000
    device = Device(an_authority().root)
    tracemalloc.start()
    device.refuses(huge, BundleMalformed, "65536")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_root_rotation_is_followed_by_devices_of_every_age() -> None:
    founded = an_authority()
    before, old_bundle = a_bundle(authority=founded)
    once = before.rotate("root", some_keys(), NOON)
    twice = once.rotate("root", some_keys(), NOON)
    _, renewed = twice.renew({"digits": old_bundle}, NOON)
    from_the_start, late, new = Device(founded.root), Device(founded.root), Device(twice.root)
    from_the_start.accepts(old_bundle)
    for device in (from_the_start, late, new):
        assert device.accepts(renewed["digits"]).sequence == 1
        assert "root_history/3.root.json" in device.trusted
    assert Device(once.root).accepts(renewed["digits"]).sequence == 1


def test_keys_that_a_rotation_retired_are_worth_nothing_afterwards() -> None:
    founded = an_authority()
    authority, old_bundle = a_bundle(authority=founded)
    rotated = authority.rotate("timestamp", some_keys(), NOON)
    _, renewed = rotated.renew({"digits": old_bundle}, NOON)
    device = Device(founded.root)
    device.accepts(renewed["digits"])
    _, by_the_thief = authority.renew({"digits": old_bundle}, NOON + DAY)
    device.refuses(by_the_thief["digits"], SignatureRefused, "timestamp .*0/")


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "model-digits"])
def test_every_role_can_be_given_new_keys_and_old_devices_follow(role: str) -> None:
    founded = an_authority()
    authority, bundle = a_bundle(authority=founded)
    device = Device(founded.root)
    device.accepts(bundle)
    fresh = some_keys()
    rotated = authority.rotate(role, fresh, NOON)
    assert rotated.key_ids(role) == {fresh[0].public_key.keyid}
    rotated, renewed = rotated.renew({"digits": bundle}, NOON)
    assert device.accepts(renewed["digits"]).sequence == 1
    _, next_bundle = a_bundle(a_plan(sequence=2), authority=rotated)
    assert device.accepts(next_bundle).sequence == 2


def test_a_lost_timestamp_key_can_be_replaced_but_a_lost_root_key_cannot() -> None:
    keys = KeyRing()
    authority, _ = a_bundle(authority=an_authority(keys=keys))
    keys.lose("timestamp")
    rotated = authority.rotate("timestamp", some_keys(), NOON)
    assert a_bundle(a_plan(sequence=2), authority=rotated)[1]
    keys.lose("root")
    with pytest.raises(MissingPart, match=r"\broot\b.*\b1\b"):
        rotated.rotate("root", some_keys(), NOON)


def test_a_registry_restored_from_an_old_backup_reaches_its_fleet_again_with_new_keys() -> None:
    backup, _, second, _ = two_announcements()
    authority, third = a_bundle(a_plan("1.2.0", sequence=3), authority=backup)
    device = Device(authority.root)
    device.accepts(third)
    device.refuses(second, BundleReplayed, "timestamp 3 .*4")
    restored = backup.rotate("timestamp", some_keys(), NOON).rotate("snapshot", some_keys(), NOON)
    _, bundle = a_bundle(a_plan("1.0.0", sequence=4), authority=restored)
    assert device.accepts(bundle).sequence == 4


@pytest.mark.parametrize("path", ["digits/plan.json", "digits/manifest-1.0.0.json"])
def test_one_altered_byte_of_a_signed_file_is_refused(path: str) -> None:
    authority, bundle = a_bundle()
    device = Device(authority.root)
    device.accepts(bundle)
    forged = edited(bundle, lambda parts: parts["targets"].update({path: parts["targets"][path].replace("1", "2", 1)}))
    device.refuses(forged, SignatureRefused, "altered")


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "model-digits"])
def test_unsigned_metadata_is_refused(role: str) -> None:
    authority, bundle = a_bundle()
    forged = with_file(bundle, role, without_signatures(file_of(bundle, role)[1]))
    Device(authority.root).refuses(forged, SignatureRefused, "0/1|altered")


def test_the_role_of_another_model_cannot_sign_for_this_one() -> None:
    keys = KeyRing()
    authority, _ = a_bundle(a_plan(model="digits"), authority=an_authority(keys=keys))
    authority, _ = a_bundle(a_plan(model="other"), authority=authority)
    evil = a_plan("6.6.6", model="digits", sequence=9)
    files = target_files(evil, manifests_of(evil))
    targets = Targets(
        version=9, targets={path: TargetFile.from_data(path, data, ["sha256"]) for path, data in files.items()}
    )
    targets.expires = NOON + 9 * DAY
    metadata = Metadata(targets)
    metadata.sign(keys("model-other")[0])
    signed_by_other = metadata.to_bytes(JSONSerializer(compact=True))
    device = Device(authority.root)
    as_digits = resealed(authority, {"model-digits.json": signed_by_other}, evil)
    device.refuses(as_digits, SignatureRefused, "model-digits .*0/")
    as_other = resealed(authority, {"model-other.json": signed_by_other}, evil)
    device.refuses(as_other, SignatureRefused, "altered")


def test_the_bundle_of_another_model_on_this_topic_is_refused() -> None:
    authority, bundle = a_bundle(a_plan(model="other"))
    device = Device(authority.root)
    device.refuses(bundle, SignatureRefused, "'other' .*'digits'")
    relabelled = edited(bundle, lambda parts: parts.update(model="digits"))
    with pytest.raises(Untrusted):
        device.accepts(relabelled)
    assert device.trusted == {}


def test_a_file_that_nobody_signed_is_refused_even_beside_a_good_plan() -> None:
    authority, bundle = a_bundle()
    forged = edited(bundle, lambda parts: parts["targets"].update({"digits/manifest-9.9.9.json": "{}"}))
    Device(authority.root).refuses(forged, SignatureRefused, r"manifest-9\.9\.9")


@pytest.mark.parametrize("missing", ["digits/plan.json", "digits/manifest-1.0.0.json"])
def test_a_bundle_that_lacks_a_file_is_refused(missing: str) -> None:
    authority, bundle = a_bundle()
    forged = edited(bundle, lambda parts: parts["targets"].pop(missing))
    Device(authority.root).refuses(forged, BundleMalformed, missing)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "model-digits"])
def test_a_bundle_that_lacks_metadata_is_refused(role: str) -> None:
    authority, bundle = a_bundle()
    name, _ = file_of(bundle, role)
    forged = edited(bundle, lambda parts: parts["metadata"].pop(name))
    Device(authority.root).refuses(forged, BundleMalformed, name)


@pytest.mark.parametrize("junk", [b"", b"null", b"{}", b"\xff\xfe", b"[" * 60_000, b'{"v":1,"model":"../x"}'])
def test_what_is_no_bundle_is_refused(junk: bytes) -> None:
    Device(an_authority().root).refuses(junk, BundleMalformed, "not a bundle")


def test_metadata_nested_without_end_is_refused() -> None:
    authority, bundle = a_bundle()
    Device(authority.root).refuses(with_file(bundle, "timestamp", b"[" * 50_000), BundleMalformed, "cannot be read")


def test_a_bundle_of_a_newer_format_is_refused_by_its_number() -> None:
    newer = json.dumps({"v": 2, "envelope": "something new"}).encode()
    Device(an_authority().root).refuses(newer, BundleMalformed, r"\b2\b")


def test_a_signed_manifest_that_speaks_of_another_version_is_refused() -> None:
    authority, _ = a_bundle()
    plan = a_plan(sequence=2)
    files = target_files(plan, manifests_of(plan)) | {"digits/manifest-1.0.0.json": a_manifest("2.0.0").to_line()}
    signed = Targets(targets={path: TargetFile.from_data(path, data, ["sha256"]) for path, data in files.items()})
    editor = MetadataEditor(authority.metadata, authority.signers, Lifetimes(), NOON)
    editor.sign_targets(role_of("digits"), signed)
    editor.sign_snapshot()
    bundle = replace(authority, metadata=editor.files)._bundle("digits", files)
    Device(authority.root).refuses(bundle, BundleMalformed, r"1\.0\.0 .*2\.0\.0")


def test_a_full_disk_is_no_attack_and_changes_nothing() -> None:
    authority, bundle = a_bundle()
    device = Device(authority.root)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(NoRoom):
            device.accepts(bundle)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert device.trusted == {}
    assert device.accepts(bundle).sequence == 1


@pytest.mark.parametrize("model", ["root", "snapshot", "targets", "timestamp", "plan", "model-digits", "a", "x" * 64])
def test_a_model_may_have_any_name_that_a_topic_allows(model: str) -> None:
    authority, bundle = a_bundle(a_plan("plan", model=model))
    assert Device(authority.root, model).accepts(bundle).manifests["plan"].model == model


def test_models_share_an_authority_and_may_be_announced_at_different_times() -> None:
    authority, digits = a_bundle(a_plan(model="digits"))
    authority, other = a_bundle(a_plan(model="other"), authority=authority)
    device, neighbour = Device(authority.root), Device(authority.root, "other")
    neighbour.accepts(other)
    assert device.accepts(digits).plan.model == "digits"
    authority, renewed = authority.renew({"digits": digits, "other": other}, NOON + DAY)
    assert device.accepts(renewed["digits"]).news
    assert neighbour.accepts(renewed["other"]).news

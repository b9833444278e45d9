"""The authority: what it signs, when that expires, and what a missing key prevents."""

from __future__ import annotations

from datetime import timedelta

import pytest

from protocol.errors import BadInput, MissingPart
from protocol.trust.authority import Authority
from protocol.trust.metadata_editor import Lifetimes, version_of
from protocol.trust.verification import verify
from tests.builders import DAY, NOON, KeyRing, a_bundle, a_manifest, a_plan, an_authority, some_keys


def test_an_authority_is_a_value_that_a_publication_does_not_change() -> None:
    authority = an_authority()
    before = dict(authority.metadata)
    after, _ = a_bundle(authority=authority)
    assert authority.metadata == before
    assert set(after.metadata) == {*before, "model-digits.json"}


def test_an_authority_goes_on_from_its_saved_metadata() -> None:
    keys = KeyRing()
    authority, _ = a_bundle(authority=an_authority(keys=keys))
    reopened = Authority(dict(authority.metadata), keys)
    after, bundle = a_bundle(a_plan(sequence=2), authority=reopened)
    assert verify(bundle, model="digits", root=after.root, trusted={}, now=NOON, clock_trusted=True).sequence == 2


def test_a_second_release_needs_neither_the_root_key_nor_the_targets_key() -> None:
    keys = KeyRing()
    authority, _ = a_bundle(authority=an_authority(keys=keys))
    keys.lose("root")
    keys.lose("targets")
    assert a_bundle(a_plan(sequence=2), authority=authority)[1]


def test_a_first_release_of_a_model_without_the_targets_key_names_it() -> None:
    keys = KeyRing()
    authority = an_authority(keys=keys)
    keys.lose("targets")
    with pytest.raises(MissingPart, match=r"\btargets\b"):
        a_bundle(authority=authority)


def test_signatures_last_as_long_as_was_set() -> None:
    lifetimes = Lifetimes(root_days=100, targets_days=50, snapshot_days=20, timestamp_days=7)
    authority, _ = a_bundle(authority=an_authority(lifetimes=lifetimes))
    assert authority.expiries() == {
        "root": NOON + 100 * DAY,
        "targets": NOON + 50 * DAY,
        "model-digits": NOON + 50 * DAY,
        "snapshot": NOON + 20 * DAY,
        "timestamp": NOON + 7 * DAY,
    }


def test_nobody_has_to_renew_anything_for_four_weeks() -> None:
    authority, bundle = a_bundle()
    later = NOON + timedelta(weeks=4)
    assert verify(bundle, model="digits", root=authority.root, trusted={}, now=later, clock_trusted=True).sequence == 1


def test_renewing_signs_only_a_timestamp_while_the_rest_is_fresh() -> None:
    authority, bundle = a_bundle()
    renewed, _ = authority.renew({"digits": bundle}, NOON + 20 * DAY)
    changed = {name for name in renewed.metadata if renewed.metadata[name] != authority.metadata[name]}
    assert changed == {"timestamp.json"}


def test_renewing_signs_everything_that_runs_out_soon_but_the_root() -> None:
    authority, bundle = a_bundle()
    late = NOON + 600 * DAY
    renewed, bundles = authority.renew({"digits": bundle}, late)
    for role in ("targets", "model-digits", "snapshot", "timestamp"):
        assert version_of(renewed.metadata, role) == version_of(authority.metadata, role) + 1
    assert verify(
        bundles["digits"], model="digits", root=authority.root, trusted={}, now=late + 29 * DAY, clock_trusted=True
    ).sequence


@pytest.mark.heavy
def test_a_publisher_that_only_renews_keeps_a_fleet_for_years() -> None:
    authority, bundle = a_bundle()
    trusted: dict[str, bytes] = {}
    for month in range(1, 60):
        now = NOON + month * 29 * DAY
        authority, bundles = authority.renew({"digits": bundle}, now)
        bundle = bundles["digits"]
        accepted = verify(
            bundle, model="digits", root=authority.root, trusted=trusted, now=now + DAY, clock_trusted=True
        )
        trusted = accepted.trusted
        assert accepted.news


def test_a_threshold_above_the_number_of_keys_is_refused() -> None:
    with pytest.raises(BadInput, match=r"\b2\b.*\broot\b.*\b1\b"):
        an_authority(root_threshold=2)
    with pytest.raises(BadInput, match=r"\b3\b.*\btimestamp\b.*\b2\b"):
        an_authority().rotate("timestamp", some_keys(2), NOON, threshold=3)


def test_a_root_of_two_of_three_keys_works_with_one_of_them_away() -> None:
    keys = KeyRing({"root": some_keys(3)})
    authority = an_authority(keys=keys, root_threshold=2)
    keys.keys["root"].pop()
    rotated = authority.rotate("timestamp", some_keys(), NOON)
    _, bundle = a_bundle(authority=rotated)
    assert verify(bundle, model="digits", root=authority.root, trusted={}, now=NOON, clock_trusted=True).sequence == 1


def test_the_same_facts_are_signed_for_every_model_of_a_registry() -> None:
    authority = an_authority()
    for number in range(5):
        authority, bundle = a_bundle(a_plan(model=f"model{number}"), authority=authority)
    accepted = verify(bundle, model="model4", root=authority.root, trusted={}, now=NOON, clock_trusted=True)
    assert accepted.manifests["1.0.0"] == a_manifest(model="model4")
    assert len(bundle) < 16_000

"""Fails if tuf changes its private `_trusted_set.reference_time`, which we set."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tuf.api.exceptions import ExpiredMetadataError
from tuf.ngclient import Updater

from protocol.trust.bundle import unpack
from protocol.trust.verification import _updater
from tests.builders import DAY, NOON, a_bundle, an_authority


def an_updater(folder: Path, reference_time: datetime) -> Updater:
    authority, bundle = a_bundle(authority=an_authority())
    return _updater(folder, unpack(bundle), authority.root, reference_time)


def test_tuf_reference_time_is_still_set_by_its_constructor(tmp_path: Path) -> None:
    authority, _ = a_bundle(authority=an_authority())
    updater = Updater(str(tmp_path), "metadata/", bootstrap=authority.root)
    assert isinstance(updater._trusted_set.reference_time, datetime), "tuf takes the time from elsewhere"


def test_tuf_reference_time_still_decides_what_has_expired(tmp_path: Path) -> None:
    an_updater(tmp_path, datetime(1970, 1, 1, tzinfo=UTC)).refresh()
    with pytest.raises(ExpiredMetadataError):
        an_updater(tmp_path, NOON + 4_000 * DAY).refresh()

"""What is remembered of the drift detectors: it comes back as it was, or not at all."""

from __future__ import annotations

import logging

import pytest

from device_client.feedback.drift_detector import DriftState
from device_client.feedback.drift_state import DriftStates, dump, load

DOUBT = DriftState(sum=12.5, drifting=False, count=200, mean=0.05, squares=1.25)
DISTANCE = DriftState(sum=50.0, drifting=True, count=200, mean=0.96, squares=0.0)


def test_what_is_written_is_read_as_it_was_in_its_order() -> None:
    given = (DriftStates("1.0.0", "int8", DOUBT, DISTANCE), DriftStates("2.0.0", "float32", DOUBT))
    assert load(dump(given)) == given
    assert len(dump(given)) < 1_024


def test_a_first_life_remembers_nothing() -> None:
    assert load(None) == ()


@pytest.mark.parametrize("strange", [b"", b"{}", b"[1]", b'[{"version":"1.0.0"}]', b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_is_learnt_anew_and_said(strange: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert load(strange) == ()
    assert "learnt anew" in caplog.text

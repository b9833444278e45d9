"""The drift states that outlive a restart are restored as they were, or not at all."""

from __future__ import annotations

import pytest

from device_client.feedback.drift_detector import DriftState
from device_client.feedback.drift_state import VERSIONS_MAX, DriftStates, DriftStateStore

DOUBT = DriftState(sum=12.5, drifting=False, count=200, mean=0.05, squares=1.25)
DISTANCE = DriftState(sum=50.0, drifting=True, count=200, mean=0.96, squares=0.0)
STATES = (DriftStates("1.0.0", "int8", DOUBT, DISTANCE), DriftStates("2.0.0", "float32", DOUBT))


def test_states_are_restored_as_they_were() -> None:
    store = DriftStateStore()
    for states in STATES:
        store.put(states)
    content = store.to_json()
    assert content is not None
    assert len(content) < 1_024
    restored = DriftStateStore(content)
    assert [restored.get(states.version, states.variant) for states in STATES] == list(STATES)
    assert restored.to_json() == content


def test_the_first_start_has_no_states() -> None:
    assert DriftStateStore(None).to_json() is None


def test_the_version_that_was_served_longest_ago_is_dropped() -> None:
    store = DriftStateStore()
    for number in range(VERSIONS_MAX):
        store.put(DriftStates(f"{number}", "int8", DOUBT))
    store.put(DriftStates("0", "int8", DOUBT))
    store.put(DriftStates("9", "int8", DOUBT))
    assert store.get("0", "int8") is not None
    assert store.get("1", "int8") is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'[{"version":"1.0.0"}]', b"\xff", b"[" * 100_000])
def test_states_that_cannot_be_read_are_logged_and_learnt_again(
    content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert DriftStateStore(content).to_json() is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]

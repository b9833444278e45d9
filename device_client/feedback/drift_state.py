"""The drift detectors' states of recently served versions, as JSON for the journal.

The reference of 1 - confidence is learnt once per version. If it were learnt again
after each restart, inputs that have drifted meanwhile would pass for the usual ones.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from device_client.feedback.drift_detector import DriftState
from protocol.messages.base import first_error

VERSIONS_MAX: Final = 4  # live, previous, and what was tried recently

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DriftStates:
    """Of one version. `distance` is None where the manifest has no statistics."""

    version: str
    variant: str
    doubt: DriftState
    distance: DriftState | None = None


_JSON: Final = TypeAdapter(tuple[DriftStates, ...])


class DriftStateStore:
    """The states of the last few versions, the latest last."""

    def __init__(self, content: bytes | None = None) -> None:
        """`content`: from `to_json`; logged and ignored if unreadable."""
        self._states: dict[tuple[str, str], DriftStates] = {}
        try:
            states = () if content is None else _JSON.validate_json(content)
        except ValidationError as invalid:
            log.error("the drift states cannot be read and are learnt again: %s", first_error(invalid))
            states = ()
        for each in states:
            self.put(each)

    def get(self, version: str, variant: str) -> DriftStates | None:
        return self._states.get((version, variant))

    def put(self, states: DriftStates) -> None:
        """Add or replace the states of a version; the oldest version is dropped."""
        key = (states.version, states.variant)
        self._states.pop(key, None)
        self._states[key] = states
        while len(self._states) > VERSIONS_MAX:
            del self._states[next(iter(self._states))]

    def to_json(self) -> bytes | None:
        return _JSON.dump_json(tuple(self._states.values())) if self._states else None

"""Where the drift detectors of each version stand on this device, as JSON: what outlives a restart and a way back.

The reference of the doubt is learnt once for a version. Learnt anew after each restart, it would take inputs that have
drifted meanwhile for the usual ones. Detects nothing, and writes nothing: the journal keeps the bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from device_client.feedback.drift_detector import DriftState
from protocol.messages.base import first_complaint

VERSIONS_MAX: Final = 4  # live, previous, and what was tried of late

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DriftStates:
    """Of one version in one variant. `distance` is None where the manifest has no statistics."""

    version: str
    variant: str
    doubt: DriftState
    distance: DriftState | None = None


_FORM: Final = TypeAdapter(tuple[DriftStates, ...])


def dump(states: Iterable[DriftStates]) -> bytes:
    """As the journal keeps it."""
    return _FORM.dump_json(tuple(states))


def load(content: bytes | None) -> tuple[DriftStates, ...]:
    """What was written; nothing where it cannot be read, of a newer client perhaps: the references are learnt anew."""
    if content is None:
        return ()
    try:
        return _FORM.validate_json(content)
    except ValidationError as strange:
        log.error("what was usual here cannot be read and is learnt anew: %s", first_complaint(strange))
        return ()

"""The files of one model: what the core asks of the disk is done here, and what came of it is told as an event.

Decides nothing. A disk that fails is told, never raised; one thing it owes by itself is the `current` link, which is
made good as soon as the disk allows.
"""

from __future__ import annotations

import logging
from typing import Final

from device_client.core import effects as do
from device_client.core import events as happened
from device_client.ports.context import Clock
from device_client.ports.storage import Held, Store
from protocol.content.encodings import RAW
from protocol.errors import BlobDamaged, ChunkDamaged, FerryError

log = logging.getLogger(__name__)

CURRENT_RETRY_S: Final = 10.0


class FileEffects:
    """Between one engine and its store."""

    def __init__(self, model: str, store: Store, clock: Clock) -> None:
        self._model, self._store, self._clock = model, store, clock
        self._current = ""
        self.due_s: float | None = None  # when the link that could not be made is tried again

    def open(self, effect: do.OpenBlob) -> happened.Event:
        """See how much of a file is there."""
        decoded_bytes = 0 if effect.encoding.kind == RAW else effect.size_bytes
        try:
            if self._store.has(effect.sha256):
                return happened.BlobReady(effect.sha256)
            return _opened(effect.sha256, self._store.open_partial(effect.encoding.tree, decoded_bytes=decoded_bytes))
        except (FerryError, OSError) as failed:
            return _failed(effect.sha256, failed)

    def look_again(self, effect: do.LookAgain) -> happened.Event:
        """See whether lists among what has come name more."""
        try:
            return _opened(effect.sha256, self._store.held())
        except (FerryError, OSError) as failed:
            return _failed(effect.sha256, failed)

    def keep(self, blob_sha256: str, sha256: str, payload: bytes) -> happened.Event:
        """Check and write a chunk, if it is one that the blob under way is missing."""
        try:
            self._store.keep(sha256, payload)
        except ChunkDamaged as lie:
            log.warning("%s: the broker lied: %s", self._model, lie)
            return happened.ChunkLied(sha256)
        except (FerryError, OSError) as failed:
            return _failed(blob_sha256, failed)
        return happened.ChunkKept(sha256)

    def finish(self, effect: do.FinishBlob) -> happened.Event:
        """Decode and verify the whole."""
        try:
            self._store.finish(effect.encoding, effect.sha256, effect.size_bytes)
        except (FerryError, OSError) as failed:
            return _failed(effect.sha256, failed)
        return happened.BlobReady(effect.sha256)

    def close(self) -> None:
        """Let go of the partial file."""
        try:
            self._store.close_partial()
        except OSError as failed:
            log.warning("%s: a partial file could not be closed: %s", self._model, failed)

    def keep_only(self, effect: do.KeepOnly) -> None:
        """Remove the rest. What cannot be removed stays until the next time."""
        try:
            self._store.keep_only(effect.sha256s)
        except (FerryError, OSError) as failed:
            log.warning("%s: files that are no longer needed could not be removed: %s", self._model, failed)

    def make_current(self, sha256: str) -> None:
        """Point the link at what is served. A full disk delays it; that speaks against no model."""
        try:
            self._store.make_current(sha256)
        except (FerryError, OSError) as failed:
            if self._current != sha256 or self.due_s is None:
                log.error("%s: the current link could not be made, and will be tried again: %s", self._model, failed)
            self._current, self.due_s = sha256, self._clock.monotonic_s() + CURRENT_RETRY_S
            return
        self._current, self.due_s = sha256, None

    def make_good(self) -> None:
        """Try what is owed once more, if it is time."""
        if self.due_s is not None and self._clock.monotonic_s() >= self.due_s:
            self.make_current(self._current)


def _opened(sha256: str, held: Held) -> happened.BlobOpened:
    return happened.BlobOpened(sha256, held.missing, held.kept_chunks, held.total_chunks)


def _failed(sha256: str, failed: FerryError | OSError) -> happened.Event:
    if isinstance(failed, BlobDamaged):
        return happened.BlobBroken(sha256, str(failed)[:300])
    if isinstance(failed, FerryError):
        return happened.DiskFailed(failed.message)
    return happened.DiskFailed(f"the disk cannot be written: {failed}")

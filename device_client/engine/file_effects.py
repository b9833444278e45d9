"""Performs the core's file effects on one model's store; disk errors become events.

A failed update of the `current` link is retried here, unknown to the core.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from device_client.core import effects as do
from device_client.core import events as happened
from device_client.ports.context import Clock
from device_client.ports.storage import Held, Store, VersionFolder
from protocol.content.encodings import RAW
from protocol.errors import BlobDamaged, ChunkDamaged, FerryError

log = logging.getLogger(__name__)

CURRENT_RETRY_S: Final = 10.0


class FileEffects:
    """`due_s`: when `retry_current` is due, on the monotonic clock."""

    def __init__(self, model: str, store: Store, clock: Clock) -> None:
        self._model, self._store, self._clock = model, store, clock
        self._current: VersionFolder | None = None
        self.due_s: float | None = None

    def open(self, effect: do.OpenBlob) -> happened.Event:
        """Find out how much of a file is on disk."""
        decoded_bytes = 0 if effect.encoding.kind == RAW else effect.size_bytes
        try:
            if self._store.has(effect.sha256):
                return happened.BlobReady(effect.sha256)
            return _opened(effect.sha256, self._store.open_partial(effect.encoding.tree, decoded_bytes=decoded_bytes))
        except (FerryError, OSError) as failed:
            return _failed(effect.sha256, failed)

    def recheck(self, effect: do.RecheckBlob) -> happened.Event:
        """List what is missing after list chunks have arrived."""
        try:
            return _opened(effect.sha256, self._store.held())
        except (FerryError, OSError) as failed:
            return _failed(effect.sha256, failed)

    def keep(self, blob_sha256: str, sha256: str, payload: bytes) -> happened.Event:
        """Check a chunk of the current download and write it if it is missing."""
        try:
            self._store.keep(sha256, payload)
        except ChunkDamaged as damaged:
            log.warning("%s: the broker sent a damaged chunk: %s", self._model, damaged)
            return happened.ChunkCorrupt(sha256)
        except (FerryError, OSError) as failed:
            return _failed(blob_sha256, failed)
        return happened.ChunkKept(sha256)

    def finish(self, effect: do.FinishBlob) -> happened.Event:
        try:
            self._store.finish(effect.encoding, effect.sha256, effect.size_bytes)
        except (FerryError, OSError) as failed:
            return _failed(effect.sha256, failed)
        return happened.BlobReady(effect.sha256)

    def close(self) -> None:
        try:
            self._store.close_partial()
        except OSError as failed:
            log.warning("%s: a partial file could not be closed: %s", self._model, failed)

    def keep_only(self, effect: do.KeepOnly) -> None:
        """Remove all other files; what cannot be removed is tried again next time."""
        try:
            self._store.keep_only(effect.sha256s)
        except (FerryError, OSError) as failed:
            log.warning("%s: files that are no longer needed could not be removed: %s", self._model, failed)

    def make_folder(self, version: VersionFolder) -> Path | None:
        """The folder of a version; None where the disk does not allow one."""
        try:
            return self._store.make_folder(version)
        except (FerryError, OSError) as failed:
            log.warning("%s: the folder %s could not be made: %s", self._model, version.name, failed)
            return None

    def make_current(self, version: VersionFolder) -> None:
        """Point the links at the served files, now or when the disk allows it."""
        try:
            self._store.make_current(version)
        except (FerryError, OSError) as failed:
            if self._current != version or self.due_s is None:
                log.error("%s: the current link could not be made, and will be tried again: %s", self._model, failed)
            self._current, self.due_s = version, self._clock.monotonic_s() + CURRENT_RETRY_S
            return
        self._current, self.due_s = version, None

    def retry_current(self) -> None:
        if self._current is not None and self.due_s is not None and self._clock.monotonic_s() >= self.due_s:
            self.make_current(self._current)


def _opened(sha256: str, held: Held) -> happened.BlobOpened:
    return happened.BlobOpened(sha256, held.missing, held.kept_chunks, held.total_chunks)


def _failed(sha256: str, failed: FerryError | OSError) -> happened.Event:
    if isinstance(failed, BlobDamaged):
        return happened.BlobBroken(sha256, str(failed))
    if isinstance(failed, FerryError):
        return happened.DiskFailed(failed.message)
    return happened.DiskFailed(f"the disk cannot be written: {failed}")

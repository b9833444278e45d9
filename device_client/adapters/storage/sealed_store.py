"""Sealed inputs of a model: `sealed/<sha256>.npz`, for the owner of the files alone."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from device_client.ports.serving import SealedInput
from protocol.host.files import write_durably

log = logging.getLogger(__name__)

FOLDER: Final = "sealed"
FILE_MAX_BYTES: Final = 2 * 1024 * 1024
_OWNER_ONLY: Final = 0o600


class SealedFiles:
    """The SealedStore port. One process uses it, the one with the journal."""

    def __init__(self, model_folder: Path) -> None:
        self._folder = model_folder / FOLDER

    def load(self) -> dict[str, tuple[SealedInput, int]]:
        """A file that is not what its name says is deleted."""
        found = {}
        self._sweep()
        for path in sorted(self._folder.glob("*.npz")):
            sealed = _read(path)
            if sealed is None:
                self.drop(path.stem)
            else:
                found[path.stem] = sealed, path.stat().st_size
        return found

    def keep(self, sealed: SealedInput) -> tuple[str, int] | None:
        payload = _packed(sealed)
        if payload is None or len(payload) > FILE_MAX_BYTES:
            return None
        name = hashlib.sha256(payload).hexdigest()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self._folder / f"{name}.npz", payload, mode=_OWNER_ONLY)
        except OSError as refused:
            log.debug("an input cannot be sealed: %s", refused)
            self._sweep()
            return None
        return name, len(payload)

    def drop(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._folder / f"{name}.npz").unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what a full disk or a power cut left half-written."""
        for leftover in self._folder.glob("*.new"):
            with contextlib.suppress(OSError):
                leftover.unlink()

    def clear(self) -> None:
        """Delete all of them, as where the owner has switched them off."""
        for path in self._folder.glob("*.npz"):
            self.drop(path.stem)


def _packed(sealed: SealedInput) -> bytes | None:
    """None for values that are no numbers."""
    arrays = {f"in{at}": array for at, array in enumerate(sealed.inputs)}
    arrays |= {f"out{at}": array for at, array in enumerate(sealed.outputs)}
    if any(array.dtype == object for array in arrays.values()):
        return None
    about = json.dumps({"classes": sealed.classes, "model": sealed.model})
    packed = io.BytesIO()
    np.savez_compressed(packed, about=np.frombuffer(about.encode(), np.uint8), **arrays)
    return packed.getvalue()


def _read(path: Path) -> SealedInput | None:
    try:
        payload = path.read_bytes()
        if hashlib.sha256(payload).hexdigest() != path.stem:
            return None
        with np.load(io.BytesIO(payload), allow_pickle=False) as stored:
            about: dict[str, Any] = json.loads(stored["about"].tobytes())
            inputs, outputs = (_series(stored, side) for side in ("in", "out"))
        return SealedInput(inputs, outputs, tuple(int(each) for each in about["classes"]), str(about["model"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _series(stored: Any, side: str) -> tuple[Any, ...]:
    return tuple(stored[f"{side}{at}"] for at in range(sum(name.startswith(side) for name in stored.files)))

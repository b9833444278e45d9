"""Performs the core's effects on a candidate and the live model; results are events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from device_client.core.events import Event, ModelFailed, ProofEnded, ProofNotTried
from device_client.core.state import Installed, Target
from device_client.core.trial.proof_limits import FREE, ProofLimits
from device_client.engine.file_effects import FileEffects
from device_client.ports.context import Adapters
from device_client.ports.proof import NotTried, Proof, ProofOrder
from device_client.ports.serving import ModelFile
from device_client.ports.storage import VersionFolder
from protocol.content.label_file import labels_of
from protocol.errors import FerryError

log = logging.getLogger(__name__)


class TrialEffects:
    """`post` passes on the result of a proof, from another thread."""

    def __init__(self, adapters: Adapters, files: FileEffects, post: Callable[[Event], None]) -> None:
        self._files, self._post, self._store = files, post, adapters.store
        self._prover, self._serving = adapters.prover, adapters.serving

    def prove(self, target: Target, limits: ProofLimits) -> None:
        """Run the candidate in a limited child process; the result is posted."""
        variant = target.variant
        order = ProofOrder(
            model=self._store.path(variant.sha256),
            golden=self._store.path(target.manifest.golden.sha256),
            variant=variant.name,
            tolerance=variant.golden_tolerance,
            bounds=variant.golden_bounds,
            contract=target.manifest.contract,
            memory_max_bytes=limits.memory_max_bytes,
            wall_max_s=limits.wall_max_s,
            memory_by=limits.memory_by,
            wall_by=limits.wall_by,
            preprocessing=target.manifest.preprocessing,
        )
        log.info(
            "%s: the proof of %s may take %.0f MB (%s) and %.0f s (%s)",
            target.manifest.model, target.version, limits.memory_max_bytes / 1e6, limits.memory_by,
            limits.wall_max_s, limits.wall_by,
        )  # fmt: skip
        self._prover.start(order, lambda proof: self._post(_ended(variant.sha256, proof, limits)))

    def shadow(self, model: Installed, share: float) -> Event | None:
        return self._open(model, partial(self._serving.start_shadow, share=share))

    def swap(self, model: Installed) -> Event | None:
        version = VersionFolder.of(model)
        failed = self._open(model, self._serving.swap, version)
        if failed is None:
            self._files.make_current(version)
        return failed

    def stop(self) -> None:
        """End the child process and the shadow, if there are any."""
        self._prover.stop()
        self._serving.stop_shadow()

    def _open(
        self, model: Installed, use: Callable[[ModelFile], None], version: VersionFolder | None = None
    ) -> Event | None:
        """Check all files, then use the model; with `version`, from its folder."""
        sha256, path = model.variant.sha256, self._store.path
        try:
            for name, each in VersionFolder.of(model).links.items():
                if not self._store.has(each):  # a truncated model would crash the runtime, and this process
                    reason = "its file is gone, or holds other bytes than were signed"
                    return ModelFailed(sha256, reason if each == sha256 else f"{name}: {reason}", damaged=True)
            folder = self._files.make_folder(version) if version else None
            use(ModelFile.of(model, path(sha256), labels_of(model.manifest, path), _named_files(version, folder, path)))
        except (FerryError, OSError) as failed:
            return ModelFailed(sha256, str(failed))
        return None


def _named_files(version: VersionFolder | None, folder: Path | None, path: Callable[[str], Path]) -> Mapping[str, Path]:
    """Where an application finds each file: in the folder, if that could be made."""
    if version is None:
        return {}
    if folder is None:
        return {name: path(sha256) for name, sha256 in version.links.items()}
    return {name: folder / name for name in version.names}


def _ended(sha256: str, proof: Proof | NotTried, limits: ProofLimits) -> Event:
    if isinstance(proof, NotTried) or (proof.out_of_memory and limits.memory_by == FREE):
        return ProofNotTried(sha256, proof.reason)
    return ProofEnded(
        sha256, proof.passed, proof.reason, proof.samples, proof.max_error, proof.latency_ms_p50, proof.child
    )

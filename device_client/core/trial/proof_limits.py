"""How much memory and time a proof may take, by the manifest and within the settings.

The publisher measured on its own machine, so its figures are multiplied; where it gave
none, the settings apply. Too small figures end the proof at its limit, too large ones
at that of the settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.policy import Policy
from protocol.messages.manifest import Manifest, Variant
from protocol.sizes import size_text

SLACK_BYTES: Final = 32 * 1024 * 1024  # arenas and prepared kernels; a tiny model needs 5 MB of it
RESERVE_BYTES: Final = 8 * 1024 * 1024  # of free memory, left to the application
TIMES_MEMORY: Final = 3  # the limit is on address space, the measurement on resident memory
TIMES_FILE: Final = 2  # it is mapped, and kernels may keep a copy of the weights
START_S: Final = 30.0  # Python, numpy and the runtime, from a slow card on a busy board
OPENED_BYTES_S: Final = 1_000_000  # of the file, read and prepared
FREE: Final = "no more was free"
SLOWNESS: Final = 50  # times the publisher's latency: a board against a workstation, busy, at lowest priority


@dataclass(frozen=True, slots=True)
class ProofLimits:
    """Limits of the child process. `memory_by`, `wall_by`: where they are from."""

    memory_max_bytes: int
    wall_max_s: float
    memory_by: str
    wall_by: str


def proof_limits(policy: Policy, manifest: Manifest, variant: Variant, readings: Readings) -> ProofLimits | str:
    """Return the limits; or why not now, where too little memory is free."""
    free_bytes = readings.memory_free_bytes
    room_bytes = None if isinstance(free_bytes, Unknown) else free_bytes - RESERVE_BYTES
    need_bytes = SLACK_BYTES // 2 + variant.size_bytes + variant.requires.memory_bytes
    if room_bytes is not None and room_bytes < need_bytes <= policy.trial.proof_memory_max_bytes:
        need, free = size_text(need_bytes), size_text(room_bytes + RESERVE_BYTES)
        return f"the proof of {variant.name} takes up to {need} of memory, {free} are free"
    memory_max_bytes, memory_by = _memory_limit(policy, variant, room_bytes)
    wall_max_s, wall_by = _wall_limit(policy, manifest, variant)
    return ProofLimits(memory_max_bytes, wall_max_s, memory_by, wall_by)


def _memory_limit(policy: Policy, variant: Variant, room_bytes: int | None) -> tuple[int, str]:
    measured_bytes, ceiling = variant.requires.memory_bytes, policy.trial.proof_memory_max_bytes
    bounds = [(ceiling, "proof_memory_max_bytes allows no more")]
    if room_bytes is not None:
        bounds.append((max(SLACK_BYTES // 2, room_bytes), FREE))
    if measured_bytes and not policy.delegated:
        limit = SLACK_BYTES + TIMES_FILE * variant.size_bytes + TIMES_MEMORY * measured_bytes
        bounds.append((limit, f"its manifest says that it takes {size_text(measured_bytes)}"))
    return min(bounds)


def _wall_limit(policy: Policy, manifest: Manifest, variant: Variant) -> tuple[float, str]:
    measured_ms, limits = variant.measured.latency_ms_p95, policy.trial
    ceiling = (limits.proof_wall_max_s, "proof_wall_max_s allows no more")
    if measured_ms is None or policy.delegated:
        return ceiling
    runs = manifest.golden.samples * manifest.golden.steps
    runs_s = SLOWNESS * (runs + 1) * measured_ms / 1_000  # the first run prepares the kernels
    limit = START_S + variant.size_bytes / OPENED_BYTES_S + runs_s
    origin = f"its manifest says {measured_ms:.3g} ms a sample, of which there are {runs}"
    return min((round(limit, 1), origin), ceiling)

"""Which variant of a version a device takes, and in which encoding: the best that fits, at the fewest bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from device_client.core.policy import Policy
from device_client.core.readings import Readings, Unknown
from protocol.manifest import Encoding, Manifest, Variant, cheapest

RUNTIME: Final = "tflite"  # what `requires.runtime` must say; both names of the runtime mean it


@dataclass(frozen=True, slots=True)
class Choice:
    """A variant, the two encodings to fetch, and why this one."""

    variant: Variant
    encoding: Encoding
    golden_encoding: Encoding
    reason: str


def choose(manifest: Manifest, policy: Policy, readings: Readings, bases: frozenset[str]) -> Choice | str:
    """The choice, or in plain English why none of the variants will do. `bases`: files that a delta may start from."""
    golden = cheapest(manifest.golden.encodings, policy.known_encodings, bases)
    if golden is None:
        return f"version {manifest.version}: this client knows none of the encodings of the golden set"
    problems: list[str] = []
    fitting: list[tuple[Variant, Encoding]] = []
    for variant in manifest.variants:
        encoding = cheapest(variant.encodings, policy.known_encodings, bases)
        problem = _problem(variant, policy, readings)
        if encoding is None or problem:
            problems.append(problem or f"{variant.name} has no encoding that this client knows")
        else:
            fitting.append((variant, encoding))
    if not fitting:
        return f"no variant of {manifest.version} fits this device: {'; '.join(problems)}"[:480]
    variant, encoding = min(fitting, key=lambda pair: _rank(policy, pair[0]))
    return Choice(variant, encoding, golden, _because(policy, variant, len(fitting)))


def _problem(variant: Variant, policy: Policy, readings: Readings) -> str:
    """Why this variant will not do here; empty when nothing speaks against it."""
    requires = variant.requires
    budget_bytes = policy.memory_budget_bytes
    if budget_bytes is None:
        budget_bytes = _half(readings.memory_free_bytes)
    if policy.variant and variant.name != policy.variant:
        return f"{variant.name} is not {policy.variant}, the only one that the settings allow"
    if requires.runtime != RUNTIME:
        return f"{variant.name} needs the runtime {requires.runtime}, this client has {RUNTIME}"
    if budget_bytes is not None and requires.memory_bytes > budget_bytes:
        need, have = requires.memory_bytes / 1e6, budget_bytes / 1e6
        return f"{variant.name} needs {need:,.0f} MB of memory, {have:,.0f} MB may be used"
    return ""


def _rank(policy: Policy, variant: Variant) -> tuple[float, float]:
    accuracy = variant.measured.accuracy if variant.measured.accuracy is not None else 0.0
    return (variant.size_bytes, -accuracy) if policy.prefer == "size" else (-accuracy, variant.size_bytes)


def _because(policy: Policy, variant: Variant, fitting: int) -> str:
    if policy.variant:
        return f"variant {variant.name}, as the settings say"
    if fitting == 1:
        return f"variant {variant.name}, the only one that fits"
    word = "the smallest" if policy.prefer == "size" else "the most accurate"
    return f"variant {variant.name}, {word} of {fitting} that fit"


def _half(free_bytes: int | Unknown) -> int | None:
    return None if isinstance(free_bytes, Unknown) else free_bytes // 2

"""Which variant of a version a device takes, and in which encoding: the best that fits, at the fewest bytes."""

from __future__ import annotations

from dataclasses import dataclass

from device_client.core.policy import Policy
from device_client.core.readings import Readings, Unknown
from protocol.manifest import Encoding, Manifest, Variant, cheapest


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
    candidates: list[tuple[Variant, Encoding]] = []
    budget_bytes = policy.memory_budget_bytes or _half(readings.memory_free_bytes)
    for variant in manifest.variants:
        encoding = cheapest(variant.encodings, policy.known_encodings, bases)
        if policy.variant and variant.name != policy.variant:
            problems.append(f"{variant.name} is not {policy.variant}, the only one that the settings allow")
        elif encoding is None:
            problems.append(f"{variant.name} has no encoding that this client knows")
        elif budget_bytes is not None and variant.requires.memory_bytes > budget_bytes:
            need, have = variant.requires.memory_bytes / 1e6, budget_bytes / 1e6
            problems.append(f"{variant.name} needs {need:,.0f} MB of memory, {have:,.0f} MB may be used")
        else:
            candidates.append((variant, encoding))
    if not candidates:
        return f"no variant of {manifest.version} fits this device: {'; '.join(problems)}"[:480]
    variant, encoding = min(candidates, key=lambda pair: _rank(policy, pair[0]))
    return Choice(variant, encoding, golden, _because(policy, variant, len(candidates)))


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

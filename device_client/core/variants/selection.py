"""Which variant of a version to take: the best that fits, in the fewest bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.goal import Goal
from device_client.core.policy import Policy
from device_client.core.state import Finding, Installed
from protocol.messages.manifest import Encoding, Manifest, Variant, cheapest
from protocol.messages.preprocessing import FEATURE, NewerPreprocessing, unknown_part
from protocol.sizes import size_text

RUNTIME: Final = "tflite"  # `requires.runtime`; stands for both names of the runtime
FEATURES: Final = (RUNTIME, FEATURE)  # what `requires.runtime` may hold, joined by "+"


@dataclass(frozen=True, slots=True)
class VariantSelection:
    """A variant, the encodings to fetch, and why this one."""

    variant: Variant
    encoding: Encoding
    golden_encoding: Encoding
    reason: str
    file_encodings: tuple[Encoding, ...] = ()


def select(policy: Policy, goal: Goal, readings: Readings, *, margin: float = 1.0) -> VariantSelection | str:
    """The file still here on a way back; the best that fits; or why there is none.

    `margin`: how many times over the memory that a variant needs must be free.
    """
    return _way_back(policy, goal) or _best(policy, goal, readings, margin)


def _way_back(policy: Policy, goal: Goal) -> VariantSelection | None:
    back = goal.way_back
    if back is None or back.variant not in goal.manifest.variants:
        return None
    here = goal.manifest.model_copy(update={"variants": (back.variant,)})
    selection = choose(here, policy, Readings(), frozenset({back.variant.sha256}))
    return None if isinstance(selection, str) else replace(selection, reason=back.choice or selection.reason)


def _best(policy: Policy, goal: Goal, readings: Readings, margin: float) -> VariantSelection | str:
    """The memory that the live variant of the version holds counts as free."""
    running, findings = goal.running, goal.findings
    if running is not None and not isinstance(readings.memory_free_bytes, Unknown):
        free_bytes = readings.memory_free_bytes + running.variant.requires.memory_bytes
        readings = replace(readings, memory_free_bytes=int(free_bytes / margin))
    if running is not None and running.latency_ms is not None:
        # its proof counts, where the latency budget has been lowered
        name, latency_ms = running.variant.name, running.latency_ms
        proof = Finding(version=goal.version, variant=name, attempt=goal.attempt, reason="slow", latency_ms=latency_ms)
        findings = (*findings, proof)
    return choose(goal.manifest, policy, readings, goal.files, findings)


def choose(
    manifest: Manifest, policy: Policy, readings: Readings, bases: frozenset[str], findings: Sequence[Finding] = ()
) -> VariantSelection | str:
    """Return the selection, or why none fits. `bases`: where a delta may start from."""
    golden = cheapest(manifest.golden.encodings, policy.known_encodings, bases)
    if golden is None:
        return f"version {manifest.version}: this client knows none of the encodings of the golden set"
    if isinstance(manifest.preprocessing, NewerPreprocessing):
        return (
            f"version {manifest.version} needs {unknown_part(manifest.preprocessing)}, which this client does not know"
        )
    files = tuple(cheapest(file.encodings, policy.known_encodings, bases) for file in manifest.files)
    unreadable = [file.name for file, encoding in zip(manifest.files, files, strict=True) if encoding is None]
    if unreadable:
        return f"version {manifest.version}: this client knows none of the encodings of {', '.join(unreadable)}"
    problems: list[str] = []
    fitting: list[tuple[Variant, Encoding]] = []
    for variant in manifest.variants:
        encoding = cheapest(variant.encodings, policy.known_encodings, bases)
        problem = _problem(variant, policy, readings) or _ruled_out(variant, policy, findings)
        if encoding is None or problem:
            problems.append(problem or f"{variant.name} has no encoding that this client knows")
        else:
            fitting.append((variant, encoding))
    if not fitting:
        return f"no variant of {manifest.version} fits this device: {'; '.join(problems)}"
    variant, encoding = min(fitting, key=lambda pair: _rank(policy, pair[0]))
    reason = _because(policy, variant, len(fitting), problems)
    return VariantSelection(variant, encoding, golden, reason, tuple(filter(None, files)))


def objection(policy: Policy, live: Installed) -> str:
    """Why the settings rule out the live variant; or empty."""
    return unfit(live.variant, policy) or too_slow_here(live.variant, live.latency_ms, policy)


def unfit(variant: Variant, policy: Policy) -> str:
    """Why the settings rule out a variant, whatever the readings; or empty."""
    return _problem(variant, policy, Readings())


def _problem(variant: Variant, policy: Policy, readings: Readings) -> str:
    requires = variant.requires
    budget_bytes, free_bytes = policy.memory_budget_bytes, readings.memory_free_bytes
    if budget_bytes is None and not isinstance(free_bytes, Unknown):
        budget_bytes = free_bytes // 2
    if policy.variant and variant.name != policy.variant:
        return f"{variant.name} is not {policy.variant}, the only one that the settings allow"
    if not set(requires.runtime.split("+")).issubset(FEATURES):
        return (
            f"{variant.name} needs the runtime {requires.runtime}, this client has {'+'.join(sorted(FEATURES)[::-1])}"
        )
    if budget_bytes is not None and requires.memory_bytes > budget_bytes:
        need, budget = size_text(requires.memory_bytes), size_text(budget_bytes)
        return f"{variant.name} needs {need} of memory, {budget} may be used"
    return _too_slow(variant, policy.latency_budget_ms)


def too_slow_here(variant: Variant, latency_ms: float | None, policy: Policy) -> str:
    """Why the median measured on this device is over the budget; or empty."""
    budget_ms = policy.latency_budget_ms
    if budget_ms is None or latency_ms is None or latency_ms <= budget_ms:
        return ""
    return f"{variant.name} takes {latency_ms:.3g} ms on this device (median), {budget_ms:g} ms may be used"


def _ruled_out(variant: Variant, policy: Policy, findings: Sequence[Finding]) -> str:
    finding = next((each for each in findings if each.variant == variant.name), None)
    if finding is None or finding.latency_ms is not None:
        return too_slow_here(variant, finding.latency_ms, policy) if finding else ""
    return f"{variant.name} was tried here: {finding.reason}"


def _too_slow(variant: Variant, budget_ms: float | None) -> str:
    """By the publisher's figure; how much slower this device is, a proof shows."""
    latency_ms = variant.measured.latency_ms_p95
    if budget_ms is None:
        return ""
    if latency_ms is None:
        return f"the latency of {variant.name} was never measured, {budget_ms:g} ms may be used"
    if latency_ms > budget_ms:
        return f"{variant.name} takes {latency_ms:.3g} ms (p95 at the publisher's), {budget_ms:g} ms may be used"
    return ""


def _rank(policy: Policy, variant: Variant) -> tuple[float, float]:
    accuracy = variant.measured.accuracy if variant.measured.accuracy is not None else 0.0
    return (variant.size_bytes, -accuracy) if policy.prefer == "size" else (-accuracy, variant.size_bytes)


def _because(policy: Policy, variant: Variant, fitting: int, problems: list[str]) -> str:
    if policy.variant:
        return f"variant {variant.name}, as the settings say"
    word = "the smallest" if policy.prefer == "size" else "the most accurate"
    why = "the only one that fits" if fitting == 1 else f"{word} of {fitting} that fit"
    return "; ".join((f"variant {variant.name}, {why}", *problems))

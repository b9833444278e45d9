"""Decides what `publisher serve` does: restore, answer wants, renew signatures.

Pure: `step(state, event, now_s)`. The registry is the truth; the broker is compared
with it on every connect and at intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

WANT_COOLDOWN_S: Final = 5.0  # one publish answers all devices that miss the same chunk
WANTS_REMEMBERED: Final = 20_000
RENEW_CHECK_S: Final = 3_600.0
RENEW_UNDER: Final = 0.5  # of the lifetime: leaves fifteen days to devices that are seldom online
COMPARE_EVERY_S: Final = 600.0  # a broker may lose data without a reconnect
COMPARE_AGAIN_S: Final = 20.0  # after a failed effect


@dataclass(frozen=True, slots=True)
class BrokerJoined:
    """The connection to the broker is up."""


@dataclass(frozen=True, slots=True)
class BrokerLost:
    """The connection to the broker is down."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What on the broker differs from the registry: announcements and chunk trees."""

    stale_models: tuple[str, ...]
    missing_roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChunksWanted:
    device: str
    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed.

    `signature_left`: the share of its lifetime, 0-1, of the signature that ends first.
    `unannounced`: models with a pending announcement that no running command will send.
    """

    signature_left: float
    unannounced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReconcileFailed:
    """An effect has failed."""


ReconcileEvent = BrokerJoined | BrokerLost | Compared | ChunksWanted | Ticked | ReconcileFailed


@dataclass(frozen=True, slots=True)
class Compare:
    """Compare the announcements and roots on the broker; results in `Compared`."""


@dataclass(frozen=True, slots=True)
class PutTrees:
    """Publish whole trees, slices first and roots last."""

    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PutModels:
    """Publish the missing chunks of these models, then their announcements."""

    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PutChunks:
    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Renew:
    """Sign a new timestamp and announce every model with it."""


ReconcileEffect = Compare | PutTrees | PutModels | PutChunks | Renew


@dataclass(frozen=True, slots=True)
class Reconciler:
    """State while serving. Nothing of it needs to be saved."""

    joined: bool = False
    answered: Mapping[str, float] = field(default_factory=dict)  # when each chunk was last published
    compare_at_s: float = 0.0
    renew_check_at_s: float = 0.0


Step = tuple[Reconciler, tuple[ReconcileEffect, ...]]  # the next state, and the effects to perform


def step(state: Reconciler, event: ReconcileEvent, now_s: float) -> Step:
    match event:
        case BrokerJoined():
            return replace(state, joined=True, compare_at_s=now_s + COMPARE_EVERY_S, answered={}), (Compare(),)
        case BrokerLost():
            return replace(state, joined=False), ()
        case Compared(stale_models, missing_roots):
            trees = (PutTrees(missing_roots),) if missing_roots else ()
            return state, (*trees, PutModels(stale_models)) if stale_models else trees
        case ChunksWanted(_, sha256s):
            return _answer_wants(state, sha256s, now_s)
        case Ticked(signature_left, unannounced):
            return _tick(state, signature_left, unannounced, now_s)
        case ReconcileFailed():
            return replace(state, compare_at_s=min(state.compare_at_s, now_s + COMPARE_AGAIN_S)), ()


def _answer_wants(state: Reconciler, sha256s: tuple[str, ...], now_s: float) -> Step:
    last_s = state.answered.get
    fresh = tuple(sha for sha in dict.fromkeys(sha256s) if now_s - last_s(sha, float("-inf")) >= WANT_COOLDOWN_S)
    if not fresh or not state.joined:
        return state, ()
    answered = dict(state.answered) | dict.fromkeys(fresh, now_s)
    if len(answered) > WANTS_REMEMBERED:
        answered = {sha256: at_s for sha256, at_s in answered.items() if now_s - at_s < WANT_COOLDOWN_S}
    return replace(state, answered=answered), (PutChunks(fresh),)


def _tick(state: Reconciler, signature_left: float, unannounced: tuple[str, ...], now_s: float) -> Step:
    effects: list[ReconcileEffect] = []
    if state.joined and unannounced:
        effects.append(PutModels(unannounced))
    if state.joined and now_s >= state.compare_at_s:
        state = replace(state, compare_at_s=now_s + COMPARE_EVERY_S)
        effects.append(Compare())
    if now_s >= state.renew_check_at_s and signature_left < RENEW_UNDER:
        state = replace(state, renew_check_at_s=now_s + RENEW_CHECK_S)
        effects.append(Renew())
    return state, tuple(effects)

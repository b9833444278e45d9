"""What `publisher serve` decides: put back what a broker lost, answer wants, renew signatures in time.

Pure: `step(state, event, now_s)`. The registry is the truth; the broker is compared with it on every connect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

WANT_REST_S: Final = 5.0  # a thousand devices miss the same chunk at once: one publish answers them all
WANTS_REMEMBERED: Final = 20_000
RENEW_CHECK_S: Final = 3_600.0
RENEW_UNDER: Final = 0.5  # of the lifetime: fifteen days for a device that is seldom online
COMPARE_EVERY_S: Final = 600.0  # a broker may lose something without a reconnect
COMPARE_AGAIN_S: Final = 20.0  # when something could not be put back


@dataclass(frozen=True, slots=True)
class BrokerJoined:
    """The broker has accepted us."""


@dataclass(frozen=True, slots=True)
class BrokerLost:
    """The broker is gone."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The broker was asked: these announcements and roots of chunk trees are not as the registry says."""

    stale_models: tuple[str, ...]
    missing_roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChunksWanted:
    """A device misses chunks."""

    device: str
    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed. `signature_left`: share of its lifetime that is left to the signature that ends first, 0-1.

    `unannounced`: models whose announcement a command stored and then did not send; nobody is at work on them.
    """

    signature_left: float
    unannounced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReconcileFailed:
    """Something that was asked for could not be done."""


ReconcileEvent = BrokerJoined | BrokerLost | Compared | ChunksWanted | Ticked | ReconcileFailed


@dataclass(frozen=True, slots=True)
class Compare:
    """Ask the broker for the announcements and the roots; `Compared` answers."""


@dataclass(frozen=True, slots=True)
class PutTrees:
    """Publish whole trees, slices first and roots last."""

    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PutModels:
    """Publish all chunks that a model's announcement names that the broker lacks, then the announcement."""

    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PutChunks:
    """Publish single chunks."""

    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Renew:
    """Sign a new timestamp and announce every model with it."""


ReconcileEffect = Compare | PutTrees | PutModels | PutChunks | Renew


@dataclass(frozen=True, slots=True)
class Reconciler:
    """What is known while serving; nothing of it need survive."""

    joined: bool = False
    answered: Mapping[str, float] = field(default_factory=dict)  # chunk to when it was put back
    compare_at_s: float = 0.0
    renew_check_at_s: float = 0.0


def step(keeper: Reconciler, event: ReconcileEvent, now_s: float) -> tuple[Reconciler, tuple[ReconcileEffect, ...]]:
    """Return what the keeper becomes and what it asks for."""
    match event:
        case BrokerJoined():
            return replace(keeper, joined=True, compare_at_s=now_s + COMPARE_EVERY_S, answered={}), (Compare(),)
        case BrokerLost():
            return replace(keeper, joined=False), ()
        case Compared(stale_models, missing_roots):
            trees = (PutTrees(missing_roots),) if missing_roots else ()
            return keeper, (*trees, PutModels(stale_models)) if stale_models else trees
        case ChunksWanted(_, sha256s):
            return _answer(keeper, sha256s, now_s)
        case Ticked(signature_left, unannounced):
            return _tick(keeper, signature_left, unannounced, now_s)
        case ReconcileFailed():
            return replace(keeper, compare_at_s=min(keeper.compare_at_s, now_s + COMPARE_AGAIN_S)), ()


def _answer(
    keeper: Reconciler, sha256s: tuple[str, ...], now_s: float
) -> tuple[Reconciler, tuple[ReconcileEffect, ...]]:
    last_s = keeper.answered.get
    fresh = tuple(sha for sha in dict.fromkeys(sha256s) if now_s - last_s(sha, float("-inf")) >= WANT_REST_S)
    if not fresh or not keeper.joined:
        return keeper, ()
    answered = dict(keeper.answered) | dict.fromkeys(fresh, now_s)
    if len(answered) > WANTS_REMEMBERED:
        answered = {sha256: at_s for sha256, at_s in answered.items() if now_s - at_s < WANT_REST_S}
    return replace(keeper, answered=answered), (PutChunks(fresh),)


def _tick(
    keeper: Reconciler, signature_left: float, unannounced: tuple[str, ...], now_s: float
) -> tuple[Reconciler, tuple[ReconcileEffect, ...]]:
    effects: list[ReconcileEffect] = []
    if keeper.joined and unannounced:
        effects.append(PutModels(unannounced))
    if keeper.joined and now_s >= keeper.compare_at_s:
        keeper = replace(keeper, compare_at_s=now_s + COMPARE_EVERY_S)
        effects.append(Compare())
    if now_s >= keeper.renew_check_at_s and signature_left < RENEW_UNDER:
        keeper = replace(keeper, renew_check_at_s=now_s + RENEW_CHECK_S)
        effects.append(Renew())
    return keeper, tuple(effects)

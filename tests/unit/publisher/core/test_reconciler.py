"""What `publisher serve` decides: restore, answer and renew, at a bounded rate."""

from __future__ import annotations

from protocol.trust.metadata_editor import RENEW_FRACTION
from publisher.core.sync.reconciler import (
    COMPARE_AGAIN_S,
    COMPARE_EVERY_S,
    RENEW_CHECK_S,
    RENEW_UNDER,
    WANT_COOLDOWN_S,
    WANTS_REMEMBERED,
    BrokerJoined,
    BrokerLost,
    ChunksWanted,
    Compare,
    Compared,
    PutChunks,
    PutModels,
    PutTrees,
    ReconcileEffect,
    ReconcileEvent,
    ReconcileFailed,
    Reconciler,
    Renew,
    Ticked,
    step,
)
from tests.builders import a_hash

FRESH = 1.0


def lived(*events: tuple[float, ReconcileEvent]) -> tuple[Reconciler, list[tuple[ReconcileEffect, ...]]]:
    state, steps = Reconciler(), []
    for now_s, event in events:
        state, effects = step(state, event, now_s)
        steps.append(effects)
    return state, steps


def effects_of(*events: tuple[float, ReconcileEvent]) -> tuple[ReconcileEffect, ...]:
    """What the last of these events led to."""
    return lived(*events)[1][-1]


def test_a_signature_that_is_due_for_the_reconciler_is_due_for_the_authority() -> None:
    """Else `renew` would keep a signature that `step` finds too old, every hour."""
    assert RENEW_UNDER <= RENEW_FRACTION


def test_every_connect_compares_the_broker_with_the_registry() -> None:
    _, steps = lived((0, BrokerJoined()), (1, BrokerLost()), (2, BrokerJoined()))
    assert steps == [(Compare(),), (), (Compare(),)]


def test_what_the_broker_lost_is_put_back_chunks_before_announcements() -> None:
    found = Compared(stale_models=("digits",), missing_roots=("a", "b"))
    assert effects_of((0, BrokerJoined()), (0, found)) == (PutTrees(("a", "b")), PutModels(("digits",)))


def test_a_broker_that_has_everything_is_left_alone() -> None:
    assert effects_of((0, BrokerJoined()), (0, Compared((), ()))) == ()


def test_a_thousand_devices_that_miss_one_chunk_get_one_publish() -> None:
    wanted = [(1.0, ChunksWanted(f"pi-{number}", (a_hash(),))) for number in range(1_000)]
    _, steps = lived((0, BrokerJoined()), *wanted)
    assert [effects for effects in steps[1:] if effects] == [(PutChunks((a_hash(),)),)]


def test_a_chunk_that_is_still_missing_is_put_again_after_a_rest() -> None:
    wanted = ChunksWanted("pi-1", (a_hash(), a_hash()))
    again = (1 + WANT_COOLDOWN_S, wanted)
    assert effects_of((0, BrokerJoined()), (1, wanted), again) == (PutChunks((a_hash(),)),)


def test_a_chunk_is_put_again_at_once_to_a_broker_that_came_back() -> None:
    wanted = ChunksWanted("pi-1", (a_hash(),))
    later = ((1.1, BrokerLost()), (1.2, BrokerJoined()), (1.3, wanted))
    assert effects_of((0, BrokerJoined()), (1, wanted), *later) == (PutChunks((a_hash(),)),)


def test_nothing_is_put_to_a_broker_that_is_gone() -> None:
    assert effects_of((0, ChunksWanted("pi-1", (a_hash(),)))) == ()
    assert effects_of((0, BrokerJoined()), (1, BrokerLost()), (2, Ticked(FRESH, ("digits",)))) == ()


def test_the_memory_of_answers_is_bounded() -> None:
    wanted = [
        (float(second), ChunksWanted("pi-1", tuple(a_hash(f"{second} {number}") for number in range(48))))
        for second in range(600)
    ]
    state, _ = lived((0, BrokerJoined()), *wanted)
    assert len(state.answered) <= WANTS_REMEMBERED


def test_a_standing_connection_is_compared_now_and_then() -> None:
    joined = (0.0, BrokerJoined())
    assert effects_of(joined, (COMPARE_EVERY_S - 1, Ticked(FRESH))) == ()
    assert effects_of(joined, (COMPARE_EVERY_S, Ticked(FRESH))) == (Compare(),)
    assert effects_of(joined, (COMPARE_EVERY_S, Ticked(FRESH)), (COMPARE_EVERY_S + 1, Ticked(FRESH))) == ()


def test_what_failed_is_looked_at_again_soon() -> None:
    failed = ((0.0, BrokerJoined()), (5.0, ReconcileFailed()))
    assert effects_of(*failed, (5 + COMPARE_AGAIN_S - 1, Ticked(FRESH))) == ()
    assert effects_of(*failed, (5 + COMPARE_AGAIN_S, Ticked(FRESH))) == (Compare(),)


def test_an_announcement_that_a_killed_command_left_is_sent() -> None:
    assert effects_of((0, BrokerJoined()), (1, Ticked(FRESH, ("digits",)))) == (PutModels(("digits",)),)


def test_signatures_are_renewed_when_half_their_time_is_over_and_once_an_hour_at_most() -> None:
    joined = (0.0, BrokerJoined())
    assert effects_of(joined, (1, Ticked(0.51))) == ()
    assert effects_of(joined, (1, Ticked(0.49))) == (Renew(),)
    assert effects_of(joined, (1, Ticked(0.49)), (2, Ticked(0.49))) == ()
    late = 1 + RENEW_CHECK_S
    assert Renew() in effects_of(joined, (1, Ticked(0.49)), (late, Ticked(0.49)))


def test_signatures_are_renewed_without_a_broker_too() -> None:
    assert effects_of((1, Ticked(-0.1))) == (Renew(),)

"""A few inputs of each class are kept, apart in time and within bounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from device_client.ports.serving import SealedInput
from device_client.serving.trial.sealed_inputs import (
    CLASSES_MAX,
    INPUTS_MAX,
    INPUTS_MAX_BYTES,
    OF_CLASS_MAX,
    OF_CLASS_MIN,
    SealedInputs,
)

X = [np.zeros((1, 4), np.float32)]


class MemoryStore:
    """A SealedStore that keeps what it is given."""

    def __init__(self, size_bytes: int = 100) -> None:
        self.kept: dict[str, SealedInput] = {}
        self.size_bytes, self.serial = size_bytes, 0

    def load(self) -> dict[str, tuple[SealedInput, int]]:
        return {name: (sealed, self.size_bytes) for name, sealed in self.kept.items()}

    def keep(self, sealed: SealedInput) -> tuple[str, int] | None:
        self.serial += 1
        self.kept[str(self.serial)] = sealed
        return str(self.serial), self.size_bytes

    def drop(self, name: str) -> None:
        del self.kept[name]


class Hand:
    """A clock that a test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def given(store: MemoryStore, classes: Sequence[tuple[int, ...]], *, apart_s: float = 1e6) -> None:
    """A thread for each run, so that all is written at its end."""
    clock = Hand()
    for each in classes:
        sealed = SealedInputs(store, clock)
        clock.now_s += apart_s
        sealed.offer(X, X, each, "1.0.0 int8")
        sealed.close()


def test_of_each_class_as_many_are_kept_as_it_needs_and_no_more() -> None:
    store = MemoryStore()
    given(store, [(0,)] * 40 + [(1,)] * 2)
    assert sorted(sealed.classes for sealed in store.kept.values()) == [(0,)] * OF_CLASS_MAX + [(1,)] * 2


def test_with_many_classes_each_has_fewer_and_all_together_stay_within_the_bound() -> None:
    store = MemoryStore()
    given(store, [(at,) for _ in range(6) for at in range(CLASSES_MAX + 5)])
    assert len(store.kept) <= INPUTS_MAX
    assert {sealed.classes for sealed in store.kept.values()} == {(at,) for at in range(CLASSES_MAX)}


def test_a_class_that_comes_late_takes_the_place_of_those_that_have_many() -> None:
    store = MemoryStore(size_bytes=INPUTS_MAX_BYTES // 10)
    given(store, [(0,)] * 16 + [(1,)] * OF_CLASS_MIN)
    counts = [sum(sealed.classes == (at,) for sealed in store.kept.values()) for at in (0, 1)]
    assert counts == [10 - OF_CLASS_MIN, OF_CLASS_MIN]


@pytest.mark.parametrize(("apart_s", "wanted"), [(0.01, 1), (4_000.0, 8)])
def test_inputs_that_follow_each_other_closely_are_not_all_kept(apart_s: float, wanted: int) -> None:
    clock = Hand()
    sealed = SealedInputs(MemoryStore(), clock)
    looked_at = 0
    for id_ in range(8):
        clock.now_s += apart_s
        if sealed.wants(id_, 0):
            looked_at += 1
            sealed.offer(X, X, (0,), "1.0.0 int8")
    sealed.close()
    assert looked_at == wanted


def test_a_full_class_is_not_looked_at_again() -> None:
    store, clock = MemoryStore(), Hand()
    given(store, [(0,)] * OF_CLASS_MAX)
    sealed = SealedInputs(store, clock)
    assert sealed.wants(1, 0)
    sealed.offer(X, X, (0,), "1.0.0 int8")
    clock.now_s = 1e9
    assert not sealed.wants(2, 0)
    assert sealed.wants(2, 1)


def test_what_the_application_does_with_its_arrays_changes_no_sealed_input() -> None:
    store = MemoryStore()
    x = np.ones((1, 4), np.float32)
    sealed = SealedInputs(store, Hand())
    sealed.offer([x], [x], (0,), "1.0.0 int8")
    x[:] = 7.0
    sealed.close()
    (kept,) = store.kept.values()
    assert kept.inputs[0].tolist() == [[1.0] * 4]

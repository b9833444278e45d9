"""Waits grow with each failure, and differ between the devices of a fleet."""

from __future__ import annotations

import random

from protocol.mqtt.backoff import STEADY_S, Backoff, failures_after


def test_waits_grow_from_half_a_second_to_a_minute() -> None:
    backoff = Backoff()
    for failures, bound_s in ((1, 1.0), (2, 2.0), (4, 8.0), (7, 60.0), (1_000, 60.0)):
        waits = [backoff.wait_s(failures, random.Random(seed), final=False) for seed in range(200)]
        assert all(0.5 <= wait_s <= bound_s for wait_s in waits)
        assert max(waits) > bound_s * 0.9


def test_a_fleet_does_not_come_back_as_one() -> None:
    waits = {round(Backoff().wait_s(7, random.Random(seed), final=False), 1) for seed in range(200)}
    assert len(waits) > 100


def test_wrong_credentials_are_tried_again_about_once_a_minute() -> None:
    waits = [Backoff().wait_s(1, random.Random(seed), final=True) for seed in range(200)]
    assert all(45 <= wait_s <= 75 for wait_s in waits)


def test_a_connection_that_held_starts_the_count_afresh() -> None:
    assert failures_after(9, accepted=True, lasted_s=STEADY_S) == 1
    assert failures_after(9, accepted=False, lasted_s=STEADY_S) == 10


def test_two_clients_of_one_name_calm_down_but_a_shaky_line_does_not_wait_long() -> None:
    failures = 0
    for _ in range(9):
        failures = failures_after(failures, accepted=True, lasted_s=0.1)
    assert failures == 3

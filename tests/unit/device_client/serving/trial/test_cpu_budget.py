"""The CPU budget of a shadow holds on average, and does not depend on answers."""

from __future__ import annotations

from collections import deque

import pytest

from device_client.serving.trial.cpu_budget import BURST_S, CpuBudget


def used_s(cpu_percent: float, cost_s: float, *, every_s: float, lasts_s: float, queue: int = 32) -> tuple[float, int]:
    """Inputs at an interval, and one thread that runs those that were charged."""
    budget, waiting = CpuBudget(cpu_percent, 0.0), deque[float]()
    spent_s, free_at_s, taken = 0.0, 0.0, 0
    for at in range(int(lasts_s / every_s)):
        now_s = at * every_s
        while waiting and free_at_s <= now_s:
            budget.settle(waiting.popleft(), cost_s)
            spent_s, free_at_s = spent_s + cost_s, max(free_at_s, now_s) + cost_s
        if len(waiting) < queue and (charged_s := budget.charge(now_s)) is not None:
            waiting.append(charged_s)
            taken += 1
    return spent_s, taken


@pytest.mark.parametrize("cpu_percent", [1.0, 5.0, 25.0, 100.0])
@pytest.mark.parametrize("cost_s", [0.0001, 0.02, 0.7])
def test_over_any_while_the_budget_holds(cpu_percent: float, cost_s: float) -> None:
    spent_s, taken = used_s(cpu_percent, cost_s, every_s=0.01, lasts_s=200.0)
    assert taken > 0
    assert spent_s <= (200.0 + BURST_S) * cpu_percent / 100 + cost_s


def test_a_light_model_sees_every_input() -> None:
    assert used_s(25.0, 0.0001, every_s=0.01, lasts_s=20.0)[1] >= 1_990  # the first ones wait until the cost is known


def test_a_heavy_model_uses_what_it_may() -> None:
    spent_s, taken = used_s(25.0, 0.2, every_s=0.1, lasts_s=200.0)
    assert 0.8 * 50.0 <= spent_s <= 50.0 + BURST_S
    assert 200 <= taken <= 262


def test_rare_inputs_are_all_taken_however_heavy() -> None:
    assert used_s(5.0, 1.0, every_s=60.0, lasts_s=6_000.0)[1] == 100


def test_before_a_cost_is_known_one_runs_alone() -> None:
    budget = CpuBudget(50.0, 0.0)
    charged_s = budget.charge(0.0)
    assert charged_s is not None
    assert budget.charge(0.0) is None
    budget.settle(charged_s, 0.001)
    assert budget.charge(0.0) == pytest.approx(0.001)


def test_what_was_left_out_is_paid_back() -> None:
    budget = CpuBudget(50.0, 0.0)
    for _ in range(1_000):
        charged_s = budget.charge(0.0)
        assert charged_s is not None
        budget.settle(charged_s, 0.0)


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    budget = CpuBudget(10.0, 100.0)
    charged_s = budget.charge(100.0)
    assert charged_s is not None
    budget.settle(charged_s, 5.0)
    assert budget.charge(90.0) is None
    assert budget.charge(100.0) is None

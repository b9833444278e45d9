"""The picture of the smart strategy: its stream drifts as it says, and what a device
lived through is drawn and told.

That a device lives so is held by tests/integration/test_smart_on_drifting_inputs.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.drifting import Leg, drifting, turned
from bench.smart import END_H, RELEASES_H, TURNED_DEG, Check, Life, Sample, a_stream, draw, lines_of
from publisher.recipes import digits


def test_a_stream_is_upright_then_turns_and_grows_noisy_and_is_the_same_again_from_the_same_seed() -> None:
    legs = (Leg(20), Leg(30, (0.0, 60.0), (0.0, 0.3)), Leg(10))
    stream, again = drifting(legs, seed=4), drifting(legs, seed=4)
    _, _, x, y = digits.load_data()
    known = {row.tobytes(): int(digit) for row, digit in zip(x, y, strict=True)}
    upright = [*range(21), *range(50, 60)]  # a leg begins where it says
    assert all(known[stream.x[row].tobytes()] == stream.y[row] for row in upright)
    assert all(stream.x[row].tobytes() not in known for row in range(21, 50))
    assert stream.turned_deg[49] == 60.0
    assert stream.x.dtype == np.float32
    assert stream.x.shape == (60, 784)
    assert 0.0 <= stream.x.min() <= stream.x.max() <= 1.0
    assert np.array_equal(stream.x, again.x)


def test_a_quarter_turn_is_a_quarter_turn_and_a_small_one_loses_little() -> None:
    _, _, x, _ = digits.load_data()
    few = x[:40]
    quarter = np.rot90(few.reshape(-1, 28, 28), axes=(1, 2)).reshape(-1, 784)
    assert turned(few, np.full(40, 90.0)) == pytest.approx(quarter, abs=1e-5)
    assert np.array_equal(turned(few, np.zeros(40)), few)
    middle = turned(few, np.full(40, 10.0)).reshape(-1, 28, 28)[:, 7:21, 7:21]
    assert middle.mean() == pytest.approx(few.reshape(-1, 28, 28)[:, 7:21, 7:21].mean(), rel=0.05)


def test_the_stream_of_the_picture_drifts_and_comes_back() -> None:
    stream = a_stream(per_hour=4)
    assert len(stream.x) == END_H * 4
    assert stream.turned_deg.max() == TURNED_DEG
    assert stream.turned_deg[0] == stream.turned_deg[-1] == 0.0


def test_what_was_lived_through_is_drawn_and_told(tmp_path: Path) -> None:
    lives = [a_life(labelled=labelled) for labelled in (True, False)]
    out = tmp_path / "of" / "smart.png"
    draw(lives, out)
    assert out.read_bytes().startswith(b"\x89PNG")
    text = "\n".join(lines_of(lives[0]))
    assert "hour   40.0: checks every  0.25 h: score 0.00 (drift 0.90)" in text
    assert "hour   40.0: 2.0.0 is taken" in text
    assert "2.0.0 adopted: it is better" in text


def a_life(*, labelled: bool) -> Life:
    """It checks once, at the worst moment."""
    calm = [Sample(hour, 0.0, 0.0, 1.0, 86_400.0 if hour >= RELEASES_H["2.0.0"] else None) for hour in range(40)]
    return Life(
        labelled,
        [*calm, Sample(40.0, 20.0, 0.9, 0.0, 900.0), Sample(41.0, 20.0, None, 0.5, None)],
        checks=[Check(40.0, 900.0, "score 0.00 (drift 0.90)")],
        taken_h={"1.0.0": 0.0, "2.0.0": 40.0},
        outcomes={"2.0.0": "adopted: it is better"},
    )

"""A shadow gets runs of consecutive steps, never a single one out of the middle."""

from __future__ import annotations

from device_client.serving.trial.stream_sampler import BLOCK_STEPS, SILENT_S, Place, StreamSampler, StreamStep


def offered(
    sampler: StreamSampler, stream: int, numbers: range, *, at_s: float = 0.0, full: bool = False
) -> list[Place | None]:
    """The places of consecutive steps; `full`: none can be taken."""
    places = []
    for number in numbers:
        step = StreamStep(stream, number)
        place = sampler.place(step, at_s)
        places.append(place)
        if place and not full:
            sampler.took(step, at_s)
        else:
            sampler.missed(step)
    return places


def test_a_stream_is_followed_from_its_first_step() -> None:
    places = offered(StreamSampler(lambda _: True), 1, range(2 * BLOCK_STEPS))
    assert places == [Place.FIRST] + [Place.WITHIN] * (2 * BLOCK_STEPS - 1)


def test_after_a_gap_a_run_begins_at_the_next_block() -> None:
    sampler = StreamSampler(lambda _: True)
    offered(sampler, 1, range(5))
    offered(sampler, 1, range(5, 6), full=True)
    places = offered(sampler, 1, range(6, BLOCK_STEPS + 2))
    assert places == [None] * (BLOCK_STEPS - 6) + [Place.LATER, Place.WITHIN]


def test_a_share_is_counted_in_blocks() -> None:
    places = offered(StreamSampler(lambda block: block % 2 == 0), 0, range(4 * BLOCK_STEPS))
    sampled = [place is not None for place in places]
    assert sampled == ([True] * BLOCK_STEPS + [False] * BLOCK_STEPS) * 2
    assert places[2 * BLOCK_STEPS] is Place.LATER


def test_one_stream_is_followed_at_a_time_until_it_is_silent() -> None:
    sampler = StreamSampler(lambda _: True)
    assert offered(sampler, 1, range(1)) == [Place.FIRST]
    assert offered(sampler, 2, range(2)) == [None, None]
    assert offered(sampler, 1, range(1, 2)) == [Place.WITHIN]
    assert offered(sampler, 3, range(2), at_s=SILENT_S) == [Place.FIRST, Place.WITHIN]
    assert offered(sampler, 1, range(2, 3), at_s=SILENT_S) == [None]

"""Statistics of a training set, with which devices compare their inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from protocol.feedback.input_profile import LEVEL_BINS, UNIT, Profile, segments_of
from protocol.messages.contract import FREE
from protocol.messages.manifest import InputStatistics
from publisher.learning.data.dataset import Array, Floats

SAMPLES_MAX: Final = 10_000  # every n-th of more: the figures have four digits


def statistics_of_data(x: Array, shape: Sequence[int]) -> InputStatistics | None:
    """Of the first input, if it has numbers and `shape` fixes how many."""
    return input_statistics(x) if x.dtype.kind in "fiub" and FREE not in shape else None


def input_statistics(x: Array) -> InputStatistics:
    """The statistics of `x` (samples, …), rounded as on the wire."""
    rows = x[:: -(-len(x) // SAMPLES_MAX)].astype(np.float32, copy=False)
    flat = np.ascontiguousarray(rows).reshape(len(rows), -1)
    starts, lengths = segments_of(flat.shape[1])
    segments = np.add.reduceat(flat, starts, axis=1, dtype=np.float64) / lengths
    levels = flat.mean(axis=1, dtype=np.float64)
    plain = InputStatistics(
        samples=len(rows),
        mean=levels.mean(),
        std=levels.std(),
        segment_means=tuple(segments.mean(axis=0).tolist()),
        segment_stds=tuple(segments.std(axis=0).tolist()),
    )
    return _with_distances(_rounded(plain), flat)


def _with_distances(statistics: InputStatistics, flat: Floats) -> InputStatistics:
    """Add the levels and distances that a device would compute for these samples."""
    profile = Profile(flat.shape[1], statistics)
    looks = [profile.measure(row) for row in flat]
    distances = np.array([look.distance for look in looks]) / UNIT
    bins = np.bincount([look.bin for look in looks], minlength=LEVEL_BINS)
    figures = {
        "levels": tuple(bins.tolist()),
        "distance_mean": float(distances.mean()),
        "distance_std": float(distances.std()),
    }
    return _rounded(statistics.model_copy(update=figures))


def _rounded(statistics: InputStatistics) -> InputStatistics:
    return InputStatistics.model_validate_json(statistics.model_dump_json())

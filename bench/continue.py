"""What `--from` saves: the delta of a second version, continued and from scratch.

Usage: scripts/bench continue [--recipe digits] [--rungs float32,int8,...]

Version 1.0.0 learns from two thirds of the recipe's training data. Version 1.1.0 has
all of it, and is built with --from 1.0.0 and without. The delta is zstd's, level 19,
with the file of 1.0.0 as its dictionary (`zstd --patch-from`); "whole" is zstd without.
EdgeFerry sends no deltas yet.
"""

# ruff: noqa: T201 - a benchmark is there to print
from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from typing import Final

import zstandard

from publisher.learning.artifacts.build import BuiltVariant, BuiltVersion, build_from_recipe
from publisher.learning.data.dataset import Data
from publisher.learning.recipe.recipe import Recipe, load_recipe
from publisher.learning.training.warm_start import WarmStart, read_calibration

RUNGS: Final = (
    "float32", "int8", "qat", "pruned-80-int8", "pruned-80-qat", "clustered-int8", "clustered-qat",
    "pruned-clustered-qat", "distilled-int8",
)  # fmt: skip
FIRST: Final = 2 / 3  # of the training data, for 1.0.0
LEVEL: Final = 19
WINDOW_LOG: Final = 27  # 128 MiB: the whole file before can be referred to


def main() -> None:
    """Build three versions, and print how they differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recipe", default="digits")
    parser.add_argument("--rungs", default=",".join(RUNGS))
    arguments = parser.parse_args()
    recipe, rungs = load_recipe(arguments.recipe), arguments.rungs.split(",")
    first = build("1.0.0", with_less_data(recipe), rungs)
    continued = build("1.1.0 --from 1.0.0", recipe, rungs, start_of(first))
    afresh = build("1.1.0 from scratch", recipe, rungs)
    print(f"{arguments.recipe}: bytes of 1.1.0 for a device that has 1.0.0, and accuracies\n")
    print(f"{'':21}{'whole':>9}{'afresh':>9}{'--from':>9}{'saved':>7}{'1.0.0':>8}{'afresh':>8}{'--from':>8}")
    for variants in zip(first.variants, afresh.variants, continued.variants, strict=True):
        print(line(*variants))


def line(before: BuiltVariant, afresh: BuiltVariant, continued: BuiltVariant) -> str:
    """The row of a rung."""
    whole, far, near = packed(continued), packed(afresh, before), packed(continued, before)
    accuracies = "".join(f"{variant.measured.accuracy or 0:8.3f}" for variant in (before, afresh, continued))
    return f"{before.name:21}{whole:>9,}{far:>9,}{near:>9,}{1 - near / min(far, whole):>7.0%}{accuracies}"


def packed(variant: BuiltVariant, base: BuiltVariant | None = None) -> int:
    """Bytes of a file in zstd, with `base` as its dictionary."""
    held = zstandard.ZstdCompressionDict(base.tflite, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None
    settings = zstandard.ZstdCompressionParameters.from_level(LEVEL, window_log=WINDOW_LOG, enable_ldm=True)
    return len(zstandard.ZstdCompressor(dict_data=held, compression_params=settings).compress(variant.tflite))


def build(what: str, recipe: Recipe, rungs: Sequence[str], start: WarmStart | None = None) -> BuiltVersion:
    """Build a version, and print progress."""
    return build_from_recipe(
        recipe,
        variants=rungs,
        start=start,
        on_progress=lambda done, total, _what: print(f"\r{what}: {done}/{total} ", end="", file=sys.stderr),
    )


def with_less_data(recipe: Recipe) -> Recipe:
    """The recipe with less data."""
    data = recipe.data
    count = int(len(data.x_train) * FIRST)
    return dataclasses.replace(recipe, data=Data(data.x_train[:count], data.y_train[:count], data.x_test, data.y_test))


def start_of(version: BuiltVersion) -> WarmStart:
    """What a registry keeps of a version."""
    weights, calibration, *networks = version.kept
    stages = version.lineage.get("networks_sha256", {})
    return WarmStart("1.0.0", weights, read_calibration(calibration), dict(zip(stages, networks, strict=True)))


if __name__ == "__main__":
    main()

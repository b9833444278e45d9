"""The bits of every kind of step, as x86_64 with and without AVX and aarch64 gave them.

Seen on 27 November 2026: x86_64 with numpy 1.26.4 and 2.2.6, with its SIMD features and
without; aarch64 (qemu, Debian's Python 3.11, numpy's own aarch64 wheel), before and
after tflite-runtime is imported, which there flushes subnormal numbers to zero.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Final

from tests.preprocessing_bits import CASES, hashes
from tests.test_architecture import ROOT

BITS: Final = {
    "nearest": "d743cafd35a66ae6",
    "bilinear": "218812b6c252fa50",
    "antialias": "471113877de5c672",
    "larger": "a48128b59933f30d",
    "grey": "a6ab20f6724c7abb",
    "normalized": "4c789dc0bd46818f",
    "int8": "2e123908e8c1feb5",
    "third": "e288b780fb0ce36b",
    "float16": "346175d2b9681a8d",
    "waveform": "17bc7543409cd416",
    "hann": "f730860613106397",
    "hamming": "6ca93420942b36e5",
    "subnormal": "ca2ba0b8a09bd7b8",
    "mel": "c23c9485714bca41",
    "magnitude": "d95f30f96243fe70",
    "mel int8": "f13bf78144a42138",
}
SIMD: Final = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX2 FMA3 AVX F16C"


def test_every_machine_computes_the_same_bits() -> None:
    assert hashes() == BITS


def test_so_does_a_processor_without_its_vector_instructions() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.preprocessing_bits"],
        cwd=ROOT,
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": SIMD},
        capture_output=True,
        timeout=120,
        check=True,
    )
    computed = json.loads(run.stdout)
    assert {name: computed[name] for name in CASES} == BITS

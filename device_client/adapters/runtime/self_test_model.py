"""The .tflite file that the runtime's self-test runs: it doubles two numbers."""

from __future__ import annotations

import base64
import zlib
from typing import Final

_PACKED: Final = (  # made with TensorFlow 2.21 from `lambda x: x + x` on `TensorSpec([1, 2], float32)`
    "eNplUj1PwlAUvYUqBBrE0BgHBgZH0wB+DMaFICYkfBgkTialSatpAsWUQhj8CU7G0ZHBgd/gb3BwdPQ3OFrPe71FEh454b1z7zn33ftaJKL+Ze"
    "tIpxIVaZ90ypMGLk0q9gSO6An4Bl4UogXwmSBK4owtssXKSJXQZHDSWHcO7AATx5+53r1pO3fWdBhInQq8hmEY79PAeBo8TAOzTOwt+BxyVD7P"
    "AZSmY459cUygANS7nZtG77rZ7ZjtRr92UevX4BvdS/gn13JHrmf6Uy9wR445c/yJO/ZoC/wSWIi7AY+c/8x1Bqt+xX1zK1/BHUh2W3LbrCM5i3"
    "imqpzLaSORKv40i0nuRZUqoqpRrRjlTQ/hXTFOohCvxW8YvgFLQMy33Wr2SvWxhz4CxzbkrHSZmVtVF5455sXb3HI/NtcZWa4Xzz3W6rK+RlnW"
    "cu9ZjfeH/H4K9xIvZQ3EsQHXeYdGhPLsIWIl8bbgd/F/ZfmBG+A1HLtuDYdnZc75r7EneyLuKlopsFHp2Fdh3w/4Fja/QXMO53Vfhb9BVf6I/g"
    "AASGba"
)


def self_test_model() -> bytes:
    return zlib.decompress(base64.b64decode(_PACKED))

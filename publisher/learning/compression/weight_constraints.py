"""What a compressed network must not lose while it is trained on: its zeros, its few values a layer, its ranges.

After each step what was zero is zero again, weights that were equal get the mean of what they became, and no weight is
larger than the largest of its channel was, which itself stays: so the scale of integers stays, and most integers with
it. Which weights belong together never changes. The next version then differs in few bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from publisher.learning.data.dataset import Floats
from publisher.learning.tensorflow_import import load_tf_keras

Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class WeightConstraints:
    """Of one `kernel`, as it was: where it is `fixed`, how large each weight may become, and which weights are one.

    All have the kernel's shape, but `groups` (size,), which number its values; None where each is free.
    """

    kernel: Floats
    fixed: npt.NDArray[np.bool_]
    limits: Floats
    groups: Groups | None

    def restored(self, kernel: Floats) -> Floats:
        """What became of the kernel, in this pattern."""
        if self.groups is not None:
            sums = np.bincount(self.groups, weights=kernel.ravel())  # in 64 bits, so that the mean of equals is theirs
            means = (sums / np.bincount(self.groups)).astype(np.float32)
            kernel = means[self.groups].reshape(kernel.shape)
        return np.where(self.fixed, self.kernel, np.clip(kernel, -self.limits, self.limits))


def pattern_of(kernel: Floats, *, zeros: bool, clusters: bool, ranges: bool) -> WeightConstraints:
    """What is to be kept of a kernel as it is now.

    Training for integers gives a kernel of two dimensions one scale, and one to each channel (the last dimension) where
    there are more; converting gives one to each channel always, and clusters are converted in both ways.
    """
    sizes = np.abs(kernel)
    most = sizes.max(axis=tuple(range(kernel.ndim - 1)) if clusters or kernel.ndim > 2 else None, keepdims=True)
    fixed = (ranges & (sizes == most)) | (zeros & (kernel == 0))
    limits = np.broadcast_to(most if ranges else np.float32(np.inf), kernel.shape)
    if not clusters:
        return WeightConstraints(kernel, fixed, limits, None)
    groups = np.unique(kernel, return_inverse=True)[1].reshape(-1).astype(np.int64)
    fixed = np.bincount(groups, weights=fixed.ravel())[groups].reshape(kernel.shape) > 0  # all of a value, or none
    least = np.full(int(groups.max()) + 1, np.inf, np.float32)
    np.minimum.at(least, groups, limits.ravel())
    return WeightConstraints(kernel, fixed, least[groups].reshape(kernel.shape), groups)


def keeping(layers: Iterable[Any], *, zeros: bool = False, clusters: bool = False, ranges: bool = False) -> Any:
    """A tf_keras callback that keeps this much, if anything, of the kernels of these layers, or networks."""
    patterns = [
        (weight, pattern_of(weight.numpy(), zeros=zeros, clusters=clusters, ranges=ranges))
        for layer in layers
        for weight in layer.trainable_weights
        if len(weight.shape) > 1 and (zeros or clusters or ranges)
    ]

    def restore(batch: int, logs: Any) -> None:  # noqa: ARG001 - Keras calls them by name
        for weight, pattern in patterns:
            weight.assign(pattern.restored(weight.numpy()))

    return load_tf_keras().callbacks.LambdaCallback(on_batch_end=restore)

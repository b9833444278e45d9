"""Keeps zeros, shared values and ranges of a compressed network in further training.

After each batch, zeros are zero again, equal weights get the mean of their new values,
and the largest weight of each channel is fixed and exceeded by none. So the scale of
integers is kept, and the next version differs in few bytes.
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
    """`fixed` and `limits` have the kernel's shape; `groups` numbers equal weights."""

    kernel: Floats
    fixed: npt.NDArray[np.bool_]
    limits: Floats
    groups: Groups | None  # (size,); None where every weight may change alone

    def apply(self, kernel: Floats) -> Floats:
        """The nearest kernel that satisfies the constraints."""
        if self.groups is not None:
            sums = np.bincount(self.groups, weights=kernel.ravel())  # in 64 bits: the mean of equals is exact
            means = (sums / np.bincount(self.groups)).astype(np.float32)
            kernel = means[self.groups].reshape(kernel.shape)
        return np.where(self.fixed, self.kernel, np.clip(kernel, -self.limits, self.limits))


def constraints_of(kernel: Floats, *, zeros: bool, clusters: bool, ranges: bool) -> WeightConstraints:
    """The constraints that keep these properties of `kernel`.

    Quantization-aware training gives a two-dimensional kernel one scale, and others one
    for each channel (the last dimension). The converter always uses one per channel,
    and clustered kernels are converted in both ways.
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


def constraint_callback(
    layers: Iterable[Any], *, zeros: bool = False, clusters: bool = False, ranges: bool = False
) -> Any:
    """A tf_keras callback that keeps these properties of all kernels of `layers`."""
    constrained = [
        (weight, constraints_of(weight.numpy(), zeros=zeros, clusters=clusters, ranges=ranges))
        for layer in layers
        for weight in layer.trainable_weights
        if len(weight.shape) > 1 and (zeros or clusters or ranges)
    ]

    def restore(batch: int, logs: Any) -> None:  # noqa: ARG001 - Keras passes both by name
        for weight, constraints in constrained:
            weight.assign(constraints.apply(weight.numpy()))

    return load_tf_keras().callbacks.LambdaCallback(on_batch_end=restore)

"""Weight clustering: each layer makes do with a few values, which pack well. Needs TensorFlow."""

from __future__ import annotations

import importlib
from typing import Any, Final

import numpy as np

from publisher.learning.quiet_tensorflow import quiet
from publisher.learning.tensorflow_import import load_tf_keras, load_tfmot
from publisher.learning.training.fine_tune import Lesson, copied, tune

# the public door to it has no way to keep zeros
KEEPING_ZEROS: Final = "tensorflow_model_optimization.python.core.clustering.keras.experimental.cluster"


def clustered(network: Any, clusters: int, lesson: Lesson, *, keep_zeros: bool) -> Any:
    """A copy whose kernels hold at most `clusters` values each; with `keep_zeros` zero is one, and zeros stay."""
    tf_keras, tfmot = load_tf_keras(), load_tfmot()
    cluster_weights = importlib.import_module(KEEPING_ZEROS).cluster_weights
    start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    lesson.begin()
    with quiet():
        copy = copied(network)
        few = [layer for layer in copy.layers if layer.trainable and 0 < _values(layer) <= clusters]
        for layer in few:  # k-means asks for more; and training would give such a layer other values, and no zeros
            layer.trainable = False
        wrapped = tf_keras.models.clone_model(
            copy,
            clone_function=lambda layer: (
                cluster_weights(layer, clusters, start, preserve_sparsity=keep_zeros)
                if _values(layer) > clusters
                else layer
            ),
        )
    tune(wrapped, lesson)
    with quiet():
        stripped = tfmot.clustering.keras.strip_clustering(wrapped)
        plain = copied(network)  # what is stripped has forgotten what its weights are called
        plain.set_weights(stripped.get_weights())
    return plain


def _values(layer: Any) -> int:
    """How many different values the kernel with the fewest has; none of a layer without kernels."""
    return min((len(np.unique(weight)) for weight in layer.get_weights() if weight.ndim > 1), default=0)

"""Weight clustering: few distinct values in each layer. Needs TensorFlow."""

from __future__ import annotations

import importlib
from typing import Any, Final

import numpy as np

from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tf_keras, load_tfmot
from publisher.learning.training.fine_tune import TrainingJob, copy_network, fine_tune

# its public counterpart has no option to keep zeros
KEEPING_ZEROS: Final = "tensorflow_model_optimization.python.core.clustering.keras.experimental.cluster"


def cluster(network: Any, clusters: int, job: TrainingJob, *, keep_zeros: bool) -> Any:
    """A copy with at most `clusters` values a kernel; `keep_zeros`: zeros stay."""
    tf_keras, tfmot = load_tf_keras(), load_tfmot()
    cluster_weights = importlib.import_module(KEEPING_ZEROS).cluster_weights
    initialization = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    job.reset_keras()
    with silence_tensorflow():
        copy = copy_network(network)
        few = [layer for layer in copy.layers if layer.trainable and 0 < _distinct_values(layer) <= clusters]
        for layer in few:  # k-means needs more values; and training would give such a layer others, and no zeros
            layer.trainable = False
        wrapped = tf_keras.models.clone_model(
            copy,
            clone_function=lambda layer: (
                cluster_weights(layer, clusters, initialization, preserve_sparsity=keep_zeros)
                if _distinct_values(layer) > clusters
                else layer
            ),
        )
    fine_tune(wrapped, job)
    with silence_tensorflow():
        stripped = tfmot.clustering.keras.strip_clustering(wrapped)
        plain = copy_network(network)  # stripping loses the names of weights
        plain.set_weights(stripped.get_weights())
    return plain


def _distinct_values(layer: Any) -> int:
    """The fewest distinct values in a kernel of the layer; 0 without kernels."""
    return min((len(np.unique(weight)) for weight in layer.get_weights() if weight.ndim > 1), default=0)

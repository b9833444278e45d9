"""Weight clustering: each layer makes do with a few values, which pack well. Needs TensorFlow."""

from __future__ import annotations

import importlib
from typing import Any, Final

from publisher.learning.frameworks import load_tfmot
from publisher.learning.quiet import quiet
from publisher.learning.tune import Lesson, copied, tune

# the public door to it has no way to keep zeros
KEEPING_ZEROS: Final = "tensorflow_model_optimization.python.core.clustering.keras.experimental.cluster"


def clustered(network: Any, clusters: int, lesson: Lesson, *, keep_zeros: bool) -> Any:
    """A copy whose kernels hold at most `clusters` values each; with `keep_zeros` zero is one, and zeros stay."""
    tfmot = load_tfmot()
    lesson.begin()
    with quiet():
        wrapped = importlib.import_module(KEEPING_ZEROS).cluster_weights(
            copied(network),
            number_of_clusters=clusters,
            cluster_centroids_init=tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS,
            preserve_sparsity=keep_zeros,
        )
    tune(wrapped, lesson)
    with quiet():
        return tfmot.clustering.keras.strip_clustering(wrapped)

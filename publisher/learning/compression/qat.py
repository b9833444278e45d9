"""Quantization-aware training: the network learns with the rounding that integers will bring. Needs TensorFlow."""

from __future__ import annotations

from typing import Any, Final

from publisher.learning.compression.weight_constraints import keeping
from publisher.learning.quiet_tensorflow import quiet
from publisher.learning.tensorflow_import import load_tfmot
from publisher.learning.training.fine_tune import Lesson, copied, tune

CENTROIDS: Final = "cluster_centroids_tf"  # the variable of a layer whose clusters, and zeros, the toolkit keeps


def made_aware(network: Any, lesson: Lesson, *, keep_zeros: bool, keep_clusters: bool) -> Any:
    """A copy that knows its integer ranges, ready to be converted; zeros and clusters stay where that is asked."""
    tfmot = load_tfmot()
    lesson.begin()
    aware = dressed(copied(network), keep_zeros=keep_zeros, keep_clusters=keep_clusters)
    # the toolkit forgets some layers, such as a convolution of several channels before a ReLU layer
    forgotten = [layer for layer in aware.layers if not any(CENTROIDS in weight.name for weight in layer.weights)]
    tune(aware, lesson, callbacks=[keeping(forgotten, zeros=keep_zeros, clusters=keep_clusters)])
    if not keep_clusters:
        return aware
    with quiet():
        return tfmot.experimental.combine.strip_clustering_cqat(aware)


def dressed(network: Any, *, keep_zeros: bool = False, keep_clusters: bool = False) -> Any:
    """The same network with the rounding of integers built in; it knows no ranges yet."""
    tfmot = load_tfmot()
    with quiet():
        annotated = tfmot.quantization.keras.quantize_annotate_model(network)
        scheme = _scheme(tfmot, keep_zeros=keep_zeros, keep_clusters=keep_clusters)
        return tfmot.quantization.keras.quantize_apply(annotated, scheme)


def _scheme(tfmot: Any, *, keep_zeros: bool, keep_clusters: bool) -> Any:
    if keep_clusters:
        return tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=keep_zeros)
    if keep_zeros:
        return tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    return tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme()

"""Quantization-aware training: learning with rounded weights. Needs TensorFlow."""

from __future__ import annotations

from typing import Any, Final

from publisher.learning.compression.weight_constraints import constraint_callback
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tfmot
from publisher.learning.training.fine_tune import TrainingJob, copy_network, fine_tune

CENTROIDS: Final = "cluster_centroids_tf"  # the variable of a layer whose clusters and zeros tfmot keeps


def train_quantization_aware(network: Any, job: TrainingJob, *, keep_zeros: bool, keep_clusters: bool) -> Any:
    """A copy with trained integer ranges; optionally keeps zeros and clusters."""
    tfmot = load_tfmot()
    job.reset_keras()
    aware = make_quantization_aware(copy_network(network), keep_zeros=keep_zeros, keep_clusters=keep_clusters)
    # tfmot misses some layers, such as a multi-channel convolution before a ReLU layer
    missed = [layer for layer in aware.layers if not any(CENTROIDS in weight.name for weight in layer.weights)]
    fine_tune(aware, job, callbacks=[constraint_callback(missed, zeros=keep_zeros, clusters=keep_clusters)])
    if not keep_clusters:
        return aware
    with silence_tensorflow():
        return tfmot.experimental.combine.strip_clustering_cqat(aware)


def make_quantization_aware(network: Any, *, keep_zeros: bool = False, keep_clusters: bool = False) -> Any:
    """The same network with the rounding of integers, but untrained ranges."""
    tfmot = load_tfmot()
    with silence_tensorflow():
        annotated = tfmot.quantization.keras.quantize_annotate_model(network)
        scheme = _scheme(tfmot, keep_zeros=keep_zeros, keep_clusters=keep_clusters)
        return tfmot.quantization.keras.quantize_apply(annotated, scheme)


def _scheme(tfmot: Any, *, keep_zeros: bool, keep_clusters: bool) -> Any:
    if keep_clusters:
        return tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=keep_zeros)
    if keep_zeros:
        return tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    return tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme()

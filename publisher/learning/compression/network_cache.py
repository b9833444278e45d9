"""Makes and caches networks; several rungs are converted from one. Needs TensorFlow.

The weights of each are kept in a record, from which it comes back if it is needed after
it was dropped, or after the ladder was interrupted.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from protocol.errors import BadRecipe, BlobDamaged
from publisher.learning.compression.cluster import cluster
from publisher.learning.compression.distill import Study, distill
from publisher.learning.compression.ladder_record import Record
from publisher.learning.compression.prune import prune
from publisher.learning.compression.qat import make_quantization_aware, train_quantization_aware
from publisher.learning.compression.training_work import epoch_s
from publisher.learning.compression.weight_constraints import constraint_callback
from publisher.learning.data.network_inputs import in_network_order
from publisher.learning.progress import Steps
from publisher.learning.recipe.network import build_student_network
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.tensorflow_import import load_tf_keras
from publisher.learning.training.fine_tune import OnEpoch, TrainingJob, copy_network, fine_tune
from publisher.learning.training.train import TrainingResult, accuracy_of, truths_to_learn
from publisher.learning.training.warm_start import WarmStart, check_fits, put_weights, weights_npz
from publisher.learning.variants.schedule import Schedule
from publisher.learning.variants.variant_spec import CLUSTERS, DISTILLED, STUDENT, TRAINED, NetworkSpec, variant_specs


@dataclass(frozen=True, slots=True)
class NetworkFailed:
    error: Exception


class NetworkCache:
    """Networks by spec. `steps` counts their epochs."""

    def __init__(self, trained: TrainingResult, schedule: Schedule, steps: Steps, record: Record) -> None:
        self._trained = trained
        self._record = record
        self._schedule = schedule
        self._settings = schedule.settings
        self._steps = steps
        self._cached: dict[NetworkSpec, Any] = {NetworkSpec(): trained.model}
        self._took_s: dict[NetworkSpec, float] = {}

    def network(self, spec: NetworkSpec, title: str) -> Any:
        """Cached or made now. Raises what its technique raises."""
        if spec not in self._cached:
            self._cached[spec] = self._make_or_fail(spec, title)
        cached = self._cached[spec]
        if isinstance(cached, NetworkFailed):
            raise cached.error
        return cached

    def took_s(self, spec: NetworkSpec) -> float:
        """How long it took to make, its bases included."""
        return sum(self._took_s.get(each, 0.0) for each in self._schedule.chain(spec))

    def epoch_s(self) -> float:
        """How long an epoch of the trained network takes here; measured now."""
        return epoch_s(self._trained.model, self._job(NetworkSpec(), 1, lambda: None))

    def keep_only(self, needed: Iterable[NetworkSpec]) -> None:
        """Drop all other networks, of which each holds up to hundreds of megabytes."""
        kept = {NetworkSpec(), *needed}
        for spec in [spec for spec, cached in self._cached.items() if spec not in kept]:
            if not isinstance(self._cached[spec], NetworkFailed):
                del self._cached[spec]
        load_tf_keras().backend.clear_session()
        gc.collect()  # networks and their functions refer to each other
        _give_memory_back()

    def study(self, seeds: int) -> Study | None:
        """Compare the student alone and distilled; None where there is no student."""
        by_origin: dict[str, list[float]] = {STUDENT: [], DISTILLED: []}
        for offset in range(seeds):
            for origin, accuracies in by_origin.items():
                with contextlib.suppress(Exception):  # its rung has reported the reason
                    accuracies.append(self._studied(NetworkSpec(origin, seed_offset=offset)))
        alone, taught = by_origin.values()
        if len(alone) < seeds or len(taught) < seeds:
            return None
        return Study(tuple(map(self._seed, range(seeds))), tuple(alone), tuple(taught))

    def _studied(self, spec: NetworkSpec) -> float:
        name = f"study-{spec.name}-{spec.seed_offset}.json"
        if name not in self._record:
            network = self.network(spec, f"{spec.name}, seed {self._seed(spec.seed_offset)}")
            self._record[name] = json.dumps(accuracy_of(network, self._trained.recipe)).encode()
            self.keep_only(())
        else:
            self._steps.end(f"{spec.name} is made", 0 if spec.seed_offset == 0 else self._schedule.epochs(spec))
        return float(json.loads(self._record[name]))

    def _make_or_fail(self, spec: NetworkSpec, title: str) -> Any:
        epochs = self._schedule.epochs(spec)
        done = 0

        def on_epoch() -> None:
            nonlocal done
            done += 1
            self._steps.end(f"{title}: epoch {done} of {epochs}")

        try:
            if (restored := self._restored(spec)) is not None:
                self._steps.end(f"{spec.name} is made", epochs)
                return restored
            base_spec = self._schedule.base(spec)
            base = None if base_spec is None else self.network(base_spec, title)
            self._steps.begin(f"{title}: epoch 1 of {epochs}")
            began_s = time.monotonic()
            network = self._make(spec, base, self._job(spec, epochs, on_epoch))
            self._took_s[spec] = time.monotonic() - began_s
            if spec.seed_offset == 0:
                self._record[weights_file(spec.name)] = weights_npz(network)
            return network
        except Exception as error:  # noqa: BLE001 - techniques raise anything; the rung reports it
            self._steps.end(f"{title} is not possible", epochs - done)
            return NetworkFailed(error)

    def _make(self, spec: NetworkSpec, base: Any, job: TrainingJob) -> Any:
        keep_zeros = spec.sparsity_percent > 0
        if self._schedule.continues(spec):
            return self._continue(spec, job)
        if spec.qat:
            return train_quantization_aware(base, job, keep_zeros=keep_zeros, keep_clusters=spec.clustered)
        if spec.clustered:
            return cluster(base, CLUSTERS, job, keep_zeros=keep_zeros)
        if keep_zeros:
            return prune(base, spec.sparsity_percent / 100, job)
        return self._student(job, taught=spec.origin == DISTILLED)

    def _continue(self, spec: NetworkSpec, job: TrainingJob) -> Any:
        """Train the earlier version's network; keep its zeros, clusters and ranges."""
        start = self._trained.start
        assert start is not None  # else nothing continues
        job.reset_keras()
        network = self._untrained(spec)
        put_weights(network, start, self._source(spec), spec.name)
        if spec == NetworkSpec(DISTILLED):
            self._distill(network, job)
            return network
        zeros, ranges = spec.sparsity_percent > 0, spec.clustered or spec.qat
        keep = constraint_callback([network], zeros=zeros, clusters=spec.clustered, ranges=ranges)
        fine_tune(network, job, callbacks=[keep])
        return network

    def _restored(self, spec: NetworkSpec) -> Any:
        """The network from the record; None where it is not there, or damaged."""
        content = self._record.get(weights_file(spec.name)) if spec.seed_offset == 0 else None
        if content is None:
            return None
        load_tf_keras().backend.clear_session()
        network = self._untrained(spec)
        try:
            put_weights(network, WarmStart("this ladder", b"", networks={spec.name: content}), "", spec.name)
        except (BadRecipe, BlobDamaged):
            return None
        return network

    def _untrained(self, spec: NetworkSpec) -> Any:
        if spec.origin == TRAINED:
            bare = copy_network(self._trained.model)
        else:
            bare = build_student_network(self._trained.recipe, seed=self._seed(spec.seed_offset))
        return make_quantization_aware(bare) if spec.qat else bare

    def _source(self, spec: NetworkSpec) -> str:
        recipe = self._trained.recipe
        return f"build_model() in {recipe.path.name}" if spec.origin == TRAINED else _student_of(recipe)

    def _student(self, job: TrainingJob, *, taught: bool) -> Any:
        student = build_student_network(self._trained.recipe, seed=job.seed)
        if taught:
            self._distill(student, job)
        else:
            fine_tune(student, job)
        return student

    def _distill(self, student: Any, job: TrainingJob) -> None:
        recipe, settings = self._trained.recipe, self._settings
        loss = recipe.objective.distillation_loss(settings.temperature, settings.distill_weight)
        distill(student, self._trained.model, job, loss, recipe.objective.targets(job.y, recipe.data))

    def _job(self, spec: NetworkSpec, epochs: int, on_epoch: OnEpoch) -> TrainingJob:
        recipe = self._trained.recipe
        return TrainingJob(
            x=in_network_order(recipe.data.train, recipe.data.names, self._trained.model),
            y=truths_to_learn(recipe, self._trained.settings),
            loss=recipe.objective.loss,
            epochs=epochs,
            batch_size=self._settings.batch_size,
            learning_rate=self._schedule.learning_rate(spec),
            seed=self._seed(spec.seed_offset),
            on_epoch=on_epoch,
        )

    def _seed(self, offset: int) -> int:
        return (self._settings.seed + offset) % 2**32


def _give_memory_back() -> None:
    """Ask the C library, which keeps about 100 MB of what each network has freed."""
    with contextlib.suppress(AttributeError):  # other C libraries than GNU's do so by themselves
        ctypes.CDLL(None).malloc_trim(0)


def weights_file(name: str) -> str:
    """Where a record has the weights of a network."""
    return f"network-{name}.npz"


def check_students(recipe: Recipe, start: WarmStart, names: Iterable[str]) -> None:
    """Check that these rungs can continue the student. Clears the session."""
    networks = {spec.network.name: spec.network for spec in variant_specs(names)}
    kept = [name for name, network in networks.items() if network.origin != TRAINED and name in start.networks]
    if kept and recipe.build_student is not None:
        check_fits(build_student_network(recipe, seed=recipe.settings.seed), start, _student_of(recipe), kept)


def _student_of(recipe: Recipe) -> str:
    return f"build_student() in {recipe.path.name}"

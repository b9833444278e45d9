"""Looks up a model or one of its versions in the registry. Needs no broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol.messages.manifest import Manifest
from protocol.messages.plan import Plan
from publisher.core.release.reproducibility import TrainingRecord
from publisher.operations.announce.plan_announcement import current_plan
from publisher.operations.context import PublisherContext
from publisher.operations.release.stored_files import read_labels_of


@dataclass(frozen=True, slots=True)
class VersionShown:
    """One version, how it was made, and which audiences the plan gives it to."""

    manifest: Manifest
    labels: tuple[str, ...]
    lineage: dict[str, Any]
    audience: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelShown:
    """All versions and trainings of a model, newest last, and its plan.

    `plan` is None if the model was trained but never released. `released_as` maps the
    number of a training to the version that has its weights.
    """

    model: str
    versions: tuple[Manifest, ...]
    labels: tuple[tuple[str, ...], ...]
    plan: Plan | None
    trainings: tuple[TrainingRecord, ...] = ()
    released_as: Mapping[int, str] = field(default_factory=dict)


def show_version(context: PublisherContext, model: str, version: str) -> VersionShown:
    versions, plan = context.registry.versions, context.registry.announcements.plan(model)
    manifest = versions.manifest(model, version)
    rules = [rule for rule in plan.rules if rule.version == version] if plan else []
    labels, lineage = read_labels_of(context.registry, manifest), versions.lineage(model, version)
    return VersionShown(manifest, labels, lineage, tuple(rule.describe() for rule in rules))


def show_model(context: PublisherContext, model: str) -> ModelShown:
    registry, versions = context.registry, context.registry.versions
    trainings = tuple(registry.trainings.of_model(model))
    plan = registry.announcements.plan(model) if trainings else current_plan(context, model)
    names = versions.of_model(model)
    manifests = tuple(versions.manifest(model, version) for version in names)
    return ModelShown(
        model,
        manifests,
        tuple(read_labels_of(registry, manifest) for manifest in manifests),
        plan,
        trainings,
        _released_as(trainings, {version: versions.lineage(model, version) for version in names}),
    )


def _released_as(trainings: tuple[TrainingRecord, ...], lineages: Mapping[str, Mapping[str, Any]]) -> dict[int, str]:
    """Match trainings and versions by the hash of their weights."""
    weights = {lineages[version].get("weights_sha256"): version for version in reversed(list(lineages))}
    found = {record.number: weights.get(record.lineage.get("weights_sha256", "")) for record in trainings}
    return {number: version for number, version in found.items() if version is not None}

"""Looks a model or one of its versions up in the registry. Changes nothing, needs no broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol.messages.manifest import Manifest
from protocol.messages.plan import Plan
from publisher.core.release.reproducibility import TrainingRecord
from publisher.operations.announce.plan_announcement import standing
from publisher.operations.context import PublisherContext


@dataclass(frozen=True, slots=True)
class VersionShown:
    """One version, where it came from, and whom the plan gives it to."""

    manifest: Manifest
    lineage: dict[str, Any]
    audience: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelShown:
    """All versions of a model and its plan; no plan where it was trained but never released. The newest stand last.

    `released_as` has the version that a training's network went out in, by the training's number.
    """

    model: str
    versions: tuple[Manifest, ...]
    plan: Plan | None
    trainings: tuple[TrainingRecord, ...] = ()
    released_as: Mapping[int, str] = field(default_factory=dict)


def show_version(office: PublisherContext, model: str, version: str) -> VersionShown:
    """One version. Raises UnknownVersion."""
    registry = office.registry
    manifest, plan = registry.manifest(model, version), registry.plan(model)
    rules = [rule for rule in plan.rules if rule.version == version] if plan else []
    return VersionShown(manifest, registry.lineage(model, version), tuple(rule.describe() for rule in rules))


def show_model(office: PublisherContext, model: str) -> ModelShown:
    """A model: what was released of it, and what was trained. Raises UnknownVersion."""
    registry = office.registry
    trainings = tuple(registry.trainings(model))
    plan = registry.plan(model) if trainings else standing(office, model)
    names = registry.versions(model)
    return ModelShown(
        model,
        tuple(registry.manifest(model, version) for version in names),
        plan,
        trainings,
        _released_as(trainings, {version: registry.lineage(model, version) for version in names}),
    )


def _released_as(trainings: tuple[TrainingRecord, ...], lineages: Mapping[str, Mapping[str, Any]]) -> dict[int, str]:
    """By the weights, which each training and each version of a recipe names by hash; the first version, if several."""
    weights = {lineages[version].get("weights_sha256"): version for version in reversed(list(lineages))}
    found = {record.number: weights.get(record.lineage.get("weights_sha256", "")) for record in trainings}
    return {number: version for number, version in found.items() if version is not None}

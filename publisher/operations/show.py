"""Looks a model or one of its versions up in the registry. Changes nothing, needs no broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocol.manifest import Manifest
from protocol.plan import Plan
from publisher.operations.office import Office
from publisher.operations.spread import standing


@dataclass(frozen=True, slots=True)
class VersionShown:
    """One version, where it came from, and whom the plan gives it to."""

    manifest: Manifest
    lineage: dict[str, Any]
    audience: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelShown:
    """All versions of a model, the newest last, and its plan."""

    model: str
    versions: tuple[Manifest, ...]
    plan: Plan


def show_version(office: Office, model: str, version: str) -> VersionShown:
    """One version. Raises UnknownVersion."""
    registry = office.registry
    manifest, plan = registry.manifest(model, version), registry.plan(model)
    rules = [rule for rule in plan.rules if rule.version == version] if plan else []
    return VersionShown(manifest, registry.lineage(model, version), tuple(rule.describe() for rule in rules))


def show_model(office: Office, model: str) -> ModelShown:
    """A model. Raises UnknownVersion."""
    plan = standing(office, model)
    versions = tuple(office.registry.manifest(model, version) for version in office.registry.versions(model))
    return ModelShown(model, versions, plan)

"""Results as plain JSON for `--json`: one document, stable keys, units in names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from protocol.messages.manifest import Manifest
from protocol.messages.plan import Plan
from publisher.core.fleet.fleet_table import Row, summary
from publisher.core.release.reproducibility import TrainingRecord


def of_manifest(manifest: Manifest, labels: Sequence[str]) -> dict[str, Any]:
    """A version, without what only a device needs. `labels`: wherever they are."""
    variants = {
        variant.name: {
            "precision": variant.precision,
            "size_bytes": variant.size_bytes,
            "sha256": variant.sha256,
            **variant.measured.model_dump(exclude_none=True),
            "memory_bytes": variant.requires.memory_bytes,
            "encodings": {encoding.kind: encoding.tree.size_bytes for encoding in variant.encodings},
        }
        for variant in manifest.variants
    }
    return {
        "model": manifest.model,
        "version": manifest.version,
        "created": manifest.created.isoformat(),
        "notes": manifest.notes,
        "forced": manifest.forced,
        "labels": list(labels),
        "files": {
            file.name: {
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "encodings": {encoding.kind: encoding.tree.size_bytes for encoding in file.encodings},
            }
            for file in manifest.files
        },
        "contract": manifest.contract.model_dump(mode="json", exclude_none=True),
        "preprocessing": manifest.preprocessing.model_dump(mode="json") if manifest.preprocessing else None,
        "golden_samples": manifest.golden.samples,
        "golden_noise_samples": manifest.golden.noise_samples,
        "variants": variants,
    }


def of_plan(plan: Plan) -> dict[str, Any]:
    rules = [
        {"version": rule.version, "audience": rule.describe(), "attempt": rule.attempt, "devices": list(rule.devices)}
        for rule in plan.rules
    ]
    return {
        "model": plan.model,
        "sequence": plan.sequence,
        "hold": plan.hold,
        "urgency": plan.urgency,
        "spread_s": plan.spread_s,
        "rules": rules,
        "history": [stage.model_dump(mode="json", exclude_none=True) for stage in plan.history],
    }


def of_training(record: TrainingRecord, released_as: str | None) -> dict[str, Any]:
    """A training without its epochs; `released_as` is the version of its network."""
    lineage = {key: value for key, value in record.lineage.items() if key != "history"}
    return {
        "training": record.number,
        "at": record.at.isoformat(),
        "accuracy": record.accuracy,
        "released_as": released_as,
        "files": dict(record.files),
        "lineage": lineage,
    }


def of_fleet(rows: Iterable[Row]) -> dict[str, Any]:
    table = list(rows)
    devices = [asdict(row) | {"up_to_date": row.up_to_date} for row in table]
    return {"summary": asdict(summary(table)), "devices": devices}

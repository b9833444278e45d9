"""The history of trainings: lineage and file hashes of each, released or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from publisher.adapters.registry.database import RegistryDatabase
from publisher.core.release.reproducibility import TrainingRecord

KEPT: Final = 1_000  # of each model; a record is about 3 KB


@dataclass(frozen=True, slots=True)
class Trainings:
    _database: RegistryDatabase

    def add(self, model: str, lineage: Mapping[str, Any], files: Mapping[str, str], now: datetime) -> TrainingRecord:
        """Record a training, and drop all but the last 1,000 of its model."""
        with self._database.transaction() as rows:
            number = rows.execute(
                "INSERT INTO trainings (model, at, lineage, files) VALUES (?, ?, ?, ?)",
                (model, now.isoformat(), json.dumps(lineage), json.dumps(files)),
            ).lastrowid
            rows.execute(
                "DELETE FROM trainings WHERE model = ? AND number NOT IN"
                " (SELECT number FROM trainings WHERE model = ? ORDER BY number DESC LIMIT ?)",
                (model, model, KEPT),
            )
        assert number is not None  # sqlite gives every inserted row one
        return TrainingRecord(number, model, now, dict(lineage), dict(files))

    def of_model(self, model: str) -> list[TrainingRecord]:
        """The trainings of a model, newest last."""
        query = "SELECT number, at, lineage, files FROM trainings WHERE model = ? ORDER BY number"
        return [
            TrainingRecord(number, model, datetime.fromisoformat(at), json.loads(lineage), json.loads(files))
            for number, at, lineage, files in self._database.rows(query, (model,))
        ]

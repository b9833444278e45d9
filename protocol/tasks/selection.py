"""Which task a contract declares; without one, what devices assumed before tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocol.messages.contract import Contract
from protocol.tasks.classification import SoftmaxClassification, classification
from protocol.tasks.detection import detection
from protocol.tasks.embedding import Embedding
from protocol.tasks.keypoints import Keypoints
from protocol.tasks.regression import Regression
from protocol.tasks.scores import Scores
from protocol.tasks.segmentation import Segmentation
from protocol.tasks.task import Task

TASKS: Final[dict[str, Callable[[Contract], Task]]] = {
    "classification": classification,
    "detection": detection,
    "segmentation": Segmentation,
    "keypoints": Keypoints,
    "regression": Regression,
    "embedding": Embedding,
    "scores": Scores,
}


def task_of(contract: Contract) -> Task:
    """The declared task; a task of a newer version is read as plain scores."""
    if contract.task is None:
        first = contract.outputs[0].shape
        chooses = len(first) == 2 and first[0] == contract.batch and first[1] >= 2
        return SoftmaxClassification(contract) if chooses else Scores(contract)
    return TASKS.get(contract.task.name, Scores)(contract)

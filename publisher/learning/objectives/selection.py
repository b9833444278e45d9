"""The objective that a recipe's `task` names."""

from __future__ import annotations

import difflib
from typing import Final

from protocol.errors import BadRecipe
from publisher.learning.objectives.class_choice import ClassificationObjective, SegmentationObjective
from publisher.learning.objectives.objective import Objective
from publisher.learning.objectives.real_values import AutoencoderObjective, RegressionObjective
from publisher.learning.objectives.yes_or_no import BinaryObjective, MultiLabelObjective

CLASSIFICATION: Final = ClassificationObjective()  # of recipes that name no task
OBJECTIVES: Final[dict[str, Objective]] = {
    objective.name: objective
    for objective in (
        CLASSIFICATION,
        BinaryObjective(),
        MultiLabelObjective(),
        SegmentationObjective(),
        RegressionObjective(),
        AutoencoderObjective(),
    )
}


def objective_of(task: object, where: str) -> Objective:
    """The objective of this name. Raises BadRecipe."""
    if isinstance(task, str) and task in OBJECTIVES:
        return OBJECTIVES[task]
    near = difflib.get_close_matches(str(task), OBJECTIVES, n=1)
    raise BadRecipe(
        f"task in {where} is {task!r}, for which nothing is trained here",
        hint=f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(OBJECTIVES)}",
    )

"""The declared preprocessing of a recipe, carried out on its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from protocol.errors import BadInput, BadRecipe
from protocol.messages.contract import Contract
from protocol.messages.preprocessing import Preprocessing
from protocol.preprocessing.preprocessor import Preprocessor, outcome
from publisher.learning.data.raw_samples import checked
from publisher.learning.preprocessing.declaration import preprocessing_from

Array = npt.NDArray[Any]


class RecipePreprocessor:
    """`prepared` is called with the training half, then with the held-back one."""

    def __init__(self, preprocessor: Preprocessor, where: str) -> None:
        self._preprocessor, self._where = preprocessor, where
        self.declared: Preprocessing = preprocessor.declared
        self.held_back: list[Array] = []  # raw, of the last call

    def prepared(self, x: Any) -> Array:
        """Raw samples (samples, …) as the network takes them. Raises BadRecipe."""
        if not isinstance(x, np.ndarray):
            raise BadRecipe(
                f"{self._where} declares a preprocessing of one input, and load_data() returned a {type(x).__name__}",
                hint="prepare several inputs in load_data()",
            )
        try:
            self.held_back = checked(self._preprocessor, [x])
            (made,) = self._preprocessor.apply(self.held_back)
        except BadInput as wrong:
            raise BadRecipe(f"load_data() in {self._where}: {wrong.message}", hint=wrong.hint) from None
        return made


def declared_preprocessor(given: Any, path: Path) -> RecipePreprocessor:
    """From the value of `preprocessing` in a recipe. Raises BadRecipe."""
    where = f"preprocessing in {path.name}"
    try:
        declared = preprocessing_from(given, where)
        tensors = outcome(declared)
        preprocessor = Preprocessor(declared, Contract(inputs=tensors, outputs=tensors))
    except BadInput as wrong:
        message = wrong.message if wrong.message.startswith(where) else f"{where}: {wrong.message}"
        raise BadRecipe(message, hint=wrong.hint) from None
    if len(tensors) != 1 or tensors[0].dtype != "float32":
        given_text = f"{len(tensors)} inputs" if len(tensors) != 1 else tensors[0].dtype
        raise BadRecipe(
            f"{where} leads to {given_text}", hint="a network is trained on one input of float32: scale or cast it"
        )
    return RecipePreprocessor(preprocessor, path.name)

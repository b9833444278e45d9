"""Loads and checks a recipe: a Python file that defines data and network.

It has `load_data() -> (x_train, y_train, x_test, y_test)` and `build_model() ->
tf_keras.Model`; optionally `task`, `preprocessing`, `preprocess(x) -> x`,
`build_student() -> tf_keras.Model`, `labels` and `train_settings`. An application, too,
must apply `preprocess`; `preprocessing` is declared and travels with the model.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from protocol.errors import BadRecipe
from protocol.messages.preprocessing import Preprocessing
from publisher.learning.data.dataset import Array, Data
from publisher.learning.data.labels import validate_labels
from publisher.learning.objectives.objective import Objective
from publisher.learning.objectives.selection import CLASSIFICATION, objective_of
from publisher.learning.preprocessing.recipe_preprocessor import RecipePreprocessor, declared_preprocessor
from publisher.learning.recipe.recipe_data import validate_data
from publisher.learning.recipe.train_settings import TrainSettings, settings_from
from publisher.learning.recipe.user_code import run_file, run_user_code

BUILT_IN_FOLDER: Final = Path(__file__).parents[2] / "recipes"
NETWORK_SIGNATURE: Final = "() -> tf_keras.Model"


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """A loaded recipe. `labels` may be empty; `sha256` is the file's."""

    name: str
    path: Path
    sha256: str
    data: Data
    labels: tuple[str, ...]
    settings: TrainSettings
    build_model: Callable[[], Any]
    build_student: Callable[[], Any] | None = None
    objective: Objective = CLASSIFICATION
    preprocessing: Preprocessing | None = None
    raw_test: tuple[Array, ...] = ()  # the held-back inputs before it


def load_recipe(spec: str | Path) -> Recipe:
    """Load the recipe `spec`: a built-in name or a .py file. Raises BadRecipe."""
    path = find_recipe(spec)
    source = path.read_bytes()
    module = run_file(path, source)
    build_model = _function(module, path, "build_model", NETWORK_SIGNATURE)
    build_student = (
        _function(module, path, "build_student", NETWORK_SIGNATURE) if _has(module, "build_student") else None
    )
    labels = validate_labels(getattr(module, "labels", ()), f"labels in {path.name}")
    settings = settings_from(getattr(module, "train_settings", {}), path.name)
    objective = objective_of(module.task, path.name) if _has(module, "task") else CLASSIFICATION
    raw = declared_preprocessor(module.preprocessing, path) if _has(module, "preprocessing") else None
    data = _data(module, path, labels, objective, raw)
    return Recipe(
        name=path.stem,
        path=path,
        sha256=hashlib.sha256(source).hexdigest(),
        data=data,
        labels=labels or objective.labels(data),
        settings=settings,
        build_model=build_model,
        build_student=build_student,
        objective=objective,
        preprocessing=raw.declared if raw else None,
        raw_test=tuple(raw.held_back) if raw else (),
    )


def built_in_recipes() -> list[str]:
    return sorted(path.stem for path in BUILT_IN_FOLDER.glob("[!_]*.py"))


def find_recipe(spec: str | Path) -> Path:
    """The file of a recipe. Raises BadRecipe if there is none."""
    names = built_in_recipes()
    if str(spec) in names:
        return BUILT_IN_FOLDER / f"{spec}.py"
    path = Path(spec).expanduser().absolute()
    if path.suffix != ".py":
        near = difflib.get_close_matches(str(spec), names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"give a .py file, or one of: {', '.join(names)}"
        raise BadRecipe(f"there is no recipe {str(spec)!r}", hint=hint)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise BadRecipe(f"the recipe {spec} {what}", hint=f"give a .py file, or one of: {', '.join(names)}")
    return path


def _data(
    module: ModuleType, path: Path, labels: tuple[str, ...], objective: Objective, raw: RecipePreprocessor | None
) -> Data:
    load_data = _function(module, path, "load_data", f"() -> {objective.returned.partition('),')[0]})")
    with run_user_code(path, "load_data()"):
        returned = load_data()
    if raw is not None:
        if _has(module, "preprocess"):
            raise BadRecipe(
                f"{path.name} has both preprocess() and preprocessing",
                hint="declare every step in preprocessing, or do what it lacks in load_data()",
            )
        return validate_data(returned, objective, labels, f"load_data() in {path.name}", raw.prepared)
    if not _has(module, "preprocess"):
        return validate_data(returned, objective, labels, f"load_data() in {path.name}")
    preprocess = _function(module, path, "preprocess", "(x) -> x")

    def prepared(x: Any) -> Any:
        return _preprocess(preprocess, x, path)

    return validate_data(returned, objective, labels, f"load_data() in {path.name}", prepared)


def _preprocess(preprocess: Callable[..., object], x: Any, path: Path) -> Any:
    with run_user_code(path, "preprocess()"):
        processed = preprocess(x)
    if not isinstance(processed, np.ndarray) and (isinstance(x, np.ndarray) or type(processed) is not type(x)):
        raise BadRecipe(
            f"preprocess() in {path.name} gave a {type(processed).__name__}",
            hint="return a numpy array, one row a sample; or, if it was given several inputs, as many",
        )
    if isinstance(x, np.ndarray) and isinstance(processed, np.ndarray) and len(processed) != len(x):
        raise BadRecipe(
            f"preprocess() in {path.name} made {len(processed)} samples of {len(x)}",
            hint="keep every sample there; drop those that are no good in load_data()",
        )
    return processed


def _has(module: ModuleType, name: str) -> bool:
    """Whether the recipe defines an optional name; None counts as undefined."""
    return getattr(module, name, None) is not None


def _function(module: ModuleType, path: Path, name: str, signature: str) -> Callable[..., Any]:
    found: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(found):
        what = f"has no {name}()" if found is None else f"has {name}, which is not a function"
        raise BadRecipe(f"{path.name} {what}", hint=f"add: def {name}{signature}")
    return found

"""A bad recipe is rejected before training, with the function's name and a hint."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadRecipe
from publisher.learning.recipe.heldout import write_heldout_npz
from publisher.learning.recipe.recipe import built_in_recipes, load_recipe

WHOLE = """
import numpy as np

def load_data():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (40, 6)).astype("float32")
    y = np.arange(40) % 4
    return x[:30], y[:30], x[30:], y[30:]

def build_model():
    raise RuntimeError("loading a recipe builds no network")
"""


@dataclass(frozen=True)
class Break:
    """What is added below a whole recipe, and what must be said of it."""

    added: str
    said: str
    hint: str


def load_data_giving(changed: str) -> str:
    return f"""
whole = load_data
def load_data():
    x_train, y_train, x_test, y_test = whole()
    {changed}
    return x_train, y_train, x_test, y_test
"""


BREAKS = {
    "syntax": Break("def broken(:\n    pass", "is not Python: line 12: invalid syntax", "it reads: def broken(:"),
    "no load_data": Break("del load_data", "recipe.py has no load_data()", "add: def load_data() -> (x_train"),
    "no build_model": Break("del build_model", "recipe.py has no build_model()", "add: def build_model() -> tf_keras"),
    "not a function": Break("build_model = 3", "has build_model, which is not a function", "add: def build_model()"),
    "import": Break("import no_such_library", "line 12: ModuleNotFoundError", "install no_such_library"),
    "exits": Break(
        "raise SystemExit('enough')", "the file failed in recipe.py, line 12: SystemExit: enough", "line 12"
    ),
    "raises": Break(
        "def load_data():\n    return open('/no/such/file')",
        "load_data() failed in recipe.py, line 13: FileNotFoundError",
        "line 13 reads: return open('/no/such/file')",
    ),
    "gives nothing": Break("def load_data(): pass", "load_data() in recipe.py gave a NoneType", "four numpy arrays"),
    "gives two": Break(
        "def load_data(): return 1, 2", "gave a tuple of 2", "return (x_train, y_train, x_test, y_test)"
    ),
    "a list": Break(load_data_giving("y_test = list(y_test)"), "gave y_test as a list", "numpy.asarray(y_test)"),
    "empty": Break(load_data_giving("x_test = x_test[:0]"), "x_test has shape [0, 6]", "at least one of each"),
    "one dimension": Break(load_data_giving("x_train = x_train[:, 0]"), "x_train has shape [30]", "(samples, features"),
    "bytes": Break(
        load_data_giving("x_train = (x_train * 255).astype('uint8')"), "x_train holds uint8, not float32", "/ 255"
    ),
    "NaN": Break(
        load_data_giving("x_train[7, 2] = np.nan"), "NaN or infinite values, first in sample 7", "drop or fill"
    ),
    "infinite": Break(
        load_data_giving("x_test = x_test.astype('f8') * 1e300"), "x_test has NaN or inf", "drop or fill"
    ),
    "other features": Break(
        load_data_giving("x_test = x_test[:, :5]"), "samples of x_test have shape [5], of x_train [6]", "the same way"
    ),
    "fewer labels": Break(load_data_giving("y_train = y_train[:20]"), "y_train has 20 labels for 30 samples", "label"),
    "one-hot": Break(load_data_giving("y_train = np.eye(4)[y_train]"), "y_train has shape [30, 4]", "argmax(axis=1)"),
    "float labels": Break(load_data_giving("y_test = y_test / 2"), "y_test holds float64", "astype('int64')"),
    "negative label": Break(load_data_giving("y_test = y_test - 1"), "y_test has the label -1", "counted from 0"),
    "label too high": Break("labels = ['a', 'b', 'c']", "there is a class 3, but `labels` names 3", "name every class"),
    "absent class": Break(
        load_data_giving("y_train = np.where(y_train == 2, 1, y_train)"),
        "y_train has no sample of class 2, of 4 classes",
        "without gaps",
    ),
    "named class absent": Break("labels = list('abcde')", "no sample of class 4 (e), of 5 classes", "needs samples"),
    "a gap of millions": Break(
        load_data_giving("y_train[0] = 10**12"), "no sample of class 4, of 1000000000001", "without gaps"
    ),
    "one class": Break(load_data_giving("y_train, y_test = y_train * 0, y_test * 0"), "one class only", "at least two"),
    "labels a text": Break("labels = 'abcd'", "labels in recipe.py is a str", "it is a list"),
    "labels of numbers": Break("labels = [0, 1, 2, 3]", "labels in recipe.py holds 0", "each label is a text"),
    "labels twice": Break("labels = ['a', 'b', 'a', 'c']", "names 'a' twice", "its own name"),
    "unknown setting": Break("train_settings = {'epoch': 3}", "has 'epoch', which is no setting", "mean 'epochs'"),
    "wrong setting": Break("train_settings = {'epochs': 0}", "epochs is 0", "a whole number from 1"),
    "settings a list": Break("train_settings = [3]", "train_settings in recipe.py is a list", "it is a dict"),
    "preprocess raises": Break(
        "def preprocess(x):\n    return x @ np.eye(9)",
        "preprocess() failed in recipe.py, line 13: ValueError",
        "line 13",
    ),
    "student not a function": Break(
        "build_student = 'small'", "has build_student, which is not", "add: def build_student"
    ),
    "no such temperature": Break("train_settings = {'temperature': 0}", "temperature is 0", "a number from 0.1 to 100"),
    "no such weight": Break("train_settings = {'distill_weight': 2}", "distill_weight is 2", "a number from 0 to 1"),
    "all one value": Break(load_data_giving("x_train[:] = 0.5"), "every value of x_train is 0.5", "how it is loaded"),
    "too large": Break(load_data_giving("x_train[3, 3] = 1e9"), "values up to 1e+09, too large", "in preprocess()"),
    "scaled by halves": Break(
        load_data_giving("x_test = x_test * 255"), "x_train from 0.", "scale both halves in the same way"
    ),
    "preprocess drops samples": Break(
        "def preprocess(x):\n    return x[::2]", "preprocess() in recipe.py made 15 samples of 30", "keep every sample"
    ),
    "preprocess gives nothing": Break(
        "def preprocess(x): pass", "preprocess() in recipe.py gave a NoneType", "return a"
    ),
}


def a_recipe(folder: Path, added: str = "") -> Path:
    path = folder / "recipe.py"
    path.write_text(WHOLE + added + "\n")
    return path


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS.keys())
def test_a_broken_recipe_gets_its_own_clear_message(broken: Break, tmp_path: Path) -> None:
    with pytest.raises(BadRecipe) as refused:
        load_recipe(a_recipe(tmp_path, broken.added))
    assert broken.said in refused.value.message
    assert broken.hint in refused.value.hint
    assert "\n" not in refused.value.message


def test_no_two_breaks_get_the_same_message() -> None:
    assert len({broken.said for broken in BREAKS.values()}) == len(BREAKS) >= 40


@pytest.mark.parametrize(
    ("spec", "said", "hint"),
    [
        ("digit", "there is no recipe 'digit'", "did you mean digits?"),
        ("no_such_file.py", "the recipe no_such_file.py does not exist", "give a .py file, or one of: digits"),
    ],
)
def test_a_recipe_that_is_not_there_is_named(spec: str, said: str, hint: str) -> None:
    with pytest.raises(BadRecipe) as refused:
        load_recipe(spec)
    assert refused.value.message == said
    assert refused.value.hint.startswith(hint)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.py"
    path.write_bytes(b"x = 1\0\xff")
    with pytest.raises(BadRecipe, match=r"recipe\.py .*Python"):
        load_recipe(path)


def test_a_whole_recipe_is_loaded_with_names_for_its_classes(tmp_path: Path) -> None:
    recipe = load_recipe(a_recipe(tmp_path, "def preprocess(x):\n    print('halving')\n    return x / 2"))
    assert (recipe.name, recipe.labels) == ("recipe", ("0", "1", "2", "3"))
    assert recipe.data.x_train.shape == (30, 6)
    assert recipe.data.x_train.dtype == np.float32
    assert recipe.data.value_range[1] <= 0.5


def test_what_a_recipe_prints_stays_off_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_recipe(a_recipe(tmp_path, "print('reading my data')"))
    assert capsys.readouterr() == ("", "reading my data\n")


def test_settings_may_be_numbers_of_numpys(tmp_path: Path) -> None:
    added = "train_settings = {'epochs': np.int64(2), 'learning_rate': np.float32(0.5), 'scramble_labels': np.bool_(1)}"
    settings = load_recipe(a_recipe(tmp_path, added)).settings
    assert json.loads(json.dumps(dataclasses.asdict(settings)))["epochs"] == 2
    assert (settings.learning_rate, settings.scramble_labels) == (0.5, True)
    with pytest.raises(BadRecipe, match=r"epochs is 2\.5"):
        load_recipe(a_recipe(tmp_path, "train_settings = {'epochs': np.float64(2.5)}"))


def test_a_recipe_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_recipe.py").write_text("names = ['a', 'b', 'c', 'd']")
    recipe = load_recipe(a_recipe(tmp_path, "from neighbour_of_recipe import names as labels"))
    assert recipe.labels == ("a", "b", "c", "d")
    assert str(tmp_path) not in sys.path


def test_the_same_data_has_the_same_hash_and_other_data_another(tmp_path: Path) -> None:
    first, again = load_recipe(a_recipe(tmp_path)), load_recipe(a_recipe(tmp_path))
    other = load_recipe(a_recipe(tmp_path, load_data_giving("x_train[0, 0] += 0.1")))
    assert first.data.sha256() == again.data.sha256() != other.data.sha256()
    assert first.sha256 == again.sha256 != other.sha256


def test_the_built_in_digits_are_real_handwriting_of_784_values() -> None:
    assert "digits" in built_in_recipes()
    data = load_recipe("digits").data
    assert (data.x_train.shape, data.x_test.shape) == ((1300, 784), (497, 784))
    assert (data.value_range, int(data.y_train.max()) + 1) == ((0.0, 1.0), 10)


def test_held_back_data_is_written_for_a_device_to_replay(tmp_path: Path) -> None:
    recipe = load_recipe(a_recipe(tmp_path))
    assert write_heldout_npz(recipe, tmp_path / "held-back") == 10
    with np.load(tmp_path / "held-back", allow_pickle=False) as written:
        assert np.array_equal(written["x"], recipe.data.x_test)
        assert np.array_equal(written["y"], recipe.data.y_test)


@pytest.mark.heavy
def test_recipes_are_imported_and_digits_loaded_without_tensorflow() -> None:
    program = """
import sys
HEAVY = {"tensorflow", "tf_keras", "keras", "sklearn"}
def heavy(): return sorted({name.split(".")[0] for name in sys.modules} & HEAVY)
import publisher.learning.recipe.recipe, publisher.learning.artifacts.build, publisher.learning.recipe.heldout
print(heavy())
publisher.learning.recipe.recipe.load_recipe("digits")
print(heavy())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert ended.stdout.splitlines() == ["[]", "['sklearn']"]
    assert ended.stderr == ""

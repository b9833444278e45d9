"""Runs code of a recipe; its errors become BadRecipe with function and line."""

from __future__ import annotations

import contextlib
import importlib.machinery
import linecache
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from protocol.errors import BadRecipe, FerryError
from publisher.learning.quiet_tensorflow import silence_tensorflow

REMARK_MAX_CHARS: Final = 200
PACKAGES: Final = {"PIL": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn", "yaml": "pyyaml"}  # by import


@contextlib.contextmanager
def run_user_code(path: Path, what: str) -> Iterator[None]:
    """Run a part of the file at `path`, called `what` in messages. Raises BadRecipe."""
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        with silence_tensorflow(), contextlib.redirect_stdout(sys.stderr):  # stdout is for data
            yield
    except FerryError:
        raise
    except (Exception, SystemExit) as failure:
        raise _error(failure, path, what) from failure
    finally:
        with contextlib.suppress(ValueError):  # the recipe may have removed it
            sys.path.remove(folder)


def run_file(path: Path, source: bytes) -> ModuleType:
    """Execute a recipe's file as a new module. Raises BadRecipe."""
    name = f"edgeferry_recipe_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, origin=str(path))
    code = _compile(path, source)
    sys.modules[name] = module  # dataclasses in the file look up their module
    with run_user_code(path, "the file"):
        exec(code, module.__dict__)
    return module


def _compile(path: Path, source: bytes) -> CodeType:
    try:
        code: CodeType = compile(source, str(path), "exec", dont_inherit=True)
        return code
    except SyntaxError as wrong:
        line = (wrong.text or "").strip()
        raise BadRecipe(
            f"{path.name} is not Python: line {wrong.lineno}: {wrong.msg}", hint=f"it reads: {line}" if line else ""
        ) from wrong
    except ValueError as wrong:
        raise BadRecipe(f"{path.name} is not Python: {wrong}", hint="a recipe is a text file") from wrong


def _error(failure: BaseException, path: Path, what: str) -> BadRecipe:
    line = _last_line(failure, path)
    where = f"{path.name}, line {line}" if line else path.name
    remark = (str(failure).strip().splitlines() or [""])[0][:REMARK_MAX_CHARS]
    return BadRecipe(f"{what} failed in {where}: {type(failure).__name__}: {remark}", hint=_hint(failure, path, line))


def _last_line(failure: BaseException, path: Path) -> int:
    """The last line of the recipe in the traceback; 0 if there is none."""
    frames = traceback.extract_tb(failure.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename == str(path)), 0)


def _hint(failure: BaseException, path: Path, line: int) -> str:
    if isinstance(failure, ModuleNotFoundError) and failure.name:
        package = failure.name.partition(".")[0]
        return f"install {PACKAGES.get(package, package)} into this Python, or leave it out"
    source = linecache.getline(str(path), line).strip() if line else ""
    return f"line {line} reads: {source}" if source else "run the file alone with python to see more"

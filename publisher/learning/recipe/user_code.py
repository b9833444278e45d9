"""Runs parts of a recipe's file. Whatever they raise becomes a BadRecipe that names the function and the line."""

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
from publisher.learning.quiet_tensorflow import quiet

REMARK_MAX_CHARS: Final = 200
PACKAGES: Final = {"PIL": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn", "yaml": "pyyaml"}  # by import


@contextlib.contextmanager
def users_code(path: Path, what: str) -> Iterator[None]:
    """Run a part of the file at `path`, called `what` in messages.

    Its folder can be imported from, as under `python FILE`; what it prints goes to stderr, for stdout is data.
    Raises BadRecipe.
    """
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        with quiet(), contextlib.redirect_stdout(sys.stderr):
            yield
    except FerryError:
        raise
    except (Exception, SystemExit) as failure:
        raise _told(failure, path, what) from failure
    finally:
        with contextlib.suppress(ValueError):  # the recipe may have taken it out itself
            sys.path.remove(folder)


def run_file(path: Path, source: bytes) -> ModuleType:
    """Execute a recipe's file as a module of its own. Raises BadRecipe."""
    name = f"edgeferry_recipe_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, origin=str(path))
    code = _compiled(path, source)
    sys.modules[name] = module  # dataclasses in the file look their module up
    with users_code(path, "the file"):
        exec(code, module.__dict__)
    return module


def _compiled(path: Path, source: bytes) -> CodeType:
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


def _told(failure: BaseException, path: Path, what: str) -> BadRecipe:
    line = _last_line(failure, path)
    where = f"{path.name}, line {line}" if line else path.name
    remark = (str(failure).strip().splitlines() or [""])[0][:REMARK_MAX_CHARS]
    return BadRecipe(
        f"{what} failed in {where}: {type(failure).__name__}: {remark}", hint=_way_out(failure, path, line)
    )


def _last_line(failure: BaseException, path: Path) -> int:
    """The line of the recipe that was running; 0 where it was none of its own."""
    frames = traceback.extract_tb(failure.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename == str(path)), 0)


def _way_out(failure: BaseException, path: Path, line: int) -> str:
    if isinstance(failure, ModuleNotFoundError) and failure.name:
        package = failure.name.partition(".")[0]
        return f"install {PACKAGES.get(package, package)} into this Python, or leave it out"
    source = linecache.getline(str(path), line).strip() if line else ""
    return f"line {line} reads: {source}" if source else "run the file alone with python to see more"

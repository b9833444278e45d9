"""Who may import whom, what starts light, and that no file names this machine.

The contracts themselves are in pyproject.toml under [tool.importlinter].
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("protocol", "publisher", "device_client")
TENSORFLOW = {"tensorflow", "tf_keras", "keras", "tensorflow_model_optimization"}
RUNTIME = {"numpy", "tflite_runtime", "ai_edge_litert"}


def modules_of(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def names_of(paths: Iterator[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def loaded_by(statement: str, suspects: set[str]) -> set[str]:
    """Return which of `suspects` a fresh Python has loaded after `statement`."""
    program = f"""
import contextlib, io, json, sys
with contextlib.redirect_stdout(io.StringIO()):
    try:
        {statement}
    except SystemExit as leaving:
        assert not leaving.code, leaving.code
print(json.dumps(sorted(sys.modules)))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    return suspects & set(json.loads(run.stdout))


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the import contracts of a checkout."""
    program = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [program, "--no-logo", "--no-cache"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_import_contract_is_kept() -> None:
    run = lint_imports(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


THROUGH_WALLS = {
    "device_client.diagnostics.explanation": ("device_client.service.device_service", "time"),
    "device_client.feedback.drift_detector": ("time", "sqlite3"),
    "device_client.settings.loader": ("device_client.serving.trial.shadow",),
    "device_client.reporting.window_merging": ("socket", "device_client.reporting.outbox"),
}


def test_imports_through_walls_are_refused(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for module, names in THROUGH_WALLS.items():
        with (tmp_path / module.replace(".", "/")).with_suffix(".py").open("a") as file:
            file.writelines(f"import {name}\n" for name in names)
    run = lint_imports(tmp_path)
    assert run.returncode == 1, run.stdout + run.stderr
    broken = " ".join(run.stdout.partition("Broken contracts")[2].split())  # lines are wrapped
    wanted = [f"{module} -> {name} " for module, names in THROUGH_WALLS.items() for name in names]
    assert [each for each in wanted if each not in broken] == []


def test_a_module_without_a_room_is_refused(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "device_client" / "stray.py").write_text('"""Belongs nowhere."""\n')
    run = lint_imports(tmp_path)
    assert run.returncode == 1
    assert "stray" in run.stdout


def test_no_room_holds_more_than_a_dozen_modules() -> None:
    rooms = Counter(path.parent.relative_to(ROOT) for path in modules_of(*PACKAGES) if path.stem != "__init__")
    del rooms[Path("device_client/adapters/sensors/probes")]  # one module for each kind of source
    assert {str(room): count for room, count in rooms.items() if count > 12} == {}


# Reachable without a forbidden import, through datetime or a builtin.
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "now", "utcnow", "today", "monotonic", "getenv"}


@pytest.mark.parametrize("module", names_of(modules_of("publisher/core", "device_client/core")))
def test_a_core_reads_no_clock_and_does_no_io(module: str) -> None:
    calls = [node.func for node in ast.walk(ast.parse((ROOT / module).read_text())) if isinstance(node, ast.Call)]
    named = [(call.id if isinstance(call, ast.Name) else getattr(call, "attr", ""), call.lineno) for call in calls]
    assert [f"{module}:{line} calls {name}()" for name, line in named if name in IMPURE_CALLS] == []


# The contracts see import statements only; importing by name is kept to these modules.
DOORS = (
    "publisher/__init__.py",
    "protocol/host/command_line.py",
    "publisher/learning/",
    "device_client/adapters/runtime/tflite.py",
)


def test_modules_are_imported_by_name_only_at_the_known_doors() -> None:
    others = [name for name in names_of(modules_of(*PACKAGES)) if not name.startswith(DOORS)]
    wanted = re.compile(r"\b(?:import_module|__import__)\(")
    assert [name for name in others if wanted.search((ROOT / name).read_text())] == []


def test_every_module_opens_by_saying_what_it_owns() -> None:
    written = [path for path in modules_of(*PACKAGES) if path.read_text().strip()]
    assert [path for path in written if not ast.get_docstring(ast.parse(path.read_text()))] == []


@pytest.mark.parametrize(
    "statement", ["import publisher.cli", "from publisher.cli import main; sys.argv[1:] = ['--help']; main()"]
)
def test_the_publishers_command_line_starts_without_tensorflow(statement: str) -> None:
    assert loaded_by(statement, TENSORFLOW) == set()


def test_the_devices_help_needs_neither_numpy_nor_the_runtime() -> None:
    assert (
        loaded_by("from device_client.cli import main; sys.argv[1:] = ['--help']; main()", RUNTIME | TENSORFLOW)
        == set()
    )


def test_the_unit_tests_stand_in_the_rooms_of_the_product() -> None:
    rooms = [folder.relative_to(ROOT / "tests" / "unit") for folder in (ROOT / "tests" / "unit").rglob("*")]
    tested = [room for room in rooms if (ROOT / "tests" / "unit" / room).is_dir() and "__pycache__" not in room.parts]
    assert [str(room) for room in tested if not (ROOT / room).is_dir()] == []


# Put together from pieces, so that this file passes its own test.
FOLDERS_OF_ONE_MACHINE = rf"(?<![\w.}}\]-])/(?:{'|'.join(['work', 'root', 'opt/' + 'pypi', 'opt/' + 'wheels'])})/\w"
REGISTRY_HOSTS = r"\b(?:" + "|".join(["pypi", "pythonhosted", "npmjs", "debian", "piwheels"]) + r")\.(?:org|com|net)\b"
NOT_OURS = {"LICENSE"}


def tracked_files() -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout: there is no list of the project's files")
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_path_of_one_machine_or_a_registry_host() -> None:
    suspicious = re.compile(f"{FOLDERS_OF_ONE_MACHINE}|{REGISTRY_HOSTS}")
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in tracked_files()
        if name not in NOT_OURS
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), start=1)
        if suspicious.search(line)
    ]
    assert found == []

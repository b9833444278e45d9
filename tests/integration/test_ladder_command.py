"""`publisher compress` as a user runs it: files, figures and a quiet terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from publisher.learning.recipe.recipe import load_recipe
from publisher.learning.variants.variant_spec import RUNGS
from tests.integration.tflite_reader import answers, edges, weights

OncePerRun = Callable[[str, Callable[[Path], None]], Path]

PROGRAM = "from publisher.cli import main; main()"
PROGRESS = re.compile(  # nothing of TensorFlow's own
    r"compressing digits …|.+: \d+ of \d+|\S+ +[\d.]+ .?B on the wire, accuracy .+ ms"
    r"|\d+ more to make, in about \d+ \w+"
)
SHORT = ("--epochs", "2", "--rungs", "float32,int8,pruned-80-int8,student,distilled", "--distill-seeds", "2")


def run_compress(folder: Path, *flags: str, timeout_s: int) -> None:
    """Leave the command's folder, what it printed and what it said in `folder`."""
    calm = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    command = [sys.executable, "-c", PROGRAM, "compress", "--recipe", "digits", "--out", "out", "--json", *flags]
    ran = subprocess.run(command, cwd=folder, env=calm, capture_output=True, text=True, timeout=timeout_s, check=False)
    (folder / "stdout").write_text(ran.stdout)
    (folder / "stderr").write_text(ran.stderr)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def short(once_per_run: OncePerRun) -> Path:
    return once_per_run("short ladder", lambda folder: run_compress(folder, *SHORT, timeout_s=200))


@pytest.fixture(scope="module")
def whole(once_per_run: OncePerRun) -> Path:
    return once_per_run("whole ladder", lambda folder: run_compress(folder, timeout_s=1_200))


def told(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "stdout").read_text())
    return facts


def by_name(folder: Path) -> dict[str, dict[str, Any]]:
    return {rung["name"]: rung for rung in told(folder)["rungs"]}


def test_standard_output_is_one_document_which_the_folder_keeps(short: Path) -> None:
    facts = told(short)
    beside = ["ladder.json", "report.html", "pareto.png", "pareto.svg"]
    models = [f"{rung['name']}.tflite" for rung in facts["rungs"]]
    assert facts.pop("files") == [f"out/{name}" for name in (*models, *beside)]
    assert facts == json.loads((short / "out" / "ladder.json").read_text())
    assert sorted(path.name for path in (short / "out").iterdir()) == sorted([*models, *beside])
    assert facts["calibration_samples"] == 200
    assert {"tensorflow", "tensorflow-model-optimization", "tf-keras"} <= facts["versions"].keys()


def test_the_terminal_hears_what_is_done_and_none_of_tensorflows_noise(short: Path) -> None:
    first, *others = (short / "stderr").read_text().splitlines()
    assert first == "compressing digits …"
    assert [line for line in others if not PROGRESS.fullmatch(line)] == []
    names = ["float32", "int8", "pruned-80-int8", "student", "distilled"]
    assert [line.split()[0] for line in others if "on the wire" in line] == names  # each as it is made
    assert max(len(line) for line in others if "on the wire" in line) <= 80


def test_the_student_is_compared_over_as_many_seeds_as_asked_for(short: Path) -> None:
    study = told(short)["distillation"]
    assert study["seeds"] == [1, 2]
    assert study["alone"][0] == pytest.approx(by_name(short)["student"]["accuracy"], abs=0.005)
    assert study["taught"][0] == pytest.approx(by_name(short)["distilled"]["accuracy"], abs=0.005)
    assert study["taught_mean"] == pytest.approx(sum(study["taught"]) / 2)


def test_files_are_what_the_numbers_are_of(short: Path) -> None:
    for name, rung in by_name(short).items():
        assert (short / "out" / f"{name}.tflite").stat().st_size == rung["file_bytes"]
    assert by_name(short)["pruned-80-int8"]["sparsity"] >= 0.79
    assert by_name(short)["pruned-80-int8"]["wire_bytes"] <= 0.10 * by_name(short)["float32"]["file_bytes"]


@pytest.mark.slow
@pytest.mark.timeout(1_300)
def test_the_whole_ladder_keeps_its_promises_on_digits(whole: Path) -> None:
    rungs, data = by_name(whole), load_recipe("digits").data
    assert list(rungs) == list(RUNGS)
    assert len(rungs) >= 10
    for name, rung in rungs.items():
        tflite = (whole / "out" / f"{name}.tflite").read_bytes()
        assert edges(tflite) == ["float32", "float32"]
        right = answers(tflite, data.x_test).argmax(axis=1) == data.y_test
        assert (rung["accuracy"], rung["accuracy_samples"]) == (pytest.approx(right.mean()), len(right) == 497 and 497)
    float32, int8, pruned = rungs["float32"], rungs["int8"], rungs["pruned-80-int8"]
    assert float32["accuracy"] >= 0.97
    assert int8["accuracy"] >= float32["accuracy"] - 0.01
    assert int8["file_bytes"] <= 0.28 * float32["file_bytes"]
    assert pruned["wire_bytes"] <= 0.10 * float32["file_bytes"]
    for name in ("pruned-80", "pruned-80-int8", "pruned-80-qat", "pruned-clustered-qat"):
        assert rungs[name]["sparsity"] >= 0.79
        assert all((kernel == 0).mean() >= 0.79 for kernel in weights((whole / "out" / f"{name}.tflite").read_bytes()))


@pytest.mark.slow
@pytest.mark.timeout(1_300)
def test_a_student_learns_no_worse_with_its_teacher_than_without(whole: Path) -> None:
    study = told(whole)["distillation"]
    assert len(study["seeds"]) == 5
    assert study["taught_mean"] >= study["alone_mean"]

"""Models with state: a stream is answered in order, from the initial state, whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tflite_runtime.interpreter import Interpreter

from device_client.adapters.runtime.tflite import open_model
from device_client.ports.serving import ModelFile
from device_client.serving.live_serving import LiveServing
from device_client.serving.trial.stream_sampler import BLOCK_STEPS
from protocol.errors import BadInput, MissingPart
from tests.integration import models
from tests.pages import page

STATEFUL = {"sum-state": (2,), "lstm-state": (5, 4)}  # with the shape of an input
STEPS = 1_000
WAIT_S = 60.0
Float32 = NDArray[np.float32]


@pytest.fixture(scope="module")
def folder(once_per_run: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once_per_run("models", models.make)


@pytest.fixture
def serving() -> Iterator[LiveServing]:
    opened = LiveServing(wall_s=lambda: 1_700_000_000.0)
    yield opened
    opened.close()


def a_file(folder: Path, name: str, version: str = "1.0.0") -> ModelFile:
    path = folder / f"{name}.tflite"
    return ModelFile(path, version, "float32", open_model(path).contract)


def some_steps(name: str, count: int = STEPS, seed: int = 5) -> Float32:
    return np.random.default_rng(seed).normal(size=(count, *STATEFUL[name])).astype(np.float32)


def bare(path: Path, xs: Float32) -> list[bytes]:
    """What an interpreter of its own answers, step by step."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    answers = []
    for x in xs:
        interpreter.set_tensor(into, x[np.newaxis])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(out)[0].tobytes())
    return answers


def until(true: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < give_up_s
        time.sleep(0.005)


@pytest.mark.parametrize("name", STATEFUL)
def test_a_stream_is_a_bare_interpreter_bit_for_bit_through_swaps(
    serving: LiveServing, folder: Path, name: str
) -> None:
    file, xs = a_file(folder, name), some_steps(name)
    expected = bare(file.path, xs)
    serving.swap(file)
    with serving.stream() as stream:
        for at, x in enumerate(xs):
            if at in {300, 700}:
                serving.swap(a_file(folder, name, f"1.{at}.0"))
                assert stream.outdated
            answer = stream.predict(x)
            assert answer.output.tobytes() == expected[at], at
            assert answer.version == "1.0.0"
        stream.restart()
        assert (stream.version, stream.outdated) == ("1.700.0", False)
        again = [stream.predict(x).output.tobytes() for x in xs[:5]]
        assert again == expected[:5]


@pytest.mark.parametrize("name", STATEFUL)
def test_streams_and_plain_predictions_keep_out_of_each_other(serving: LiveServing, folder: Path, name: str) -> None:
    file = a_file(folder, name)
    serving.swap(file)
    many = [some_steps(name, 50, seed) for seed in range(4)]

    def follow(xs: Float32) -> list[bytes]:
        with serving.stream() as stream:
            return [stream.predict(x).output.tobytes() for x in xs]

    with ThreadPoolExecutor(5) as pool:
        followed = [pool.submit(follow, xs) for xs in many]
        plain = pool.submit(lambda: [serving.predict(x).output.tobytes() for x in many[0]])
        assert [each.result() for each in followed] == [bare(file.path, xs) for xs in many]
        assert plain.result() == [bare(file.path, x[np.newaxis])[0] for x in many[0]]


def test_a_batch_in_a_stream_is_its_steps_in_order(serving: LiveServing, folder: Path) -> None:
    file, xs = a_file(folder, "sum-state"), some_steps("sum-state", 6)
    serving.swap(file)
    with serving.stream() as stream:
        together = stream.predict(xs)
        assert [each.output.tobytes() for each in together.each()] == bare(file.path, xs)


def test_a_stream_of_a_model_without_state_is_its_predictions(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder, "flowers-float32"))
    x = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    with serving.stream() as stream:
        assert np.array_equal(stream.predict(x).output, serving.predict(x).output)
    with pytest.raises(MissingPart, match="the stream was closed"):
        stream.predict(x)


def test_a_stream_needs_a_model_and_ends_with_it(serving: LiveServing, folder: Path) -> None:
    with pytest.raises(MissingPart, match="no model is installed yet"):
        serving.stream()
    serving.swap(a_file(folder, "sum-state"))
    stream = serving.stream()
    with pytest.raises(BadInput):
        stream.predict(np.zeros(3, np.float32))
    stream.predict(np.zeros(2, np.float32))
    serving.close()
    assert stream.outdated
    with pytest.raises(MissingPart, match="the model was closed"):
        stream.predict(np.zeros(2, np.float32))


def test_the_loop_of_the_page_runs(serving: LiveServing, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serving.swap(a_file(folder, "sum-state"))
    loop = next(fence.text for fence in page("docs/APPLICATIONS.md").fences if fence.info == "python stream")
    exec(loop, {"model": serving, "windows": [np.array([0.0, each], np.float32) for each in (-5.0, 9.0)]})
    assert capsys.readouterr().out == "heard 1.0.0\n"


def test_a_shadow_follows_a_stream_from_its_start(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder, "sum-state"))
    serving.start_shadow(a_file(folder, "sum-state", "1.1.0"))
    follow(serving, some_steps("sum-state", 300))
    tally = serving.tally()
    assert (tally.inputs, tally.agreed, tally.shadow_errors) == (300, 300, 0)


def test_a_shadow_that_begins_within_a_stream_compares_both_models_from_the_initial_state(
    serving: LiveServing, folder: Path
) -> None:
    serving.swap(a_file(folder, "sum-state"))
    xs = some_steps("sum-state", BLOCK_STEPS + 60)
    with serving.stream() as stream:
        for x in xs[:10]:
            stream.predict(x)
        serving.start_shadow(a_file(folder, "sum-state", "1.1.0"))
        for at, x in enumerate(xs[10:], 10):
            stream.predict(x)
            sampled = max(0, at + 1 - BLOCK_STEPS)
            until(lambda sampled=sampled: serving.tally().inputs == sampled)  # type: ignore[misc]  # mypy knows no defaults
        assert serving.tally().agreed == 60
        assert serving.tally().shadow_errors == 0


def test_a_label_counts_for_both_answers_of_a_step(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder, "sum-state"))
    serving.start_shadow(a_file(folder, "sum-state", "1.1.0"))
    follow(serving, some_steps("sum-state", 40), label=True)
    tally = serving.tally()
    assert tally.labelled == 40


def follow(serving: LiveServing, xs: Float32, *, label: bool = False) -> None:
    """One stream, at the pace of its shadow."""
    with serving.stream() as stream:
        for number, x in enumerate(xs, 1):
            answer: Any = stream.predict(x)
            if label:
                serving.label(answer, answer.top)
            until(lambda number=number: serving.tally().inputs == number)  # type: ignore[misc]  # mypy knows no defaults

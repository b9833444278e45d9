"""Predictions never wait or mix models, and every answer is counted once."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from device_client.adapters.runtime.tflite import open_model
from device_client.adapters.storage.sealed_store import SealedFiles
from device_client.core.trial.bins import ONE
from device_client.core.trial.tally import DROP_BINS
from device_client.feedback.window import FeedbackWindow
from device_client.ports.serving import ModelFile, SealedInput, Serving
from device_client.serving.live_serving import LiveServing, Prediction
from device_client.serving.recent_predictions import PREDICTIONS_MAX
from device_client.serving.trial.shadow import GOLDEN_RATIO, RARE_S, ShadowSettings
from protocol.errors import BadInput, BadModel, MissingPart
from tests.integration import models
from tests.integration.file_contracts import float_contract

WAIT_S = 60.0  # for a busy machine; nothing here takes more than a second
FLOWERS = ("rose", "tulip", "daisy")
X = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
Float32 = NDArray[np.float32]


@pytest.fixture(scope="module")
def folder(once_per_run: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once_per_run("models", models.make)


@pytest.fixture
def serving() -> Iterator[LiveServing]:
    opened = LiveServing(wall_s=lambda: 1_700_000_000.0)
    yield opened
    opened.close()


def a_file(folder: Path, name: str = "flowers-float32", version: str = "1.0.0") -> ModelFile:
    path = folder / f"{name}.tflite"
    labels = FLOWERS if name.startswith(("flowers", "other")) else ()
    return ModelFile(path, version, name.partition("-")[2], float_contract(path), labels)


def answers_of(file: ModelFile, inputs: Float32) -> Float32:
    """The outputs of the file without serving."""
    answers: Float32 = open_model(file.path, contract=file.contract).run([inputs])[0]
    return answers


def some_inputs(count: int, seed: int = 11) -> Float32:
    return np.random.default_rng(seed).uniform(0, 1, (count, 4)).astype(np.float32)


def until(true: Callable[[], bool]) -> None:
    """Poll until the shadow's thread is done."""
    give_up_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < give_up_s
        time.sleep(0.005)


def test_it_is_the_serving_port() -> None:
    port: Serving = LiveServing()
    assert port.tally().inputs == 0


def test_without_a_model_predict_raises_and_wait_ready_waits(serving: LiveServing, folder: Path) -> None:
    with pytest.raises(MissingPart, match="no model is installed yet"):
        serving.predict(X)
    assert serving.wait_ready(0.01) is False
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(serving.wait_ready, WAIT_S)
        serving.swap(a_file(folder))
        assert waiting.result() is True
    assert serving.predict(X).version == serving.version == "1.0.0"


def test_one_input_gives_one_answer_with_its_class_and_name(serving: LiveServing, folder: Path) -> None:
    file = a_file(folder)
    serving.swap(file)
    answer = serving.predict(X)
    expected = answers_of(file, X[None])[0]
    assert answer.output.shape == (3,)
    assert answer.output.dtype == np.float32
    assert np.array_equal(answer.output, expected)
    assert answer.top == int(expected.argmax())
    assert answer.confidence == pytest.approx(float(expected.max()))
    assert answer.label == FLOWERS[answer.top]
    assert (answer.version, answer.variant) == ("1.0.0", "float32")


def test_a_batch_gives_a_row_for_each_and_their_single_answers(serving: LiveServing, folder: Path) -> None:
    file = a_file(folder)
    serving.swap(file)
    batch = some_inputs(5)
    answer = serving.predict(batch)
    assert np.array_equal(answer.output, answers_of(file, batch))
    assert answer.top is None
    assert [part.top for part in answer.each()] == answer.output.argmax(axis=1).tolist()
    assert len({part.id for part in answer.each()}) == 5
    assert serving.predict(batch[:1]).output.shape == (1, 3)
    assert serving.predict(batch[:1]).top == answer.each()[0].top


@pytest.mark.parametrize("given", [[0.1, 0.2, 0.3, 0.4], np.array([0, 1, 0, 1]), X.astype(np.float64)])
def test_other_numbers_of_the_right_shape_will_do(serving: LiveServing, folder: Path, given: object) -> None:
    serving.swap(a_file(folder))
    assert serving.predict(given).output.dtype == np.float32  # type: ignore[arg-type]  # that is what is tried


def test_several_inputs_go_in_as_a_list(serving: LiveServing, folder: Path) -> None:
    file = a_file(folder, "pair-float32")
    serving.swap(file)
    inputs = [np.ones(tensor.shape[1:], np.float32) for tensor in file.contract.inputs]
    answer = serving.predict(inputs)
    assert [each.shape for each in answer.outputs] == [tensor.shape[1:] for tensor in file.contract.outputs]
    with pytest.raises(BadInput, match="takes 2 inputs by name or as a list of arrays, not ndarray"):
        serving.predict(inputs[0])
    with pytest.raises(BadInput, match="unlike length"):
        serving.predict([np.stack([inputs[0]] * 2), np.stack([inputs[1]] * 3)])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros(5, np.float32), r"the shape \(5,\); the model takes float32 of shape \(4,\), or a batch \(n, 4\)"),
        (np.zeros((2, 2), np.float32), r"the shape \(2, 2\)"),
        (np.zeros((0, 4), np.float32), r"the shape \(0, 4\)"),
        (np.array([0.1, np.nan, 0, 0], np.float32), r"no finite numbers \(NaN or infinite\)"),
        (np.array([1e300, 0, 0, 0]), r"no finite numbers"),
        (np.array(["a", "b", "c", "d"]), r"values of type <U1; the model takes float32"),
        (np.array([1j, 0, 0, 0]), r"values of type complex128"),
        ([[1.0, 2.0], [3.0]], r"is no array"),
        (None, r"values of type object"),
    ],
)
def test_a_wrong_input_is_named_counted_and_harms_nothing(
    serving: LiveServing, folder: Path, given: object, message: str
) -> None:
    serving.swap(a_file(folder))
    with pytest.raises(BadInput, match=message):
        serving.predict(given)  # type: ignore[arg-type]  # that is what is tried
    assert serving.predict(X).top is not None
    assert serving.tally().live_errors == 0  # no version is to blame
    window = serving.take_window(at_least=1)
    assert window is not None
    assert (window.sums.inferences, window.sums.errors) == (2, 1)


def test_a_file_that_is_no_model_leaves_the_live_one(serving: LiveServing, folder: Path, tmp_path: Path) -> None:
    serving.swap(a_file(folder))
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model at all")
    with pytest.raises(BadModel):
        serving.swap(replace(a_file(folder), path=broken, version="2.0.0"))
    with pytest.raises(BadModel, match=r"3\.0\.0 is not what its manifest says"):
        serving.swap(replace(a_file(folder), path=folder / "digits-float32.tflite", version="3.0.0"))
    with pytest.raises(BadModel):
        serving.start_shadow(replace(a_file(folder), path=broken))
    assert serving.predict(X).version == "1.0.0"


def test_every_prediction_runs_wholly_on_one_model_while_they_are_swapped(serving: LiveServing, folder: Path) -> None:
    files = [a_file(folder), a_file(folder, "other-float32", "1.1.0"), a_file(folder, "flowers-int8", "1.2.0")]
    inputs = some_inputs(20)
    expected = {file.version: answers_of(file, inputs) for file in files}
    serving.swap(files[0])
    over, seen = threading.Event(), set[str]()

    def ask() -> None:
        while not over.is_set():
            for at in range(len(inputs)):
                answer = serving.predict(inputs[at])
                assert np.array_equal(answer.output, expected[answer.version][at])
                seen.add(answer.version)
            batch = serving.predict(inputs)
            assert np.array_equal(batch.output, expected[batch.version])

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(ask) for _ in range(4)]
        for turn in range(60):
            serving.swap(files[turn % 3])
            if turn < 3:  # each is seen once; after that they are swapped as fast as it goes
                until(lambda: files[turn % 3].version in seen or any(worker.done() for worker in workers))  # noqa: B023 - called at once
        over.set()
        for worker in workers:
            worker.result()
    assert seen == {"1.0.0", "1.1.0", "1.2.0"}


def test_a_model_that_was_swapped_out_is_closed(serving: LiveServing, folder: Path, tmp_path: Path) -> None:
    """The runtime maps the file into memory until the model is closed."""
    own = tmp_path / "own.tflite"
    own.write_bytes((folder / "digits-float32.tflite").read_bytes())
    serving.swap(replace(a_file(folder, "digits-float32"), path=own))
    serving.predict(np.zeros(784, np.float32))
    assert str(own) in Path("/proc/self/maps").read_text()
    serving.swap(a_file(folder, "digits-float32", "1.1.0"))
    assert str(own) not in Path("/proc/self/maps").read_text()


def test_each_version_has_windows_of_its_own(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    old = [serving.predict(X) for _ in range(3)]
    serving.swap(a_file(folder, "other-float32", "1.1.0"))
    for _ in range(5):
        serving.predict(X)
    serving.label(old[0], 0)
    first, second = serving.take_window(at_least=100), serving.take_window(at_least=5)
    assert first is not None
    assert second is not None
    assert (first.version, first.sums.inferences, first.sums.labelled) == ("1.0.0", 3, 1)
    assert (second.version, second.sums.inferences) == ("1.1.0", 5)
    assert serving.take_window(at_least=1) is None
    assert serving.label(old[1], 0) is True  # late, and still counted to the version that gave the answer
    late = serving.take_window(at_least=1)
    assert late is not None
    assert (late.version, late.sums.inferences, late.sums.labelled) == ("1.0.0", 0, 1)


def test_a_window_that_is_too_small_stays_open(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    serving.predict(some_inputs(4))
    assert serving.take_window(at_least=5) is None
    serving.predict(X)
    window = serving.take_window(at_least=5)
    assert window is not None
    assert window.sums.inferences == 5
    assert sum(window.sums.classes.values()) == 5
    assert set(window.sums.classes) <= set(FLOWERS)


def test_labels_are_counted_by_prediction_by_id_and_by_name(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    right = serving.predict(X)
    assert right.top is not None
    assert serving.label(right, right.top) is True
    assert serving.label(serving.predict(X).id, FLOWERS[right.top]) is True
    from_a_dataset = np.int64((right.top + 1) % 3)
    assert serving.label(serving.predict(X), from_a_dataset) is True, "any whole number will do"
    assert serving.label(123_456_789, 0) is False
    window = serving.take_window(at_least=1)
    assert window is not None
    assert (window.sums.labelled, window.sums.correct) == (3, 2)


@pytest.mark.parametrize(
    ("truth", "message"),
    [(3, "not between 0 and 2"), (-1, "not between"), ("oak", "'oak' is none of"), (0.5, "0.5 is not")],
)
def test_a_class_that_the_model_does_not_know_is_refused(
    serving: LiveServing, folder: Path, truth: int | str, message: str
) -> None:
    serving.swap(a_file(folder))
    with pytest.raises(BadInput, match=message):
        serving.label(serving.predict(X), truth)


@pytest.mark.parametrize("given", [None, "7", 3.0, object()])
def test_a_label_for_what_is_no_prediction_is_refused_in_words(serving: LiveServing, given: object) -> None:
    with pytest.raises(BadInput, match=r"is no prediction and no id of one"):
        serving.label(given, 0)  # type: ignore[arg-type]  # as an application without types may do


def test_an_id_that_was_kept_in_an_array_is_an_id(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    kept = np.array([serving.predict(X).id])
    assert serving.label(kept[0], 0) is True


def test_a_batch_is_labelled_one_by_one(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    batch = serving.predict(some_inputs(3))
    with pytest.raises(BadInput, match=r"each\(\)"):
        serving.label(batch, 0)
    assert all(serving.label(part, 0) for part in batch.each())


def test_a_model_that_gives_a_value_has_no_classes(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder, "level-float32"))
    answer = serving.predict(X)
    assert (answer.output.shape, answer.top, answer.confidence, answer.label) == ((1,), None, None, None)
    assert serving.label(answer, float(answer.output[0])) is True
    assert answer.answer.values[0] == answer.output
    with pytest.raises(BadInput):
        serving.label(serving.predict(X), "much")
    window = serving.take_window(at_least=1)
    assert window is not None
    assert (window.sums.inferences, dict(window.sums.classes), window.sums.accuracy) == (2, {}, 1.0)


def test_a_shadow_that_is_the_same_model_agrees_on_everything(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    serving.start_shadow(a_file(folder, version="1.1.0"))
    for offered, x in enumerate(some_inputs(20), start=1):
        serving.predict(x)
        until(lambda: serving.tally().inputs == offered)  # noqa: B023 - called at once
    tally = serving.tally()
    assert (tally.agreed, tally.shadow_errors, tally.agreement) == (20, 0, 1.0)
    assert (tally.live_inferences, tally.live_errors) == (20, 0)
    assert tally.live_latency_ms_p95 is not None
    assert tally.shadow_latency_ms_p95 is not None


def test_a_shadow_of_other_weights_disagrees_as_often_as_they_differ(serving: LiveServing, folder: Path) -> None:
    live, other = a_file(folder), a_file(folder, "other-float32", "1.1.0")
    inputs = some_inputs(40)
    same = int((answers_of(live, inputs).argmax(1) == answers_of(other, inputs).argmax(1)).sum())
    assert same < 40
    serving.swap(live)
    serving.start_shadow(other)
    for offered, x in enumerate(inputs, start=1):
        serving.predict(x)
        until(lambda: serving.tally().inputs == offered)  # noqa: B023 - called at once
    assert serving.tally().agreed == same


def test_labels_are_weighed_for_both_models_whenever_they_come(serving: LiveServing, folder: Path) -> None:
    live, other = a_file(folder), a_file(folder, "other-float32", "1.1.0")
    inputs = some_inputs(30)
    truths = answers_of(other, inputs).argmax(1)  # the shadow is always right
    serving.swap(live)
    serving.start_shadow(other)
    answers: list[Prediction] = []
    for at, x in enumerate(inputs):
        answers.append(serving.predict(x))
        if at % 2:
            serving.label(answers[-1], int(truths[at]))  # perhaps before the shadow has answered
        until(lambda: serving.tally().inputs == len(answers))
    for at in range(0, 30, 2):
        serving.label(answers[at].id, int(truths[at]))
    tally = serving.tally()
    right = sum(answer.top == truth for answer, truth in zip(answers, truths, strict=True))
    assert 0 < right < 30
    assert (tally.labelled, tally.both_correct, tally.only_shadow_correct) == (30, right, 30 - right)
    assert (tally.only_live_correct, tally.shadow_accuracy) == (0, 1.0)


def test_values_agree_when_they_are_close(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder, "level-float32"))
    serving.start_shadow(a_file(folder, "level-float32", "1.1.0"))
    serving.predict(X)
    until(lambda: serving.tally().inputs == 1)
    assert (serving.tally().agreed, serving.tally().labelled) == (1, 0)


def test_a_candidate_is_tried_on_sealed_inputs_before_live_ones(folder: Path, tmp_path: Path) -> None:
    now_s = itertools.count(0.0, 5_000.0)  # each is far enough from the one before to be kept
    store, files = SealedFiles(tmp_path), (a_file(folder), a_file(folder, "other-float32", "1.1.0"))
    serving = LiveServing(clock_s=lambda: next(now_s), sealed=store)
    serving.swap(files[0])
    given = set[int]()
    for x in some_inputs(40):
        given.add(serving.predict(x).top or 0)
        time.sleep(0.002)  # the queue is short
    serving.close()  # writes what is still in the queue
    kept = store.load()
    assert given == {at for sealed, _ in kept.values() for at in sealed.classes}
    again = LiveServing(sealed=store)
    again.swap(files[0])
    again.start_shadow(files[1])
    until(lambda: again.tally().sealed == len(kept))
    tally = again.tally()
    assert (tally.inputs, sum(each.seen for each in tally.live_answers)) == (0, len(kept))
    assert [each.name for each in tally.live_answers] == [FLOWERS[at] for at in sorted(given)]
    again.close()


def test_sealed_inputs_of_an_earlier_model_are_answered_anew_by_the_live_one(folder: Path, tmp_path: Path) -> None:
    store, before, live = SealedFiles(tmp_path), a_file(folder), a_file(folder, "other-float32", "1.1.0")
    inputs = some_inputs(6)
    for x in inputs:
        store.keep(SealedInput((x[None],), (answers_of(before, x[None])[0],), (0,), "1.0.0 float32"))
    serving = LiveServing(sealed=store)
    serving.swap(live)
    serving.start_shadow(before)
    time.sleep(0.05)
    assert serving.tally().sealed == 0, "the previous model answered them before"
    serving.start_shadow(a_file(folder, version="1.2.0"))
    until(lambda: serving.tally().sealed == 6)
    agreed = sum(count for each in serving.tally().live_answers for at, count in each.alike if at == ONE)
    assert agreed == (answers_of(live, inputs).argmax(1) == answers_of(before, inputs).argmax(1)).sum()
    assert {sealed.model for sealed, _ in store.load().values()} == {"1.1.0 float32"}
    serving.close()


def test_a_shadow_that_fails_is_counted_and_never_felt(serving: LiveServing, folder: Path) -> None:
    """A shadow for other inputs: each of its runs raises."""
    serving.swap(a_file(folder))
    serving.start_shadow(a_file(folder, "digits-float32", "9.9.9"))
    for offered in range(1, 6):
        assert serving.predict(X).version == "1.0.0"
        until(lambda: serving.tally().inputs == offered)  # noqa: B023 - called at once
    tally = serving.tally()
    assert (tally.shadow_errors, tally.agreed, tally.live_errors) == (5, 0, 0)


def test_a_shadow_that_cannot_keep_up_drops_inputs_and_not_the_application(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    serving.start_shadow(a_file(folder, version="1.1.0"))
    for _ in range(20):
        serving.predict(some_inputs(500))
    tally = serving.tally()
    assert tally.live_inferences == 10_000
    assert tally.inputs <= 10_000
    serving.stop_shadow()
    assert serving.tally().live_inferences == 10_000


def test_the_tally_begins_anew_with_a_shadow_and_with_a_swap(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    serving.predict(X)
    assert serving.tally().live_inferences == 1
    serving.start_shadow(a_file(folder, version="1.1.0"))
    assert serving.tally().live_inferences == 0
    serving.predict(X)
    until(lambda: serving.tally().inputs == 1)
    serving.swap(a_file(folder, version="1.1.0"))
    assert (serving.tally().inputs, serving.tally().live_inferences) == (0, 0)
    serving.start_shadow(a_file(folder))
    serving.predict(X)
    until(lambda: serving.tally().inputs == 1)
    assert serving.tally().agreed == 1


def test_a_share_of_the_inputs_is_sampled(folder: Path) -> None:
    serving = LiveServing(clock_s=lambda: 0.0)
    serving.swap(a_file(folder))
    serving.start_shadow(a_file(folder, version="1.1.0"), 0.25)
    sampled = 0
    for _ in range(120):
        answer = serving.predict(X)
        sampled += answer.id * GOLDEN_RATIO % 1 < 0.25
        until(lambda: serving.tally().inputs == sampled)  # noqa: B023 - called at once
    assert serving.tally().live_inferences == 120
    assert 28 <= sampled <= 32
    serving.close()


def test_of_rare_inputs_each_is_sampled(folder: Path) -> None:
    now_s = itertools.count(0.0, RARE_S)
    serving = LiveServing(clock_s=lambda: next(now_s))
    serving.swap(a_file(folder))
    serving.start_shadow(a_file(folder, version="1.1.0"), 0.01)
    for offered in range(1, 11):
        serving.predict(X)
        until(lambda: serving.tally().inputs == offered)  # noqa: B023 - called at once
    serving.close()


@pytest.mark.parametrize("every", [2, 3, 4, 8])
def test_a_sample_is_in_step_with_nothing(every: int) -> None:
    """Else labels of every n-th input could meet all the sampled ones, or none."""
    labelled = [id_ for id_ in range(1, 4_001) if id_ % every == 1]
    sampled = sum(id_ * GOLDEN_RATIO % 1 < 0.25 for id_ in labelled)
    assert sampled / len(labelled) == pytest.approx(0.25, abs=0.02)


def test_a_shadow_keeps_to_its_share_of_a_core(folder: Path) -> None:
    """Each reading of the CPU clock takes 1/128 s; the wall clock stands still.

    Binary fractions, so that twenty of them are a burst's allowance to the last bit.
    """
    ticks = itertools.count()
    serving = LiveServing(
        clock_s=lambda: 0.0, cpu_s=lambda: next(ticks) / 128, shadow_settings=ShadowSettings(cpu_percent=100 * 10 / 128)
    )
    serving.swap(a_file(folder))
    serving.start_shadow(a_file(folder, version="1.1.0"))
    until(lambda: serving.predict(X) is not None and serving.tally().inputs >= 10)
    for _ in range(200):
        serving.predict(X)
    serving.stop_shadow()
    assert serving.tally().live_inferences > 200
    shadowed = serving.take_window(at_least=1)
    assert shadowed is not None
    assert 10 <= shadowed.sums.compared <= 20, "what there is for a burst, 20/128 s, and no more"
    serving.close()


def test_confidence_and_latency_are_compared_on_the_same_input(folder: Path) -> None:
    """CPU time passes in the shadow's thread only, so it is slow on every input."""
    ticks = itertools.count()

    def cpu_s() -> float:
        return next(ticks) * 1.0 if threading.current_thread().name == "shadow" else 0.0

    serving = LiveServing(cpu_s=cpu_s)
    live, other = a_file(folder), a_file(folder, "other-float32", "1.1.0")
    serving.swap(live)
    serving.start_shadow(other)
    inputs = some_inputs(1)
    serving.predict(inputs[0])
    until(lambda: serving.tally().inputs == 1)
    tally = serving.tally()
    drop = float(answers_of(live, inputs).max() - answers_of(other, inputs).max())
    assert (tally.shadow_slow, tally.live_slow) == (1, 0)
    assert sum(tally.confidence_drops) == 1
    assert tally.confidence_drops.index(1) == DROP_BINS // 2 + round(drop * 10)
    serving.close()


def test_what_the_application_does_with_its_arrays_changes_no_verdict(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder, "level-float32"))
    serving.start_shadow(a_file(folder, "level-float32", "1.1.0"))
    x = X.copy()
    for offered in range(1, 21):
        answer = serving.predict(x)
        x[:] = np.random.default_rng(offered).uniform(0, 1, 4)
        answer.output[:] = -1e9
        until(lambda: serving.tally().inputs == offered)  # noqa: B023 - called at once
    assert serving.tally().agreed == 20


def test_while_a_swap_takes_for_ever_four_threads_are_answered(
    serving: LiveServing, folder: Path, tmp_path: Path
) -> None:
    """The new file is a pipe without writer: opening it blocks until one comes."""
    file = a_file(folder)
    serving.swap(file)
    pipe = tmp_path / "slow.tflite"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(5) as pool:
        swapping = pool.submit(serving.swap, replace(file, path=pipe, version="2.0.0"))
        try:
            asking = [pool.submit(lambda: [serving.predict(x) for x in some_inputs(200)]) for _ in range(4)]
            answers = [answer for worker in asking for answer in worker.result(WAIT_S)]
            quality = serving.quality()
            assert not swapping.done()
        finally:
            pipe.write_bytes(b"no model after all")
        with pytest.raises(BadModel):
            swapping.result(WAIT_S)
    assert {answer.version for answer in answers} == {"1.0.0"}
    assert len(answers) == 800
    assert quality is not None
    assert quality.inferences == 800


def test_at_two_hundred_a_second_from_four_threads_no_swap_loses_a_prediction(
    serving: LiveServing, folder: Path
) -> None:
    files = [a_file(folder), a_file(folder, "other-float32", "1.1.0")]
    serving.swap(files[0])
    over = threading.Event()

    def ask() -> int:
        asked = 0
        while not over.wait(0.02):
            assert serving.predict(X).top is not None
            asked += 1
        return asked

    counted = 0
    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(ask) for _ in range(4)]
        for turn in range(1, 21):
            seen = serving.tally().live_inferences
            until(lambda: serving.tally().live_inferences >= seen + 4)  # noqa: B023 - called at once
            serving.swap(files[turn % 2])
            counted += sum(window.sums.inferences for window in all_windows(serving))
        over.set()
        asked = sum(worker.result(WAIT_S) for worker in workers)
    counted += sum(window.sums.inferences for window in all_windows(serving))
    assert counted == asked >= 80


def all_windows(serving: LiveServing) -> list[FeedbackWindow]:
    return list(iter(lambda: serving.take_window(at_least=1), None))


def test_more_threads_than_interpreters_take_turns_and_all_get_their_answers(folder: Path) -> None:
    file, inputs = a_file(folder), some_inputs(50)
    expected = answers_of(file, inputs)
    serving = LiveServing(parallel_max=1)
    serving.swap(file)

    def ask() -> int:
        for _ in range(6):
            for at, x in enumerate(inputs):
                assert np.array_equal(serving.predict(x).output, expected[at])
        return 300

    with ThreadPoolExecutor(6) as pool:
        assert sum(worker.result(WAIT_S) for worker in [pool.submit(ask) for _ in range(6)]) == 1_800
    window = serving.take_window(at_least=1)
    assert window is not None
    assert (window.sums.inferences, window.sums.errors) == (1_800, 0)
    serving.close()


def test_quality_is_of_the_live_version_and_needs_enough_inputs(serving: LiveServing, folder: Path) -> None:
    assert serving.quality() is None
    serving.swap(a_file(folder))
    assert serving.quality() is None
    for labelled in range(1, 21):
        answer = serving.predict(X)
        assert answer.top is not None
        serving.label(answer, answer.top if labelled % 4 else (answer.top + 1) % 3)
        quality = serving.quality()
        assert quality is not None
        assert quality.inferences == labelled
        assert quality.accuracy == (0.75 if labelled == 20 else None)
        assert (quality.drift, quality.agreement) == (None, None)
        assert quality.confidence == pytest.approx(answer.confidence, abs=1e-5)
        if labelled % 5 == 0:
            serving.take_window(at_least=1)  # a closed window is remembered for a while
    for _ in range(12):
        serving.predict(X)
        serving.take_window(at_least=1)
    lately = serving.quality()
    assert lately is not None
    assert (lately.inferences, lately.accuracy) == (10, None), "the latest ten windows"
    serving.swap(a_file(folder, "other-float32", "1.1.0"))
    assert serving.quality() is None


def test_agreement_with_a_shadow_stands_in_the_windows(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    serving.start_shadow(a_file(folder, version="1.1.0"))
    for offered in range(1, 26):
        serving.predict(X)
        until(lambda: serving.tally().inputs == offered)  # noqa: B023 - called at once
    quality, window = serving.quality(), serving.take_window(at_least=1)
    assert quality is not None
    assert window is not None
    assert (quality.agreement, window.sums.compared, window.sums.agreed) == (1.0, 25, 25)


def test_every_nth_input_is_sampled(folder: Path) -> None:
    serving = LiveServing(sample_every=4)
    serving.swap(a_file(folder))
    serving.predict(some_inputs(21))
    window = serving.take_window(at_least=1)
    assert window is not None
    assert window.sums.sample is not None
    assert window.sums.sample.inputs == sum(window.sums.sample.levels) == 5
    assert window.sums.sample.entropy_sum is not None
    assert 0 < window.sums.sample.entropy_sum / 5 <= 1_585, "thousandths of the bits of three classes"
    serving.close()


def test_an_answer_is_found_by_its_id_as_long_as_it_is_remembered(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    first = serving.predict(X)
    for _ in range(PREDICTIONS_MAX // 500 + 1):
        serving.predict(some_inputs(500))
    last = serving.predict(X)
    assert serving.label(first.id, 0) is False
    assert serving.label(last.id, 0) is True
    assert serving.label(last.id, 0) is False, "counted once"


def test_after_closing_there_is_no_model(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    serving.start_shadow(a_file(folder, version="1.1.0"))
    serving.predict(X)
    serving.close()
    assert [thread.name for thread in threading.enumerate() if thread.name == "shadow"] == []
    with pytest.raises(MissingPart):
        serving.predict(X)
    last = serving.take_window(at_least=1)
    assert last is not None
    assert last.sums.inferences == 1


def test_clocks_are_the_callers(folder: Path) -> None:
    ticks = iter(range(1_000))
    serving = LiveServing(clock_s=lambda: next(ticks) * 0.010, wall_s=lambda: 1_700_000_000.0)
    serving.swap(a_file(folder))
    for _ in range(10):
        serving.predict(X)
    window = serving.take_window(at_least=1)
    assert window is not None
    assert window.sums.latency_ms(0.5) == pytest.approx(10.0, rel=0.09)
    assert (window.start_s, window.end_s) == (1_700_000_000.0, 1_700_000_000.0)


def test_it_is_seen_how_long_a_shadow_has_been_at_an_input(folder: Path) -> None:
    now_s, come_back, counting = [0.0], threading.Event(), threading.Event()

    def cpu_s() -> float:
        """Blocks the second reading by the shadow's thread, after its answer."""
        if threading.current_thread().name == "shadow":
            if counting.is_set():
                come_back.wait(WAIT_S)
            counting.set()
        return 0.0

    serving = LiveServing(clock_s=lambda: now_s[0], cpu_s=cpu_s)
    serving.swap(a_file(folder))
    serving.start_shadow(a_file(folder, version="1.1.0"))
    serving.predict(X)
    assert counting.wait(WAIT_S)
    now_s[0] = 31.0
    assert serving.tally().shadow_under_way_s == 31.0
    come_back.set()
    until(lambda: serving.tally().inputs == 1)
    assert serving.tally().shadow_under_way_s == 0.0
    serving.close()


def test_it_is_seen_how_long_the_live_model_has_been_at_an_input(serving: LiveServing, folder: Path) -> None:
    serving.swap(a_file(folder))
    seen, many = threading.Event(), np.tile(X, (200_000, 1))

    def ask() -> None:
        while not seen.is_set():
            serving.predict(many)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        until(lambda: serving.tally().live_under_way_s > 0.0)
        seen.set()
        asking.result()
    assert serving.tally().live_under_way_s == 0.0

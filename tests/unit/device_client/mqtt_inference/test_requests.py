"""Requests over MQTT, without a broker: parsing, shapes, responses, overload."""

from __future__ import annotations

import json
import queue
import threading
from typing import Any, Final

import numpy as np
import pytest

from device_client.mqtt_inference.event_router import EventRouter
from device_client.mqtt_inference.request import arrange, read_id, read_request, response_fields, response_topic
from device_client.mqtt_inference.request_handler import REMEMBERED_MAX, RequestHandler
from device_client.mqtt_inference.request_worker import WAITING_MAX, RequestWorker
from device_client.serving.input_format import InputFormat
from device_client.serving.prediction import AnswerFormat, Prediction
from protocol.errors import BadInput, BadModel, FerryError, MissingPart
from protocol.messages.contract import Contract, TaskDeclaration, Tensor
from protocol.messages.inference import OUTPUT_VALUES_MAX, InferenceResponse
from protocol.messages.preprocessing import Preprocessing
from protocol.mqtt.link import Connected, Disconnected, LinkEvent, Received, ReplyTo
from protocol.topics import LINE_AIM_BYTES, LINE_MAX_BYTES, Topics
from tests.unit.device_client.service.test_event_loop import RecordingLink

INPUT: Final = "fleet/v1/devices/pi-1/digits/input"
OUTPUT: Final = "fleet/v1/devices/pi-1/digits/output"
WITHIN_S: Final = 60.0
PAIR: Final = Contract(
    inputs=(Tensor(name="serving_default_left:0", shape=(1, 2, 2)), Tensor(name="right", shape=(1, 1))),
    outputs=(Tensor(name="scores", shape=(1, 3)),),
)
ONE: Final = Contract(inputs=PAIR.inputs[:1], outputs=PAIR.outputs)


def a_prediction(scores: Any = (0.1, 0.7, 0.2), *, number: int = 1) -> Prediction:
    output = np.asarray(scores, np.float32)
    return Prediction(output, (output,), 1, float(output.max()), "tulip", "1.0.0", "float32", number)


# --- reading


def test_an_id_is_a_text_or_a_whole_number_and_comes_back_as_it_was() -> None:
    for mark in ("a", "", 7, -(2**53)):
        assert read_request(json.dumps({"id": mark, "x": [1]}).encode()).id == mark
    others: list[Any] = [True, 1.5, 2**53 + 1, "x" * 65, [1], {}]
    for other in others:
        with pytest.raises(BadInput, match=r"\bid: "):
            read_request(json.dumps({"id": other, "x": [1]}).encode())
        assert read_id(json.dumps({"id": other, "x": [1]}).encode()) is None


def test_what_is_no_request_is_called_by_the_word_of_the_error_kind() -> None:
    for payload, words in ((b"hello", "not a question: "), (b'{"x": [0], "v": 2}', "a question of format 2 ")):
        with pytest.raises(BadInput, match=f"^{words}"):
            read_request(payload)


def test_what_other_programs_add_is_passed_over() -> None:
    question = read_request(b'{"x":[1,2],"_msgid":"a.b","topic":"t","label":3}')
    assert (question.id, question.x, question.label) == (None, [1, 2], 3)


@pytest.mark.parametrize("x", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[[1, 2], [3, 4]]], {"left": [1, 2, 3, 4]}])
def test_one_input_is_taken_flat_nested_as_a_batch_of_one_or_by_name(x: Any) -> None:
    assert np.array_equal(arrange(x, ONE), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    "x",
    [
        [[1, 2, 3, 4], [5]],
        [[[1, 2], [3, 4]], [[5]]],
        {"right": [5], "left": [[1, 2], [3, 4]]},
        {"serving_default_left:0": [1, 2, 3, 4], "right": [5]},
    ],
)
def test_several_inputs_are_taken_in_the_models_order_or_by_name(x: Any) -> None:
    left, right = arrange(x, PAIR)
    assert (left.tolist(), right.tolist()) == ([[1, 2], [3, 4]], [5])


@pytest.mark.parametrize(
    ("x", "told"),
    [
        ([1, 2, 3], "the model takes 2 inputs (x is a list of them, or an object with left, right)"),
        ({"left": [1, 2, 3, 4]}, "the model takes left, right; x has left"),
        ({"left": 1, "right": 2, "up": 3}, "x has left, right, up"),
        ({"left": None, "right": 2}, "x has left, right"),
        ({}, "x has nothing"),
        ("ab", "the model takes 2 inputs"),
        ([[[[1, 2], [3, 4]]] * 3, [5]], "send one input in a message"),
    ],
)
def test_other_inputs_are_refused_with_what_the_model_takes(x: Any, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        arrange(x, PAIR)
    assert told in str(refused.value)


@pytest.mark.parametrize("x", [[1, 2, 3], [[1, 2], [3]], "four", None, [None] * 4, 5])
def test_what_has_not_the_numbers_goes_to_the_serving_which_names_the_shape(x: Any) -> None:
    with pytest.raises(BadInput, match=r"inhomogeneous|float32 of shape \(2, 2\)"):
        InputFormat(ONE).arrange(arrange(x, ONE))


def a_contract(shape: tuple[int, ...], dtype: str = "float32") -> Contract:
    return Contract(inputs=(Tensor(name="x", shape=shape, dtype=dtype),), outputs=PAIR.outputs)


@pytest.mark.parametrize(
    ("contract", "x", "taken"),
    [
        (a_contract((1, 2), "string"), ["rose", "größer"], [[b"rose", "größer".encode()]]),
        (a_contract((1,), "string"), "rose", [b"rose"]),
        (a_contract((1, 3), "int64"), [1, 2, 2**40], [[1, 2, 2**40]]),
        (a_contract((1, 2), "bool"), [True, False], [[True, False]]),
        (a_contract((1, -1, 2)), [1, 2, 3, 4, 5, 6], [[[1, 2], [3, 4], [5, 6]]]),
        (a_contract((1, -1, 2)), [[[1, 2]]], [[[1, 2]]]),
        (a_contract((4,)), [1, 2, 3, 4], [[1, 2, 3, 4]]),
    ],
)
def test_inputs_of_every_type_and_of_free_sizes_are_taken(contract: Contract, x: Any, taken: list[Any]) -> None:
    ((array,), batched) = InputFormat(contract).arrange(arrange(x, contract))
    assert array.tolist() == taken
    assert not batched


def test_outputs_are_real_numbers_or_texts_and_may_be_empty() -> None:
    outputs = (
        Tensor(name="scores", shape=(1, 2), dtype="uint8", scale=0.5, zero_point=128),
        Tensor(name="boxes", shape=(-1, 4)),
        Tensor(name="names", shape=(1, 2), dtype="string"),
        Tensor(name="count", shape=(1,), dtype="int64"),
    )
    contract = Contract(inputs=PAIR.inputs, outputs=outputs)
    values = (
        np.array([128, 130], np.uint8), np.zeros((0, 4), np.float32),
        np.array([b"rose", b"\xff"], object), np.array(2**40),
    )  # fmt: skip
    prediction = Prediction(values[0], values, None, None, None, "1.0.0", "uint8", 1, form=AnswerFormat(contract))
    fields = response_fields(prediction)
    assert fields["outputs"] == ([0.0, 1.0], [], ["rose", "\ufffd"], 2**40)
    response = InferenceResponse(device="pi-1", model="m", **fields)
    assert json.loads(response.to_line())["outputs"] == [[0.0, 1.0], [], ["rose", "\ufffd"], 2**40]


def test_an_answer_is_told_in_the_words_of_its_task() -> None:
    outputs = tuple(
        Tensor(name=role, shape=shape, role=role) for role, shape in {"boxes": (1, 2, 4), "scores": (1, 2)}.items()
    )
    contract = Contract(inputs=PAIR.inputs, outputs=outputs, task=TaskDeclaration(name="detection", form="boxes"))
    values = (np.array([[0, 0, 1, 1], [0, 0, 0.123456, 1]], np.float32), np.array([0.1, 0.9], np.float32))
    prediction = Prediction(values[0], values, None, None, None, "1.0.0", "float32", 1, form=AnswerFormat(contract))
    response = InferenceResponse(device="pi-1", model="m", **response_fields(prediction))
    said = json.loads(response.to_line())["answer"]
    assert said == {"boxes": [[0.0, 0.0, 0.1235, 1.0]], "classes": [0], "scores": [0.9]}


# --- where an answer goes


@pytest.mark.parametrize("topic", [OUTPUT, f"{OUTPUT}/desk", "elsewhere", "fleets/of/others", "/fleet/v1", "a" * 256])
def test_an_answer_may_go_to_the_output_below_it_and_out_of_the_fleet(topic: str) -> None:
    assert response_topic(ReplyTo(topic), OUTPUT, "fleet") == topic


@pytest.mark.parametrize(
    "topic",
    [
        "fleet",
        "fleet/v1/models/digits/desired",
        f"fleet/v1/chunks/{'a' * 64}",
        INPUT,
        f"{OUTPUT}/",
        f"{OUTPUT}/a/b",
        f"{OUTPUT}s",
        "fleet/v1/devices/pi-1/digits/status",
        "fleet/v1/devices/pi-2/digits/output",
        "",
        "a/#",
        "+/a",
        "$SYS/a",
        "a\nb",
        "a\0b",
        "a" * 257,
        "\ud800",
    ],
)
def test_an_answer_goes_nowhere_else(topic: str) -> None:
    with pytest.raises(BadInput):
        response_topic(ReplyTo(topic), OUTPUT, "fleet")


def test_a_correlation_is_bounded() -> None:
    assert response_topic(ReplyTo("a", bytes(1_024)), OUTPUT, "fleet") == "a"
    with pytest.raises(BadInput, match=r"1,?024"):
        response_topic(ReplyTo("a", bytes(1_025)), OUTPUT, "fleet")


# --- answers


def an_answer(outputs: tuple[Any, ...]) -> InferenceResponse:
    whole = a_prediction()
    arrays = tuple(np.asarray(each) for each in outputs)
    said = response_fields(Prediction(arrays[0], arrays, 1, 0.7, "tulip", "1.0.0", whole.variant, 1))
    return InferenceResponse(id="a", device="pi-1", model="digits", **said)


def test_floats_have_four_digits_and_keep_their_nesting_and_whole_numbers_stay() -> None:
    answer = an_answer((np.array([[0.123456, 12345.6]], np.float32), np.array([7, 1234567])))
    assert json.loads(answer.to_line())["outputs"] == [[[0.1235, 12350.0]], [7, 1234567]]


def test_the_most_useful_keys_come_first_and_the_usual_answer_is_short() -> None:
    line = an_answer((np.random.default_rng(1).uniform(0, 1, 256).astype(np.float32),)).to_line()
    assert list(json.loads(line))[:6] == ["id", "label", "class", "confidence", "version", "variant"]
    assert len(line) < LINE_AIM_BYTES


def test_outputs_are_whole_up_to_a_limit_and_left_out_beyond_it() -> None:
    longest = np.full(OUTPUT_VALUES_MAX, -1.2345e-30, np.float32)
    line = an_answer((longest,)).to_line()
    assert len(line) < LINE_MAX_BYTES
    assert len(json.loads(line)["outputs"][0]) == OUTPUT_VALUES_MAX
    said = json.loads(an_answer((longest, np.zeros(1, np.float32))).to_line())
    assert (said["outputs_left_out"], said["label"], "outputs" in said) == (OUTPUT_VALUES_MAX + 1, "tulip", False)


def test_an_answer_is_read_as_it_was_written() -> None:
    answer = an_answer((np.zeros(3, np.float32),))
    assert InferenceResponse.from_line(answer.to_line()) == answer
    assert answer.class_ == 1


def test_an_answer_that_is_no_number_is_none() -> None:
    with pytest.raises(BadModel, match=r"1\.0\.0"):
        response_fields(a_prediction((0.1, np.nan, 0.2)))


# --- the worker


class Oracle:
    """Answers what it is told to, and waits where a test wants it to."""

    def __init__(self) -> None:
        self.contract: Contract | None = ONE
        self.preprocessing: Preprocessing | None = None
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.asked = queue.SimpleQueue[Any]()
        self.labels: list[tuple[int, Any]] = []
        self._count = 0

    def predict(self, x: Any) -> Prediction:
        self.asked.put(x)
        assert self.gate.wait(WITHIN_S)
        if self.failure:
            raise self.failure
        self._count += 1
        return a_prediction(number=self._count)

    def label(self, prediction: Prediction | int, truth: Any) -> bool:
        if truth == "weed":
            raise BadInput("'weed' is none of the model's labels")
        self.labels.append((prediction if isinstance(prediction, int) else prediction.id, truth))
        return True


class Room:
    """A worker, and what it published."""

    def __init__(self) -> None:
        self.oracle = Oracle()
        self.said = queue.SimpleQueue[tuple[str, Any, bytes]]()
        self.worker = RequestWorker(
            "pi-1", "digits", Topics(), RequestHandler("pi-1", "digits", self.oracle), self._say
        )
        self.worker.start()

    def _say(self, topic: str, payload: bytes, correlation: bytes) -> None:
        self.said.put((topic, json.loads(payload), correlation))

    def asks(self, question: dict[str, Any] | bytes, reply_to: ReplyTo | None = None) -> None:
        self.worker.submit(question if isinstance(question, bytes) else json.dumps(question).encode(), reply_to)

    def next(self) -> tuple[str, Any, bytes]:
        return self.said.get(timeout=WITHIN_S)

    def answer(self, question: dict[str, Any] | bytes) -> Any:
        self.asks(question)
        return self.next()[1]


@pytest.fixture
def room() -> Any:
    opened = Room()
    yield opened
    opened.oracle.gate.set()
    opened.worker.close()


X: Final = [1, 2, 3, 4]


def test_an_answer_goes_to_the_output_or_to_where_it_is_awaited(room: Room) -> None:
    room.asks({"id": 1, "x": X})
    room.asks({"id": 2, "x": X}, ReplyTo("desk", b"\0who"))
    room.asks({"id": 3, "x": X}, ReplyTo(INPUT, b"\0who"))
    assert [(topic, said["id"], known_by) for topic, said, known_by in (room.next(), room.next(), room.next())] == [
        (OUTPUT, 1, b""),
        ("desk", 2, b"\0who"),
        (OUTPUT, 3, b""),
    ]
    assert room.oracle.asked.qsize() == 2, "what could not be answered where it was awaited was not asked at all"


def test_a_label_counts_with_its_input_or_later_by_the_id_but_once(room: Room) -> None:
    assert room.answer({"x": X, "label": "rose"})["label_counted"] is True
    assert "label_counted" not in room.answer({"id": "b", "x": X})
    assert room.answer({"id": "b", "x": X})["id"] == "b"  # the same id again: the newer one is meant
    assert room.answer({"id": "b", "label": 2})["label_counted"] is True
    assert "waits for a label" in room.answer({"id": "b", "label": 2})["error"]
    assert room.oracle.labels == [(1, "rose"), (3, 2)]


@pytest.mark.parametrize("truth", [0.25, [1.5, 2.5], {"boxes": [[0, 0, 1, 1]], "classes": ["rose"]}, True, [[0, 1]]])
def test_a_label_may_be_what_the_task_takes(room: Room, truth: Any) -> None:
    assert room.answer({"x": X, "label": truth})["label_counted"] is True
    assert room.oracle.labels == [(1, truth)]


def test_a_label_that_the_model_does_not_know_spoils_nothing_and_can_be_put_right(room: Room) -> None:
    said = room.answer({"id": 1, "x": X, "label": "weed"})
    assert (said["label"], said["label_counted"], said["error_kind"]) == ("tulip", False, "bad_question")
    assert room.answer({"id": 1, "label": "weed"})["error"] == "'weed' is none of the model's labels"
    assert room.answer({"id": 1, "label": "rose"})["label_counted"] is True


def test_only_so_many_answers_are_remembered(room: Room) -> None:
    for number in range(REMEMBERED_MAX + 2):
        room.answer({"id": number, "x": X})
        room.oracle.asked.get()
    assert "older than the last 8,192" in room.answer({"id": 1, "label": 0})["error"]
    assert room.answer({"id": 2, "label": 0})["label_counted"] is True


@pytest.mark.parametrize(
    ("failure", "kind", "told"),
    [
        (BadModel("the runtime could not run it"), "failed", "the runtime could not run it"),
        (MissingPart("closed", hint="later"), "no_model", "closed (later)"),
        (BadInput("the input has the shape (3,)"), "bad_question", "the input has the shape (3,)"),
    ],
)
def test_a_failure_is_an_answer(room: Room, failure: FerryError, kind: str, told: str) -> None:
    room.oracle.failure = failure
    said = room.answer({"id": 1, "x": X})
    assert (said["id"], said["error_kind"], said["error"]) == (1, kind, told)


def test_before_the_first_version_the_asker_is_told_to_wait(room: Room) -> None:
    room.oracle.contract = None
    said = room.answer({"id": 1, "x": X})
    assert said["error_kind"] == "no_model"
    assert said["error"].startswith("no version of digits is installed on pi-1 yet (")


def test_a_fault_of_ours_costs_one_answer_and_not_the_next(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.oracle.failure = ZeroDivisionError("a fault")
    said = room.answer({"id": 1, "x": X})
    assert (said["id"], said["error_kind"]) == (1, "failed")
    assert said["error"] == "the device could not answer; its log says why"
    assert "ZeroDivisionError: a fault" in caplog.text
    room.oracle.failure = None
    assert room.answer({"id": 2, "x": X})["label"] == "tulip"


def test_of_too_many_the_oldest_are_rejected_and_submitting_never_waits(room: Room) -> None:
    room.oracle.gate.clear()
    room.asks({"id": 0, "x": X})
    room.oracle.asked.get(timeout=WITHIN_S)  # it is under way, and does not end
    more = 3 * WAITING_MAX
    for number in range(1, more + 1):
        room.asks({"id": number, "x": X}, ReplyTo("desk", b"%d" % number))
    assert room.worker.rejected == more - WAITING_MAX
    room.oracle.gate.set()
    said = [room.next() for _ in range(1 + 2 * WAITING_MAX)]
    late = [(each["id"], known_by) for _, each, known_by in said if each.get("error_kind") == "overloaded"]
    assert late == [(number, b"%d" % number) for number in range(WAITING_MAX + 1, 2 * WAITING_MAX + 1)]
    assert [each["id"] for _, each, _ in said if "class" in each] == [0, *range(more - WAITING_MAX + 1, more + 1)]
    assert all("ask less often" in each["error"] for _, each, _ in said if "error" in each)


def test_a_closed_worker_drops_what_waits(room: Room) -> None:
    room.oracle.gate.clear()
    room.asks({"id": 0, "x": X})
    room.oracle.asked.get(timeout=WITHIN_S)
    room.asks({"id": 1, "x": X})
    room.worker.close()  # waits for a moment only
    room.oracle.gate.set()
    assert room.next()[1]["id"] == 0
    assert room.oracle.asked.empty()


# --- the event router


def test_requests_go_to_their_worker_and_all_else_to_the_event_loop(room: Room) -> None:
    link, forwarded = RecordingLink(), list[LinkEvent]()
    router = EventRouter(forwarded.append)
    router.attach(link, [room.worker])
    status = Received("fleet/v1/devices/pi-1/digits/status", b"{}", retained=True)
    events: list[LinkEvent] = [Connected(), status, Disconnected("gone"), Connected()]
    for event in events:
        router.route(event)
    assert forwarded == events
    assert link.subscribed == {INPUT: 0}
    router.route(Received(INPUT, b'{"id":1,"x":[1,2,3,4]}', retained=True))  # would be answered at each connection
    router.route(Received(INPUT, b"", retained=True))
    router.route(Received(INPUT, b'{"id":2,"x":[1,2,3,4]}', False, ReplyTo("desk", b"who")))
    assert room.next()[1]["id"] == 2
    assert forwarded == events


def test_a_device_where_nothing_is_set_listens_to_no_questions() -> None:
    link, forwarded = RecordingLink(), list[LinkEvent]()
    router = EventRouter(forwarded.append)
    router.attach(link, [])
    asked_for_nothing = Received(INPUT, b"?", retained=False)
    for event in (Connected(), asked_for_nothing):
        router.route(event)
    assert link.subscribed == {}
    assert forwarded == [Connected(), asked_for_nothing]

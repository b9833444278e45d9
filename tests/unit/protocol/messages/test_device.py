"""Messages are one short line, useful keys first, for older and newer readers."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from protocol.errors import BadInput, ContractDiffers
from protocol.messages.base import TEXT_MAX, Line
from protocol.messages.contract import Contract, Tensor
from protocol.messages.device import WANTS_MAX, Feedback, Outcome, Presence, Status, Wants
from protocol.messages.manifest import Manifest
from protocol.topics import LINE_AIM_BYTES, LINE_MAX_BYTES
from tests.builders import (
    NOON,
    a_contract,
    a_feedback,
    a_hash,
    a_manifest,
    a_presence,
    a_status,
    a_variant,
    a_wants,
    an_outcome,
)

EVERY = [a_presence(), a_status(reason='ü " \n \u2028'), a_feedback(), an_outcome(), a_wants(), a_manifest()]


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_wire_as_one_line(message: Line) -> None:
    line = message.to_line()
    assert b"\n" not in line
    assert type(message).from_line(line) == message


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_fields_of_a_newer_writer_pass(message: Line) -> None:
    newer = json.loads(message.to_line()) | {"added_in_2031": {"deep": [1, 2]}}
    assert type(message).from_line(json.dumps(newer).encode()) == message


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_another_major_is_refused_by_its_number(message: Line) -> None:
    newer = json.loads(message.to_line()) | {"v": 2}
    with pytest.raises(BadInput, match=r"\b2\b.*\b1\b"):
        type(message).from_line(json.dumps(newer).encode())


def test_another_major_is_refused_by_its_number_even_when_nothing_else_of_it_is_understood() -> None:
    with pytest.raises(BadInput, match=r"status\b.*\b7\b"):
        Status.from_line(b'{"v":7,"wholly":"different"}')


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"null", b"\xff", b'{"v":1}', b"[" * 16_000, b'{"v":"x"}'])
def test_what_is_no_message_is_refused_in_few_words(line: bytes) -> None:
    for message in (Presence, Status, Feedback, Outcome, Wants):
        with pytest.raises(BadInput, match=f"{message.__name__.lower()}: ") as refusal:
            message.from_line(line)
        assert len(str(refusal.value)) < 350


def test_a_message_over_the_limit_is_not_parsed() -> None:
    with pytest.raises(BadInput, match=rf"\b{LINE_MAX_BYTES + 1}\b.*\b{LINE_MAX_BYTES}\b"):
        Status.from_line(b"{" * (LINE_MAX_BYTES + 1))


def test_the_most_useful_keys_of_a_status_come_first() -> None:
    status = a_status(
        "fetching",
        installed_version="1.0.0",
        latest_version="1.1.0",
        in_progress=True,
        update_percentage=40.0,
        reason="8 chunks",
    )
    assert list(json.loads(status.to_line()))[:6] == [
        "state",
        "installed_version",
        "latest_version",
        "in_progress",
        "update_percentage",
        "reason",
    ]


def test_a_full_list_of_wanted_chunks_stays_under_4_kb() -> None:
    wants = a_wants([a_hash(str(number)) for number in range(WANTS_MAX)], device="d" * 64, model="m" * 64)
    assert len(wants.to_line()) < LINE_AIM_BYTES
    with pytest.raises(BadInput, match="chunks"):
        Wants.from_line(json.dumps(wants.model_dump() | {"chunks": [a_hash()] * (WANTS_MAX + 1)}).encode())


def test_a_status_with_the_longest_reason_stays_under_4_kb() -> None:
    assert len(a_status(reason="€" * 10_000, device="d" * 64, model="m" * 64).to_line()) < LINE_AIM_BYTES


def test_a_reason_that_is_too_long_is_cut_and_not_refused() -> None:
    reason = a_status(reason="x" * 10_000).reason
    assert len(reason) == TEXT_MAX
    assert reason.endswith("x …")


def test_a_reason_with_bytes_that_are_no_text_can_still_be_sent() -> None:
    odd = b"model-\xff.tflite".decode(errors="surrogateescape")
    assert Status.from_line(a_status(reason=odd).to_line()).reason == "model-?.tflite"


def test_times_go_out_in_utc_and_come_back_the_same() -> None:
    at = datetime(2026, 6, 1, 14, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))
    status = a_status(at=at)
    assert json.loads(status.to_line())["at"] == "2026-06-01T12:00:00.123Z"
    assert Status.from_line(status.to_line()) == status


@pytest.mark.parametrize(
    "at", ["2026-06-01T12:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "noon"]
)
def test_a_time_without_a_zone_or_out_of_range_is_refused(at: str) -> None:
    status = json.loads(a_status().to_line()) | {"at": at}
    with pytest.raises(BadInput, match=r": at\b"):
        Status.from_line(json.dumps(status).encode())


def test_a_last_will_carries_no_time() -> None:
    will = a_presence(online=False, at=None)
    assert "at" not in json.loads(will.to_line())
    assert not Presence.from_line(will.to_line()).online


def test_absent_figures_are_left_out() -> None:
    assert "accuracy" not in json.loads(a_feedback().to_line())


@pytest.mark.parametrize(
    ("field", "value"), [("inferences", -1), ("correct", -1), ("accuracy", 1.1), ("device", "A"), ("version", "a/b")]
)
def test_a_window_of_feedback_that_cannot_be_is_refused(field: str, value: object) -> None:
    feedback = json.loads(a_feedback().to_line()) | {field: value}
    with pytest.raises(BadInput, match=rf": {field}\b"):
        Feedback.from_line(json.dumps(feedback).encode())


def test_a_message_cannot_be_changed_after_it_was_made() -> None:
    with pytest.raises(ValidationError) as refusal:
        a_status().reason = "another"
    assert refusal.value.errors()[0]["type"] == "frozen_instance"


def test_two_variants_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"variants .*same"):
        a_manifest(variants=[a_variant("int8"), a_variant("int8")])


def test_a_manifest_finds_its_variants_and_every_blob_it_needs() -> None:
    manifest = a_manifest()
    assert manifest.variant("int8") == manifest.variants[1]
    assert manifest.variant("float64") is None
    assert len(manifest.trees()) == 3


def test_a_manifest_of_a_thousand_classes_fits() -> None:
    manifest = a_manifest(labels=tuple(f"class number {number}" for number in range(1000)))
    assert Manifest.from_line(manifest.to_line(), max_bytes=65_536) == manifest


def test_a_successor_may_rename_tensors_but_not_reshape_them() -> None:
    contract = a_contract()
    renamed = Contract(
        inputs=tuple(tensor.model_copy(update={"name": "other"}) for tensor in contract.inputs),
        outputs=contract.outputs,
    )
    contract.check_successor(renamed)
    with pytest.raises(ContractDiffers, match=r"input 0 .*\b785\b"):
        contract.check_successor(a_contract(features=785))
    with pytest.raises(ContractDiffers, match=r"\b2 inputs .*\b1\b"):
        contract.check_successor(Contract(inputs=contract.inputs * 2, outputs=contract.outputs))
    int8 = Contract(inputs=contract.inputs, outputs=(Tensor(name="scores", shape=(1, 10), dtype="int8"),))
    with pytest.raises(ContractDiffers, match=r"output 0 .*int8") as refusal:
        contract.check_successor(int8)
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("shapes", "batch", "rows"),
    [
        (((1, 8), (1, 3)), 1, ((8,), (3,))),
        (((4, 8), (4, 3)), 4, ((8,), (3,))),  # a fixed batch
        (((1, 8), (-1, 2)), 1, ((8,), (-1, 2))),  # a free number of boxes
        (((1, 8), (0, 2)), 1, ((8,), (0, 2))),  # the same, as older publishers wrote it
        (((15_600,), (1, 521)), 1, ((15_600,), (521,))),  # a waveform without a batch
        (((4,), (4,)), 1, ((4,), (4,))),
        (((128, 2), (128, 2)), 1, ((128, 2), (128, 2))),
        (((), ()), 1, ((), ())),
    ],
)
def test_a_row_is_a_tensor_without_the_batch(
    shapes: tuple[tuple[int, ...], ...], batch: int, rows: tuple[tuple[int, ...], ...]
) -> None:
    tensors = [Tensor(name="t", shape=shape) for shape in shapes]
    contract = Contract(inputs=tuple(tensors[:1]), outputs=tuple(tensors[1:]))
    assert contract.batch == batch
    assert tuple(contract.row_shape(tensor) for tensor in tensors) == rows


def test_the_time_of_the_builders_is_noon() -> None:
    assert a_status().at == NOON

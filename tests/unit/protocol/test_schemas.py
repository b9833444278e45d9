"""The documents in docs/ are up to date, and real messages are valid by them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from protocol.messages.base import Line
from protocol.messages.device import Status
from protocol.messages.golden_index import GoldenIndex, Noise
from protocol.messages.inference import InferenceRequest
from protocol.schemas import DOCS, MESSAGES, documents, schema_of, write
from protocol.topics import TABLE, Topics
from protocol.trust.bundle import unpack
from tests.builders import (
    a_bundle,
    a_feedback,
    a_hash,
    a_manifest,
    a_plan,
    a_presence,
    a_rule,
    a_status,
    a_wants,
    an_answer,
    an_outcome,
)

EXAMPLES: dict[str, Line] = {
    "bundle": unpack(a_bundle()[1]),
    "plan": a_plan(rules=[a_rule("1.1.0", percent=12.5, groups=("canary",)), a_rule("1.0.0")], urgency="urgent"),
    "manifest": a_manifest(),
    "presence": a_presence(models=("digits",)),
    "status": a_status("deferred", reason="battery 12 % is under 30 %", update_percentage=4.5),
    "feedback": a_feedback(classes={"3": 90, "7": 10}, accuracy=0.9, labelled=10, correct=9),
    "outcome": an_outcome("rejected", reason="agreement 0.31 is under 0.80"),
    "wants": a_wants(),
    "inferencerequest": InferenceRequest(id="a", x=[[0.1, 0.2]], label=3),
    "inferenceresponse": an_answer(),
    "goldenindex": GoldenIndex(samples=8, noise=(Noise(dtype="uint8", high=255),), values_max=16_384),
}


@pytest.mark.parametrize("path", sorted(documents()))
def test_the_generated_documents_are_up_to_date(path: str) -> None:
    on_disk = (DOCS / path).read_text()
    assert on_disk == documents()[path], "type: python -m protocol.schemas"


def test_no_document_of_a_message_that_is_gone_lies_about() -> None:
    generated = {Path(path).name for path in documents() if path.startswith("schemas/")}
    assert {path.name for path in (DOCS / "schemas").iterdir()} == generated


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_what_we_send_fits_the_published_schema(message: type[Line]) -> None:
    schema = schema_of(message)
    Draft202012Validator.check_schema(schema)
    line = EXAMPLES[message.__name__.lower()].to_line()
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(json.loads(line))


def test_the_published_schema_lets_unknown_fields_pass_and_refuses_a_wrong_one() -> None:
    validator = Draft202012Validator(schema_of(Status))
    status: dict[str, Any] = json.loads(a_status().to_line())
    validator.validate(status | {"mood": "cheerful"})
    with pytest.raises(ValidationError, match="asleep"):
        validator.validate(status | {"state": "asleep"})


def test_the_topics_document_has_every_topic_and_points_nowhere_in_vain() -> None:
    document = json.loads(documents()["asyncapi.json"])
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {f"fleet/v1/{spec.pattern}" for spec in TABLE}
    for reference in references_in(document):
        where, _, inside = reference.partition("#")
        target: Any = json.loads((DOCS / where).read_text()) if where else document
        for step in inside.split("/")[1:]:
            target = target[step]
        assert target


def test_the_topics_document_speaks_of_the_topics_that_are_built() -> None:
    document = json.loads(documents()["asyncapi.json"])
    address = document["channels"]["chunks"]["address"]
    assert address.replace("{sha256}", a_hash()) == Topics().chunk(a_hash())
    assert document["operations"]["sendStatus"]["bindings"]["mqtt"] == {
        "qos": 1,
        "retain": True,
        "bindingVersion": "0.2.0",
    }


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    assert len(write(tmp_path)) == len(documents())
    (tmp_path / "schemas" / "plan.json").write_text("{}")
    assert write(tmp_path) == [tmp_path / "schemas" / "plan.json"]


def references_in(value: Any) -> list[str]:
    """Every `$ref` in a document."""
    if isinstance(value, dict):
        here = [value["$ref"]] if "$ref" in value else []
        return here + [reference for part in value.values() for reference in references_in(part)]
    return [reference for part in value for reference in references_in(part)] if isinstance(value, list) else []

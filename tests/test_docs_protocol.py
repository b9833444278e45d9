"""docs/PROTOCOL.md says what the programs do: tables, examples, numbers."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Final

import pytest
from pydantic import BaseModel

from device_client.mqtt_inference.request import CORRELATION_MAX_BYTES, REPLY_TOPIC_MAX
from device_client.mqtt_inference.request_handler import REMEMBERED_MAX
from device_client.mqtt_inference.request_worker import WAITING_MAX
from protocol.content.chunks import FANOUT
from protocol.feedback.aggregation import bucket, percentile_ms
from protocol.messages.base import TEXT_MAX, Line
from protocol.messages.device import WANTS_MAX, Feedback, Outcome, Presence, Status, Wants
from protocol.messages.inference import (
    OUTPUT_VALUES_MAX,
    REQUEST_MAX_BYTES,
    SHORT_VALUE_MAX,
    InferenceRequest,
    InferenceResponse,
)
from protocol.messages.manifest import BLOB_MAX_BYTES, CHUNK_BYTES, GOLDEN_MAX_BYTES, TREE_MAX_DEPTH, Manifest
from protocol.messages.plan import Plan, Rule, cohort
from protocol.mqtt.paho_link import PACKET_MAX_BYTES
from protocol.topics import BUNDLE_MAX_BYTES, CHUNK_MAX_BYTES, LINE_MAX_BYTES, TABLE
from protocol.trust.verification import verify
from publisher.core.rollout import plan_edits as planning
from publisher.core.rollout.audience import Audience
from tests.pages import PAGES, PROJECT, Fence, page

NOON: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
MESSAGES: Final[dict[str, type[Line]]] = {
    kind.__name__: kind
    for kind in (Plan, Manifest, Presence, Status, Outcome, Feedback, Wants, InferenceRequest, InferenceResponse)
}


def test_the_table_of_topics_is_the_one_that_programs_use() -> None:
    shown = page("docs/PROTOCOL.md").table("topic", "sender")
    assert shown == [
        [f"`{spec.pattern}`", spec.sender, spec.receiver, str(spec.qos), "yes" if spec.retained else "no",
         f"{spec.max_bytes:,}", spec.payload]
        for spec in TABLE
    ]  # fmt: skip


def examples() -> list[Fence]:
    return [fence for each in PAGES for fence in each.fences if fence.info.startswith("json ")]


@pytest.mark.parametrize("example", examples(), ids=lambda fence: f"{fence.page}-{fence.line}")
def test_every_example_of_a_message_is_one(example: Fence) -> None:
    kind = MESSAGES[example.info.removeprefix("json ")]
    line = _unfolded(example)
    message = kind.from_line(line.encode())
    given = json.loads(line)
    assert json.loads(message.to_line()).keys() >= given.keys(), "the example has a field that no message has"


def _unfolded(example: Fence) -> str:
    """The one line that stands on the wire; a page may fold it anywhere, also within a
    text.
    """
    return example.text.replace("\n", "")


def test_every_kind_of_message_has_an_example() -> None:
    assert {example.info.removeprefix("json ") for example in examples()} == set(MESSAGES)


def test_a_verifier_with_its_root_accepts_the_real_bundle() -> None:
    folder = PROJECT / "docs/examples"
    accepted = verify(
        (folder / "bundle.json").read_bytes(), model="digits", root=(folder / "root.json").read_bytes(), trusted={},
        now=NOON, clock_trusted=False,
    )  # fmt: skip
    assert (accepted.sequence, list(accepted.manifests)) == (3, ["1.2.0"])
    shown = next(example for example in examples() if example.info == "json Plan")
    assert accepted.plan == Plan.from_line(shown.text.encode()), "the plan on the page is the one in the bundle"


def test_the_cohorts_of_the_worked_example_are_computed() -> None:
    salt = "digits 1.1.0"
    rows = page("docs/PROTOCOL.md").table("device", "SHA-256 begins")
    assert len(rows) == 4
    for device, begins, stands, in_10, in_50 in rows:
        name = device.strip("`")
        assert hashlib.sha256(f"{salt}\0{name}".encode()).hexdigest()[:16] == begins.strip("`")
        assert f"{cohort(salt, name):.4f}" == stands
        for percent, shown in ((10, in_10), (50, in_50)):
            matches = Rule(version="1.1.0", percent=percent, salt=salt).matches(name, ())
            assert ("yes" if matches else "no") == shown
    assert f"With salt `{salt}`" in " ".join(page("docs/PROTOCOL.md").text.split())


def test_the_salt_on_the_page_is_the_one_that_the_publisher_writes() -> None:
    plan = planning.release(None, "digits", "1.1.0", Audience.parse("10%"), NOON, urgency="routine", spread_s=0)
    assert plan.rules[0].salt == "digits 1.1.0"


def test_the_buckets_of_the_worked_example_are_computed() -> None:
    unit_s = {"µs": 1e-6, "ms": 1e-3, "s": 1.0}
    for latency, number, middle_ms in page("docs/PROTOCOL.md").table("latency", "bucket"):
        value, unit = latency.split()
        index = bucket(float(value) * unit_s[unit])
        assert str(index) == number
        assert percentile_ms({index: 1}, 0.5) == pytest.approx(float(middle_ms), rel=1e-3)


def test_the_limits_are_those_of_the_code() -> None:
    shown = {what: int(most.replace(",", "")) for what, most in page("docs/PROTOCOL.md").table("what", "at most")}
    assert shown == {
        "bundle, bytes": BUNDLE_MAX_BYTES,
        "chunk, bytes": CHUNK_MAX_BYTES,
        "slice of a file, bytes": CHUNK_BYTES,
        "hashes in a list chunk": FANOUT,
        "depth of a tree": TREE_MAX_DEPTH,
        "any other line, bytes": LINE_MAX_BYTES,
        "an encoded file, bytes": BLOB_MAX_BYTES,
        "golden set, bytes": GOLDEN_MAX_BYTES,
        "reason, notes, forced: characters": TEXT_MAX,
        "rules in a plan": _longest(Plan, "rules"),
        "devices in a rule": _longest(Rule, "devices"),
        "groups in a rule": _longest(Rule, "groups"),
        "variants of a version": _longest(Manifest, "variants"),
        "labels": _longest(Manifest, "labels"),
        "hashes in wants": WANTS_MAX,
        "a request, bytes": REQUEST_MAX_BYTES,
        "id or label of a request: characters": SHORT_VALUE_MAX,
        "numbers in the outputs of a response": OUTPUT_VALUES_MAX,
        "response topic, characters": REPLY_TOPIC_MAX,
        "correlation data, bytes": CORRELATION_MAX_BYTES,
        "requests that wait for a model": WAITING_MAX,
        "predictions that a label may still come for": REMEMBERED_MAX,
        "an MQTT packet, bytes": PACKET_MAX_BYTES,
    }


def test_a_bundle_holds_about_as_many_versions_as_the_page_says() -> None:
    shown = next(example for example in examples() if example.info == "json Manifest")
    manifest = Manifest.from_line(shown.text.encode())
    variants = (*manifest.variants, manifest.variants[0].model_copy(update={"name": "float32"}))
    line = manifest.model_copy(update={"variants": variants}).to_line().decode()
    bundle_bytes = len((PROJECT / "docs/examples/bundle.json").read_bytes())
    more = (BUNDLE_MAX_BYTES - bundle_bytes) // len(json.dumps(line))
    assert 15 <= more + 1 <= 30
    assert "about 20 versions" in " ".join(page("docs/PROTOCOL.md").text.split())


def _longest(message: type[BaseModel], field: str) -> int:
    limits = [part.max_length for part in message.model_fields[field].metadata if hasattr(part, "max_length")]
    assert limits, f"{field} is not bounded"
    return int(limits[0])

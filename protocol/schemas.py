"""Writes what other programs need to speak with us: a JSON Schema per message, and an AsyncAPI document of the topics.

All of it is generated, from the models and the table of topics: `python -m protocol.schemas` rewrites `docs/`, and a
test fails when that was forgotten. Nothing is described here that is not described there.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from protocol.messages import base as wire
from protocol.messages.base import Line
from protocol.messages.device import Feedback, Outcome, Presence, Status, Wants
from protocol.messages.inference import InferenceRequest, InferenceResponse
from protocol.messages.manifest import Manifest
from protocol.messages.plan import Plan
from protocol.topics import MAJOR, TABLE, Kind, TopicSpec
from protocol.trust.bundle import Bundle

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MESSAGES: Final[tuple[type[Line], ...]] = (
    Bundle,
    Plan,
    Manifest,
    Presence,
    Status,
    Feedback,
    Outcome,
    Wants,
    InferenceRequest,
    InferenceResponse,
)
PAYLOADS: Final[dict[Kind, type[Line]]] = {
    Kind.DESIRED: Bundle,
    Kind.PRESENCE: Presence,
    Kind.STATUS: Status,
    Kind.FEEDBACK: Feedback,
    Kind.EVENT: Outcome,
    Kind.WANTS: Wants,
    Kind.INPUT: InferenceRequest,
    Kind.OUTPUT: InferenceResponse,
}
PARAMETERS: Final = {
    "model": "the name of a model: 1 to 64 of a-z, 0-9, '-' and '_'",
    "device": "the name of a device: 1 to 64 of a-z, 0-9, '-' and '_'",
    "sha256": "the SHA-256 of the payload in lower-case hex",
}


def documents() -> dict[str, str]:
    """Every generated file by its path under `docs/`."""
    files: dict[str, Any] = {f"schemas/{_file_name(message)}": schema_of(message) for message in MESSAGES}
    files["asyncapi.json"] = asyncapi()
    return {path: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for path, content in files.items()}


def schema_of(message: type[Line]) -> dict[str, Any]:
    """The JSON Schema of a message. Fields it does not name are allowed: newer writers send more."""
    return {"$schema": DIALECT, "$id": _file_name(message), **message.model_json_schema()}


def asyncapi() -> dict[str, Any]:
    """The topics as an AsyncAPI 3.0 document, told from the device's side."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "EdgeFerry on MQTT",
            "version": f"{wire.MAJOR}.0.0",
            "description": "The topics of one fleet, under the root `fleet`, which is a setting; told from the device's"
            " side. Everything but chunks is one line of JSON. Made by `python -m protocol.schemas`.",
        },
        "defaultContentType": "application/json",
        "channels": {spec.kind.value: _channel(spec) for spec in TABLE},
        "operations": {_verb(spec) + spec.kind.value.capitalize(): _operation(spec) for spec in TABLE},
        "components": {"messages": {spec.kind.value: _message(spec) for spec in TABLE}},
    }


def write(docs: Path = DOCS) -> list[Path]:
    """Write every document under `docs`; return those that changed."""
    changed = [(docs / path, text) for path, text in documents().items() if _read(docs / path) != text]
    for path, text in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [path for path, _ in changed]


def _channel(spec: TopicSpec) -> dict[str, Any]:
    names = [name for name in PARAMETERS if f"{{{name}}}" in spec.pattern]
    return {
        "address": f"fleet/{MAJOR}/{spec.pattern}",
        "description": f"From {spec.speaker} to {spec.listener}: {spec.payload}. At most {spec.max_bytes:,} bytes.",
        "parameters": {name: {"description": PARAMETERS[name]} for name in names},
        "messages": {spec.kind.value: {"$ref": f"#/components/messages/{spec.kind.value}"}},
    }


def _operation(spec: TopicSpec) -> dict[str, Any]:
    return {
        "action": _verb(spec),
        "channel": {"$ref": f"#/channels/{spec.kind.value}"},
        "messages": [{"$ref": f"#/channels/{spec.kind.value}/messages/{spec.kind.value}"}],
        "bindings": {"mqtt": {"qos": spec.qos, "retain": spec.retained, "bindingVersion": "0.2.0"}},
    }


def _message(spec: TopicSpec) -> dict[str, Any]:
    described: dict[str, Any] = {"name": spec.kind.value, "summary": spec.payload}
    if spec.kind is Kind.CHUNK:
        return described | {"contentType": "application/octet-stream"}
    return described | {"payload": {"$ref": f"schemas/{_file_name(PAYLOADS[spec.kind])}"}}


def _verb(spec: TopicSpec) -> str:
    return "send" if spec.speaker == "device" else "receive"


def _file_name(message: type[Line]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", message.__name__).lower() + ".json"


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    for written in write():
        sys.stdout.write(f"{written}\n")

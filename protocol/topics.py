"""The table of all topics, and how to build and parse them.

Levels are `[a-z0-9_-]`: NATS refuses dots, and RabbitMQ rewrites them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocol.errors import BadName

MAJOR: Final = "v1"
NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")
SHA256: Final = re.compile(r"[0-9a-f]{64}")
LINE_MAX_BYTES: Final = 16_384  # every message but bundles and chunks
LINE_AIM_BYTES: Final = 4_096
BUNDLE_MAX_BYTES: Final = 65_536
CHUNK_MAX_BYTES: Final = 65_536


class Kind(StrEnum):
    DESIRED = "desired"
    CHUNK = "chunks"
    PRESENCE = "presence"
    STATUS = "status"
    FEEDBACK = "feedback"
    EVENT = "event"
    WANTS = "wants"
    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    kind: Kind
    pattern: str
    sender: str
    receiver: str
    qos: int
    retained: bool
    max_bytes: int
    payload: str


TABLE: Final = (
    TopicSpec(Kind.DESIRED, "models/{model}/desired", "publisher", "device", 1, True, BUNDLE_MAX_BYTES,
              "the signed bundle: metadata, plan, manifests"),
    TopicSpec(Kind.CHUNK, "chunks/{sha256}", "publisher", "device", 1, True, CHUNK_MAX_BYTES,
              "bytes whose SHA-256 is the last level of the topic"),
    TopicSpec(Kind.PRESENCE, "devices/{device}/presence", "device", "anyone", 1, True, LINE_MAX_BYTES,
              "Presence; also the last will"),
    TopicSpec(Kind.STATUS, "devices/{device}/{model}/status", "device", "anyone", 1, True, LINE_MAX_BYTES, "Status"),
    TopicSpec(Kind.FEEDBACK, "devices/{device}/{model}/feedback", "device", "anyone", 1, False, LINE_MAX_BYTES,
              "Feedback: one window of inferences"),
    TopicSpec(Kind.EVENT, "devices/{device}/{model}/event", "device", "anyone", 1, False, LINE_MAX_BYTES,
              "Outcome: something final, with its evidence"),
    TopicSpec(Kind.WANTS, "devices/{device}/{model}/wants", "device", "publisher", 1, False, LINE_MAX_BYTES,
              "Wants: chunks that the broker does not have"),
    TopicSpec(Kind.INPUT, "devices/{device}/{model}/input", "application", "device", 0, False, CHUNK_MAX_BYTES,
              "InferenceRequest: one input, or a label for an earlier one; where `mqtt_inference` is set"),
    TopicSpec(Kind.OUTPUT, "devices/{device}/{model}/output", "device", "application", 0, False, LINE_MAX_BYTES,
              "InferenceResponse"),
)  # fmt: skip
SPECS: Final = {spec.kind: spec for spec in TABLE}


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed topic; parts that its kind does not have are empty."""

    kind: Kind
    model: str = ""
    device: str = ""
    sha256: str = ""


def check_name(name: str, what: str) -> str:
    """Return `name` if it is valid as a topic level; BadName about `what` if not."""
    if not NAME.fullmatch(name):
        raise BadName(f"{what} {name!r} cannot be part of a topic", hint="use 1 to 64 of a-z, 0-9, '-' and '_'")
    return name


class Topics:
    """Builds and parses the topics under one root (default `fleet`)."""

    def __init__(self, root: str = "fleet") -> None:
        self.root = check_name(root, "topic root")
        self._prefix = f"{root}/{MAJOR}/"

    def desired(self, model: str) -> str:
        return f"{self._prefix}models/{check_name(model, 'model')}/desired"

    def chunk(self, sha256: str) -> str:
        """`sha256`: of the chunk, 64 lower-case hex digits."""
        if not SHA256.fullmatch(sha256):
            raise BadName(f"{sha256[:80]!r} is not a SHA-256 in lower-case hex")
        return f"{self._prefix}chunks/{sha256}"

    def presence(self, device: str) -> str:
        return f"{self._prefix}devices/{check_name(device, 'device')}/presence"

    def of_device(self, kind: Kind, device: str, model: str) -> str:
        return f"{self._prefix}devices/{check_name(device, 'device')}/{check_name(model, 'model')}/{kind.value}"

    def of_every_device(self, kind: Kind) -> str:
        """The wildcard for observers; not for chunks, as they overflow its queue."""
        if kind is Kind.PRESENCE:
            return f"{self._prefix}devices/+/presence"
        return f"{self._prefix}devices/+/+/{kind.value}"

    def parse(self, topic: str) -> Address | None:
        """Parse a topic; None if it is not in the table."""
        if not topic.startswith(self._prefix):
            return None
        match topic[len(self._prefix) :].split("/"):
            case ["models", model, "desired"] if NAME.fullmatch(model):
                return Address(Kind.DESIRED, model=model)
            case ["chunks", sha256] if SHA256.fullmatch(sha256):
                return Address(Kind.CHUNK, sha256=sha256)
            case ["devices", device, "presence"] if NAME.fullmatch(device):
                return Address(Kind.PRESENCE, device=device)
            case ["devices", device, model, kind] if (
                kind in _DEVICE_KINDS and NAME.fullmatch(device) and NAME.fullmatch(model)
            ):
                return Address(Kind(kind), device=device, model=model)
        return None


_DEVICE_KINDS: Final = {spec.kind.value for spec in TABLE if spec.pattern.startswith("devices/{device}/{model}/")}

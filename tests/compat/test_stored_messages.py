"""Messages, a bundle and device states of an earlier commit, parsed by today's code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from device_client.core.state import Device, Phase
from protocol.messages.base import Line
from protocol.messages.device import Feedback, Outcome, Presence, Status
from protocol.trust.verification import verify

KINDS: dict[str, type[Line]] = {"status": Status, "feedback": Feedback, "event": Outcome, "presence": Presence}
SEEN = {Phase.FETCHING, Phase.PROVING, Phase.SHADOWING, Phase.PROBATION, Phase.COMMITTED}


@pytest.mark.parametrize("kind", KINDS)
def test_each_message_means_what_it_meant(pair: Path, kind: str) -> None:
    lines = (pair / "messages" / f"{kind}.jsonl").read_bytes().splitlines()
    assert lines
    for line in lines:
        assert json.loads(KINDS[kind].from_line(line).to_line()) == json.loads(line)


def test_the_events_tell_of_two_adoptions_and_one_rejection(pair: Path) -> None:
    lines = (pair / "messages" / "event.jsonl").read_bytes().splitlines()
    outcomes = [Outcome.from_line(line) for line in lines]
    assert [(outcome.version, outcome.outcome) for outcome in outcomes] == [
        ("0.9.0", "adopted"),
        ("0.9.1", "rejected"),
        ("1.0.0", "adopted"),
    ]


def test_the_bundle_is_trusted_with_the_devices_own_root(pair: Path) -> None:
    bundle = (pair / "messages" / "desired.json").read_bytes()
    root = (pair / "pi-1" / "root.json").read_bytes()
    line = (pair / "messages" / "status.jsonl").read_bytes().splitlines()[-1]
    then = Status.from_line(line).at
    accepted = verify(bundle, model="pumps", root=root, trusted={}, now=then, clock_trusted=True)
    assert accepted.plan.versions() == ("1.0.0",)
    assert {variant.name for variant in accepted.manifests["1.0.0"].variants} == {"float32", "int8"}


def files_of(stored: dict[str, Any]) -> set[str]:
    """The hashes of what is installed and of what is on its way."""
    files = {stored[place]["variant"]["sha256"] for place in ("live", "previous", "target") if stored[place]}
    return files | {stored["target"]["manifest"]["golden"]["sha256"]} if stored["target"] else files


def test_the_state_of_each_phase_is_remembered_as_it_was(pair: Path) -> None:
    lines = (pair / "states.jsonl").read_text().splitlines()
    phases = set()
    for line in lines:
        stored, device = json.loads(line), Device.model_validate_json(line)
        phases.add(device.phase)
        assert (device.phase.value, device.reason) == (stored["phase"], stored["reason"])
        assert [each.version for each in device.installed()] == [
            stored[place]["manifest"]["version"] for place in ("live", "previous", "behind") if stored[place]
        ]
        assert set(device.files()) == files_of(stored)
        assert [refusal.version for refusal in device.refusals] == [each["version"] for each in stored["refusals"]]
        assert Device.model_validate_json(device.model_dump_json()) == device
    assert phases >= SEEN

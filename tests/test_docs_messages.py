"""docs/MESSAGES.md and docs/EXIT_CODES.md say what the programs say."""

from __future__ import annotations

import re
from typing import Final

from protocol.errors import FerryError
from tests.messages_page import COMMAND, KINDS, PAGE, ROOMS, messages, messages_page
from tests.pages import PROJECT, page

SUBJECTS: Final = (
    "Broker", "Waiting for an update", "Proof and trial", "Signatures", "Disk and files", "Settings and applications",
)  # fmt: skip


def test_the_page_is_up_to_date() -> None:
    assert page(PAGE).text == messages_page(), f"type: {COMMAND}"


def test_every_class_of_error_that_is_used_has_its_messages() -> None:
    found = messages()
    assert {name for name, texts in found.items() if not texts} == {
        "Untrusted", "BrokerTrouble", "ChunkDamaged", "GateFailed",
    }, "these are for catching, or put their message together elsewhere"  # fmt: skip
    assert sum(map(len, found.values())) > 200


def test_the_messages_of_the_troubleshooting_tables_are_said_by_the_code() -> None:
    source = "".join(path.read_text() for room in ROOMS for path in (PROJECT / room).rglob("*.py"))
    fragments = [
        fragment
        for subject in SUBJECTS
        for row in page(PAGE).under(subject)
        for fragment in re.findall(r"`([^`]+)`", row[0])
    ]
    assert len(fragments) > 20
    # put together from their parts
    words = {"is over": '"over"', "is under": '"under"', "while opening the file": '"opening the file"'}
    for fragment in fragments:
        assert words.get(fragment, fragment) in source, fragment


def test_the_exit_codes_are_those_of_the_tree_of_errors() -> None:
    shown = {name: int(code) for code, name, _ in page("docs/EXIT_CODES.md").table("code", "error") if name}
    kinds: list[type[FerryError]] = [FerryError, *FerryError.__subclasses__()]
    assert shown == {kind.__name__: kind.exit_code for kind in kinds}
    assert {kind.exit_code for kind in KINDS.values()} == set(shown.values())

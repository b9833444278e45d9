"""Every command on the pages is one: it is given to the program's own parser. Links
lead somewhere.

The road that README tells by hand is walked for real in tests/integration/test_docs.py.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any, Final

import pytest

from device_client.cli import make_group as make_device_group
from publisher.cli import make_group
from tests.pages import PAGES, PROJECT, Fence, Page, page

PROGRAMS: Final[dict[str, Any]] = {
    "publisher": make_group(),
    "device-client": make_device_group(),
}
NOT_TRIED: Final = {
    ".": "it changes the reader's own shell",
    "export": "it changes the reader's own shell",
    "sudo": "it changes the reader's system",
    "scp": "it needs another machine",
    "pip": "it installs; scripts/test has installed the same package",
    "mosquitto_sub": "it is mosquitto's own; it runs in tests/integration/test_docs.py",
    "mosquitto_pub": "it is mosquitto's own; it runs in tests/integration/test_device_questions.py",
    "mosquitto_rr": "it is mosquitto's own; it runs in tests/integration/test_device_questions.py",
    "flock": "it is util-linux's own; it runs in tests/integration/test_version_files.py",
    "python": "it runs in tests/integration/test_docs.py",
}
"""Programs whose lines are shown and not tried here, each with the reason."""
WIDTH: Final = 78  # of a terminal of 80, for a block is indented there; README is read there first


def lines() -> Iterator[tuple[str, list[str]]]:
    """Where a command stands, and its words."""
    for each in PAGES:
        for fence in each.fences:
            if fence.info.split(" ")[0] == "sh":
                for number, line in enumerate(fence.text.replace("\\\n", " ").splitlines(), fence.line + 1):
                    if words := shlex.split(line, comments=True):
                        yield f"{each.name}:{number}", words


@pytest.mark.parametrize(
    ("where", "words"), list(lines()), ids=lambda shown: shown if isinstance(shown, str) else shown[0]
)
def test_every_command_on_a_page_would_run(where: str, words: list[str]) -> None:
    program, *arguments = words
    if program.startswith("scripts/"):
        text = (PROJECT / program).read_text()
        assert (PROJECT / program).stat().st_mode & 0o111, where
        assert all(argument in text for argument in arguments), where
    elif program in PROGRAMS:
        _parse(PROGRAMS[program], program, arguments)
    else:
        assert program in NOT_TRIED, f"{where}: try {program}, or give a reason why not"


def _parse(command: Any, name: str, arguments: list[str]) -> None:
    """Have click read the words down to the last command; it raises UsageError for what
    it does not know.
    """
    context = command.make_context(name, list(arguments))
    if hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]  # where click keeps the name of the command below
        _parse(command.commands[rest[0]], rest[0], rest[1:])


def spans() -> Iterator[tuple[str, str]]:
    """Commands in the running text, such as `publisher rollout show MODEL`; names in
    capitals stand for something.
    """
    for each in PAGES:
        for span in re.findall(r"`((?:publisher|device-client) [^`]+)`", each.prose):
            for alternative in _spelled_out(span):
                yield each.name, alternative


def _spelled_out(span: str) -> list[str]:
    """`rollout show|hold` is two commands."""
    choice = re.search(r"\S+\|\S+", span)
    return [span.replace(choice[0], each) for each in choice[0].split("|")] if choice else [span]


@pytest.mark.parametrize(("where", "span"), list(spans()))
def test_every_command_in_the_text_exists_with_its_options(where: str, span: str) -> None:
    program, *words = shlex.split(span)
    command = PROGRAMS[program]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands"), f"{where}: {span} names no command"
    command = getattr(command, "command", command)  # a lazy one has no options
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= known, where


@pytest.mark.parametrize("each", PAGES, ids=lambda each: each.name)
def test_every_link_leads_somewhere(each: Page) -> None:
    for link in each.links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (each.path.parent / name).resolve() if name else each.path
        assert target.exists(), link
        if anchor:
            assert anchor in Page(target).anchors, link


def fences() -> list[Fence]:
    return [fence for each in PAGES for fence in each.fences]


@pytest.mark.parametrize("fence", fences(), ids=lambda fence: f"{fence.page}:{fence.line}")
def test_a_block_is_no_wider_than_readers_see(fence: Fence) -> None:
    """A block is not folded; prose is. README is read at 80 columns, the other pages in
    a browser.
    """
    widest = max(len(line) for line in fence.text.splitlines())
    assert widest <= (WIDTH if fence.page == "README.md" else 120)


def test_readme_is_a_page_or_two() -> None:
    text = page("README.md").text
    assert text.count("\n") < 180
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("each", PAGES, ids=lambda each: each.name)
def test_prose_is_wrapped_at_88_columns(each: Page) -> None:
    """Tables, pictures and what cannot be broken, such as a link or a quotation, may be
    wider.
    """
    lines = [line for line in each.prose.splitlines() if not line.startswith(("|", "!["))]
    assert [line for line in lines if len(line) > 88 and " " in re.sub("`[^`]+`", "", line.lstrip("*- "))] == []


def test_a_decision_tells_context_options_outcome_and_what_it_costs() -> None:
    decisions = [each for each in PAGES if each.name.startswith("docs/decisions/")]
    numbers = [int(each.path.name[:4]) for each in decisions]
    assert numbers == list(range(1, len(numbers) + 1))
    for each, number in zip(decisions, numbers, strict=True):
        assert each.headings[0].startswith(f"{number}. ")
        assert each.headings[1:] == ["Context", "Options", "Outcome", "Negative consequences"], each.name

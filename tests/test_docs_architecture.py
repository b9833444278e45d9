"""docs/ARCHITECTURE.md agrees with the tree, with the layers in pyproject.toml, and
with the phases of the core.
"""

from __future__ import annotations

import re
import tomllib

from device_client.core.state import Phase
from tests.pages import PROJECT, page

PAGE = page("docs/ARCHITECTURE.md")
ROOMS = ("protocol", "device_client", "publisher")


def test_the_table_of_phases_is_complete_and_names_only_phases() -> None:
    rows = PAGE.table("phase", "what happens")
    known = [f"`{phase.value}`" for phase in Phase]
    assert sorted(row[0] for row in rows) == sorted(known)
    assert {name for row in rows for name in row[2].split(", ")} <= set(known)


def test_every_folder_is_in_the_tree_and_every_row_is_a_folder() -> None:
    tree = PAGE.text.partition("## The tree")[2].partition("## Layers")[0]
    shown = {name.rstrip("/") for name in re.findall(r"`((?:protocol|device_client|publisher)/[\w/]*)`", tree)}
    shown |= {f"device_client/adapters/sensors/{name}" for name in re.findall(r"`(probes)/`", tree)}
    shown |= {f"publisher/operations/{name}" for name in re.findall(r"`(release|announce|serve)/`", tree)}
    folders = {
        folder.relative_to(PROJECT).as_posix()
        for room in ROOMS
        for folder in (PROJECT / room, *(PROJECT / room).rglob("*"))
        if (folder / "__init__.py").exists() and any(file.name != "__init__.py" for file in folder.glob("*.py"))
    }
    assert shown == folders


def test_the_layers_are_those_of_the_contracts() -> None:
    (fence,) = (fence for fence in PAGE.fences if fence.info == "text layers")
    shown = dict(line.split(": ", 1) for line in fence.text.replace("\n    ", " ").splitlines())
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {contract["containers"][0]: contract["layers"] for contract in contracts if contract["type"] == "layers"}
    assert shown == {room: re.sub(r"[()]", "", " > ".join(order)) for room, order in layers.items()}


def test_the_glossary_is_in_order() -> None:
    terms = [row[0] for row in PAGE.table("term", "means")]
    assert terms == sorted(terms)

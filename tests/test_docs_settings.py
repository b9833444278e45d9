"""docs/SETTINGS.md is what the generator writes, and the settings it shows are the ones
that a device reads.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from device_client.settings.loader import DeviceSettings, load
from device_client.settings.sections import OF_KIND, DelegateSection
from publisher.settings import DEFAULTS, KEYS, variable
from tests.generated import attribute_docstrings
from tests.pages import PAGES, page
from tests.settings_page import COMMAND, PAGE, SECTIONS, TITLES, settings_page

NOT_GIVEN = {"must be given", "not set"}


def test_the_page_is_up_to_date() -> None:
    assert page(PAGE).text == settings_page(), f"type: {COMMAND}"


def test_the_settings_of_the_publisher_are_all_told() -> None:
    rows = page(PAGE).table("flag", "environment")
    assert [(flag, env) for flag, env, *_ in rows] == [(f"`--{key}`", f"`{variable(key)}`") for key in KEYS]
    shown = {flag.strip("`-"): default.strip("`") for flag, _, default, _ in rows if default.startswith("`")}
    assert shown == DEFAULTS


def test_no_section_of_a_device_is_forgotten() -> None:
    top = {row[0].strip("`") for row in page(PAGE).under(TITLES[""])}
    assert top | SECTIONS.keys() - {"", "delegates"} == set(DeviceSettings.model_fields)


@pytest.mark.parametrize("section", SECTIONS.values(), ids=lambda section: section.__name__)
def test_every_setting_has_a_meaning(section: type) -> None:
    names = {name for name in section.__annotations__ if name not in SECTIONS or section is DelegateSection}
    assert names - {"model_config"} <= attribute_docstrings(section).keys() | SECTIONS.keys()


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_file_with_every_default_on_the_page_means_the_same_as_one_without(kind: str, tmp_path: Path) -> None:
    foreign = {key for other, keys in OF_KIND.items() if other != kind for key in keys}
    given, plain = tmp_path / "given.toml", tmp_path / "plain.toml"
    given.write_text("".join(_toml(name, kind, foreign) for name in SECTIONS if name != "delegates"))
    plain.write_text(f'device = "pi-1"\n[strategy]\nkind = "{kind}"\n[[models]]\nname = "digits"\n')
    assert load(given).model_dump() == load(plain).model_dump()


def _toml(name: str, kind: str, foreign: set[str]) -> str:
    """A section with the defaults that the page shows, and with what must be given."""
    shown = {row[0].strip("`"): row[2].strip("`") for row in page(PAGE).under(TITLES.get(name, f"`[{name}]`"))}
    shown |= {"device": '"pi-1"'} if name == "" else {"name": '"digits"'} if name == "models" else {}
    shown |= {"kind": f'"{kind}"'} if name == "strategy" else {}
    lines = [
        f"{key} = {value}\n" for key, value in shown.items() if value not in NOT_GIVEN | {"{}"} and key not in foreign
    ]
    return f"{'' if not name else '[[models]]' if name == 'models' else f'[{name}]'}\n{''.join(lines)}"


def test_the_settings_on_the_pages_are_settings(tmp_path: Path) -> None:
    found = [fence for each in PAGES for fence in each.fences if fence.info == "toml device.toml"]
    assert found
    for fence in found:
        file = tmp_path / "device.toml"
        file.write_text(f'device = "pi-1"\n{fence.text}')
        assert load(file).device == "pi-1"

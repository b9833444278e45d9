"""docs/OPERATIONS.md says what the programs do: exit codes, settings, lifetimes, messages; and its programs work."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from device_client.adapters.sensors.probe_settings import ProbeSettings
from device_client.core.policy import DownloadLimits, Thresholds, TrialLimits
from device_client.settings.loader import DeviceSettings, load
from device_client.settings.sections import FeedbackSection, ModelSection, StrategySection, TlsSection
from protocol.errors import FerryError, Untrusted
from protocol.messages.plan import Plan
from protocol.trust.authority import Authority
from protocol.trust.metadata_editor import Lifetimes
from protocol.trust.verification import verify
from publisher.adapters.registry import Registry
from publisher.core.release.gates import MAX_DROP
from publisher.core.rollout import plan_edits as planning
from publisher.operations.init import init
from publisher.settings import DEFAULTS, KEYS, variable
from tests.builders import a_manifest, a_plan
from tests.pages import PAGES, PROJECT, page


def test_the_exit_codes_are_those_of_the_tree_of_errors() -> None:
    told = {name: int(code) for code, name, _ in page("docs/OPERATIONS.md").table("code", "error") if name}
    kinds: list[type[FerryError]] = [FerryError, *FerryError.__subclasses__()]
    tree = {kind.__name__: kind.exit_code for kind in kinds}
    assert told == tree


def test_the_lifetimes_are_those_that_signatures_get() -> None:
    lifetimes = Lifetimes()
    for key, _, _, days in page("docs/OPERATIONS.md").table("key", "signs"):
        role = key.strip("`").removesuffix(".pem").replace("<model>", "digits")
        assert lifetimes.of(role) == timedelta(days=int(days)), role


def test_the_recipes_and_gates_are_those_that_come_along() -> None:
    text = page("docs/OPERATIONS.md").text
    recipes = {path.stem for path in (PROJECT / "publisher/recipes").glob("*.py")} - {"__init__"}
    told = re.search(r"The recipes that come along are ([^;]+);", text)
    assert told
    assert set(re.findall(r"`(\w+)`", told[1])) == recipes
    assert f"no more than {MAX_DROP * 100:g} points" in text
    assert f"`--max-accuracy-drop {MAX_DROP:g}`" in text


def test_the_settings_of_the_publisher_are_all_told() -> None:
    rows = page("docs/OPERATIONS.md").table("flag", "environment")
    assert [(flag, env) for flag, env, _ in rows] == [(f"`--{key}`", f"`{variable(key)}`") for key in KEYS]
    told = {flag.strip("`-"): default.strip("`") for flag, _, default in rows if default.startswith("`")}
    assert told == DEFAULTS


SECTIONS: Final[dict[str, type]] = {
    "Top of the file": DeviceSettings,
    "`[[models]]`": ModelSection,
    "`[strategy]`": StrategySection,
    "`[conditions]`": Thresholds,
    "`[probes]`": ProbeSettings,
    "`[download]`": DownloadLimits,
    "`[trial]`": TrialLimits,
    "`[feedback]`": FeedbackSection,
    "`[tls]`": TlsSection,
}


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_setting_of_a_device_is_told_with_its_default(heading: str) -> None:
    told = {key.strip("`"): default.strip("`") for key, default, _ in page("docs/OPERATIONS.md").under(heading)}
    assert told == dict(_settings(SECTIONS[heading]))


def test_no_section_of_a_device_is_forgotten() -> None:
    sections = {heading.strip("`[]") for heading in SECTIONS if heading.startswith("`")}
    fields = DeviceSettings.model_fields
    assert sections == {name for name, field in fields.items() if not _is_plain(field)}


def _settings(section: type) -> Iterator[tuple[str, str]]:
    if dataclasses.is_dataclass(section):
        yield from ((field.name, _as_toml(field.default)) for field in dataclasses.fields(section))
        return
    assert issubclass(section, BaseModel)
    for name, field in section.model_fields.items():
        if section is not DeviceSettings or _is_plain(field):
            yield name, _as_toml(field.default)


def _is_plain(field: FieldInfo) -> bool:
    """Whether it stands at the top of the file, not in a section of its own."""
    default = field.get_default(call_default_factory=True)
    return (
        not isinstance(default, BaseModel)
        and not dataclasses.is_dataclass(default)
        and default != (ModelSection(name="digits"),)
    )


def _as_toml(value: Any) -> str:
    if value is PydanticUndefined:
        return "must be given"
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if dataclasses.is_dataclass(value):
        return "{}"
    if isinstance(value, int | float):
        return str(int(value)) if value == int(value) else f"{value:g}"
    return json.dumps(list(value) if isinstance(value, tuple) else str(value))


def test_the_messages_of_the_troubleshooting_table_are_said_by_the_code() -> None:
    source = "".join(
        path.read_text()
        for room in ("protocol", "device_client", "publisher")
        for path in (PROJECT / room).rglob("*.py")
    )
    fragments = [
        fragment
        for row in page("docs/OPERATIONS.md").table("it says", "it means")
        for fragment in re.findall(r"`([^`]+)`", row[0])
    ]
    assert len(fragments) > 20
    # put together from their parts
    words = {"is over": '"over"', "is under": '"under"', "while opening the file": '"opening the file"'}
    for fragment in fragments:
        assert words.get(fragment, fragment) in source, fragment


def test_the_settings_on_the_pages_are_settings(tmp_path: Path) -> None:
    found = [fence for each in PAGES for fence in each.fences if fence.info == "toml device.toml"]
    for fence in found:
        file = tmp_path / "device.toml"
        file.write_text(f'device = "pi-1"\n{fence.text}')
        assert load(file).device == "pi-1"


def test_the_program_for_new_keys_is_followed_by_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = next(fence for fence in page("docs/OPERATIONS.md").fences if fence.info == "python rotate")
    init(Path("registry"), topic_root="fleet", now=datetime.now(UTC))
    root, trusted = _released(Path("registry")), dict[str, bytes]()
    for role in ("timestamp", "snapshot", "targets", "model-digits", "root"):
        exec(compile(program.text.replace('"timestamp"', f'"{role}"'), "OPERATIONS.md", "exec"), {})
        with Registry.open(Path("registry")) as registry:
            staged = registry.unannounced()
            assert [one.model for one in staged] == ["digits"], "the next command announces it"
            assert len(registry.keys.files(role)) == 1, "the old key is gone"
        accepted = verify(
            staged[0].bundle, model="digits", root=root, trusted=trusted, now=datetime.now(UTC), clock_trusted=True
        )
        trusted = accepted.trusted


def test_a_registry_from_an_old_backup_is_heard_after_as_many_edits_as_were_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    init(Path("registry"), topic_root="fleet", now=datetime.now(UTC))
    root = _released(Path("registry"))
    shutil.copytree("registry", "backup")
    trusted: dict[str, bytes] = {}
    for change in (planning.hold, planning.resume, planning.hold):
        bundle = _edited(Path("registry"), change)
        trusted = _heard(bundle, root, trusted)
    for _ in range(3):
        with pytest.raises(Untrusted) as refused:
            _heard(_edited(Path("backup"), planning.resume), root, trusted)
    assert "older than what was accepted before" in str(refused.value) or "mixed" in str(refused.value)
    assert _heard(_edited(Path("backup"), planning.resume), root, trusted)


def _heard(bundle: bytes, root: bytes, trusted: dict[str, bytes]) -> dict[str, bytes]:
    accepted = verify(bundle, model="digits", root=root, trusted=trusted, now=datetime.now(UTC), clock_trusted=True)
    return accepted.trusted


def _released(folder: Path) -> bytes:
    """Announce a first version; return the root that a device is enrolled with."""
    with Registry.open(folder) as registry, registry.lock():
        registry.keys.ensure("model-digits")
        root = Authority(registry.metadata(), registry.keys.signers).root
    _stage(folder, a_plan())
    return root


def _edited(folder: Path, change: Callable[[Plan, datetime], Plan]) -> bytes:
    """Edit the plan and return what is announced then."""
    with Registry.open(folder) as registry:
        plan = registry.plan("digits")
    assert plan
    return _stage(folder, change(plan, datetime.now(UTC)))


def _stage(folder: Path, plan: Plan) -> bytes:
    with Registry.open(folder) as registry, registry.lock():
        authority = Authority(registry.metadata(), registry.keys.signers)
        authority, bundle = authority.publish(plan, [a_manifest()], datetime.now(UTC))
        registry.mark_announced(registry.stage_bundle("digits", plan, bundle, authority.metadata))
    return bundle

"""docs/RELEASES.md, KEYS.md and BACKUPS.md say what the programs do: gates, lifetimes,
key rotation, recovery.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protocol.errors import Untrusted
from protocol.messages.plan import Plan
from protocol.trust.authority import Authority
from protocol.trust.metadata_editor import Lifetimes
from protocol.trust.verification import verify
from publisher.adapters.registry import Registry
from publisher.core.release.gates import MAX_DROP
from publisher.core.rollout import plan_edits as planning
from publisher.operations.init import init
from tests.builders import a_manifest, a_plan
from tests.pages import PROJECT, page


def test_the_lifetimes_are_those_that_signatures_get() -> None:
    lifetimes = Lifetimes()
    for key, _, _, days in page("docs/KEYS.md").table("key", "signs"):
        role = key.strip("`").removesuffix(".pem").replace("<model>", "digits")
        assert lifetimes.of(role) == timedelta(days=int(days)), role


def test_the_recipes_and_gates_are_those_that_come_along() -> None:
    text = " ".join(page("docs/RELEASES.md").text.split())
    recipes = {path.stem for path in (PROJECT / "publisher/recipes").glob("*.py")} - {"__init__"}
    shown = re.search(r"The bundled recipes are ([^;]+);", text)
    assert shown
    assert set(re.findall(r"`(\w+)`", shown[1])) == recipes
    assert f"no more than {MAX_DROP * 100:g} points" in text
    assert f"`--max-accuracy-drop {MAX_DROP:g}`" in text


def test_the_program_for_new_keys_is_followed_by_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = next(fence for fence in page("docs/KEYS.md").fences if fence.info == "python rotate")
    init(Path("registry"), topic_root="fleet", now=datetime.now(UTC))
    root, trusted = _released(Path("registry")), dict[str, bytes]()
    for role in ("timestamp", "snapshot", "targets", "model-digits", "root"):
        exec(compile(program.text.replace('"timestamp"', f'"{role}"'), "KEYS.md", "exec"), {})
        with Registry.open(Path("registry")) as registry:
            staged = registry.announcements.pending()
            assert [one.model for one in staged] == ["digits"], "the next command announces it"
            assert len(registry.keys.files(role)) == 1, "the old key is gone"
        accepted = verify(
            staged[0].bundle, model="digits", root=root, trusted=trusted, now=datetime.now(UTC), clock_trusted=True
        )
        trusted = accepted.trusted


def test_a_registry_from_an_old_backup_is_accepted_after_as_many_edits_as_were_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    init(Path("registry"), topic_root="fleet", now=datetime.now(UTC))
    root = _released(Path("registry"))
    shutil.copytree("registry", "backup")
    trusted: dict[str, bytes] = {}
    for change in (planning.hold, planning.resume, planning.hold):
        bundle = _edited(Path("registry"), change)
        trusted = _accepted(bundle, root, trusted)
    for _ in range(3):
        with pytest.raises(Untrusted) as refused:
            _accepted(_edited(Path("backup"), planning.resume), root, trusted)
    assert "older than what was accepted before" in str(refused.value) or "mixed" in str(refused.value)
    assert _accepted(_edited(Path("backup"), planning.resume), root, trusted)


def _accepted(bundle: bytes, root: bytes, trusted: dict[str, bytes]) -> dict[str, bytes]:
    accepted = verify(bundle, model="digits", root=root, trusted=trusted, now=datetime.now(UTC), clock_trusted=True)
    return accepted.trusted


def _released(folder: Path) -> bytes:
    """Announce a first version; return the root that a device is enrolled with."""
    with Registry.open(folder) as registry, registry.lock():
        registry.keys.ensure("model-digits")
        root = Authority(registry.announcements.metadata(), registry.keys.signers).root
    _stage(folder, a_plan())
    return root


def _edited(folder: Path, change: Callable[[Plan, datetime], Plan]) -> bytes:
    """Edit the plan and return what is announced then."""
    with Registry.open(folder) as registry:
        plan = registry.announcements.plan("digits")
    assert plan
    return _stage(folder, change(plan, datetime.now(UTC)))


def _stage(folder: Path, plan: Plan) -> bytes:
    with Registry.open(folder) as registry, registry.lock():
        authority = Authority(registry.announcements.metadata(), registry.keys.signers)
        authority, bundle = authority.publish(plan, [a_manifest()], datetime.now(UTC))
        registry.announcements.mark_announced(registry.announcements.stage("digits", plan, bundle, authority.metadata))
    return bundle

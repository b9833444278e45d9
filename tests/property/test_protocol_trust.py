"""Any edit of a bundle without a key gives the honest plan, or a clear refusal."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Untrusted
from protocol.trust.verification import verify
from tests.builders import NOON, a_bundle, a_plan

PLAN = a_plan()
AUTHORITY, BUNDLE = a_bundle(PLAN)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def believes_the_honest_plan_or_refuses(bundle: bytes) -> None:
    refusal: Untrusted | None = None
    believed = PLAN
    try:
        accepted = verify(bundle, model="digits", root=AUTHORITY.root, trusted={}, now=NOON, clock_trusted=True)
        believed = accepted.plan
    except Untrusted as untrusted:
        refusal = untrusted
    assert believed == PLAN
    assert refusal is None or (refusal.hint and len(str(refusal)) < 700)


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every part of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, part in inner for deeper in paths_in(part, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


@given(st.integers(0, len(BUNDLE) - 1), st.binary(min_size=0, max_size=3))
def test_bytes_changed_on_the_broker_change_no_plan(at: int, instead: bytes) -> None:
    believes_the_honest_plan_or_refuses(BUNDLE[:at] + instead + BUNDLE[at + 1 :])


@settings(max_examples=3 * settings().max_examples)
@given(st.data())
def test_any_part_of_the_metadata_replaced_by_anything_changes_no_plan(data: st.DataObject) -> None:
    parts = json.loads(BUNDLE)
    name = data.draw(st.sampled_from(sorted(parts["metadata"])))
    content = json.loads(parts["metadata"][name])
    path = data.draw(st.sampled_from(paths_in(content)))
    parts["metadata"][name] = json.dumps(replaced(content, path, data.draw(JSON)))
    believes_the_honest_plan_or_refuses(json.dumps(parts).encode())


@given(st.data())
def test_a_root_made_up_by_a_stranger_changes_no_plan(data: st.DataObject) -> None:
    parts = json.loads(BUNDLE)
    root = json.loads(AUTHORITY.root)
    root["signed"]["version"] = 2
    path = data.draw(st.sampled_from(paths_in(root)))
    parts["metadata"]["2.root.json"] = json.dumps(replaced(root, path, data.draw(JSON)))
    believes_the_honest_plan_or_refuses(json.dumps(parts).encode())


@given(JSON)
def test_any_json_at_all_is_refused(anything: Any) -> None:
    believes_the_honest_plan_or_refuses(json.dumps(anything).encode())

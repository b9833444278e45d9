"""Any message, name, plan or blob round-trips, and no input breaks the reader."""

from __future__ import annotations

import io
import string
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.content.chunks import check_shape, children, cut, leaf_count, name
from protocol.content.encodings import RAW, ZSTD, decode, encode_zstd
from protocol.errors import BadInput, BlobDamaged, Damaged
from protocol.messages.base import Line
from protocol.messages.device import Feedback, Outcome, Presence, Status, Wants
from protocol.messages.manifest import BLOB_MAX_BYTES, CHUNK_BYTES, Manifest, Tree
from protocol.messages.plan import Plan, cohort
from protocol.topics import Kind, Topics
from protocol.trust.bundle import Bundle
from tests.builders import a_hash, a_plan, a_rule, a_status

MESSAGES: list[type[Line]] = [Bundle, Plan, Manifest, Presence, Status, Feedback, Outcome, Wants]
names = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=64)
texts = st.text(st.characters(), max_size=600)  # odd characters and lone surrogates too
times = st.datetimes(timezones=st.timezones() | st.just(UTC))
groups = st.lists(names, max_size=3).map(tuple)


@given(reason=texts, device=names, model=names, percent=st.floats(0, 100))
def test_any_status_survives_the_wire(reason: str, device: str, model: str, percent: float) -> None:
    status = a_status(reason=reason, device=device, model=model, update_percentage=percent)
    line = status.to_line()
    assert b"\n" not in line
    assert Status.from_line(line) == status


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.timezones()))  # noqa: DTZ001  (hypothesis wants naive bounds)
def test_any_time_survives_the_wire(at: datetime) -> None:
    status = a_status(at=at)
    assert Status.from_line(status.to_line()) == status
    assert abs((status.at - at.astimezone(UTC)).total_seconds()) < 0.001


@given(st.sampled_from(MESSAGES), st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_bytes_at_all_break_a_reader(message: type[Line], line: bytes) -> None:
    refused = False
    try:
        message.from_line(line)
    except BadInput:
        refused = True
    assert refused


@given(names, names, st.sampled_from([Kind.STATUS, Kind.FEEDBACK, Kind.EVENT, Kind.WANTS, Kind.INPUT, Kind.OUTPUT]))
def test_any_names_make_a_topic_that_is_parsed_back(device: str, model: str, kind: Kind) -> None:
    address = Topics().parse(Topics().of_device(kind, device, model))
    assert address is not None
    assert (address.kind, address.device, address.model) == (kind, device, model)


@given(st.text(max_size=80))
def test_no_topic_breaks_the_parser(topic: str) -> None:
    for candidate in (topic, f"fleet/v1/{topic}", f"fleet/v1/devices/{topic}", f"fleet/v1/chunks/{topic}"):
        address = Topics().parse(candidate)
        assert address is None or candidate.startswith("fleet/v1/")


@given(salt=st.text(max_size=20), device=names, small=st.floats(0, 100), large=st.floats(0, 100))
def test_a_device_in_a_cohort_stays_in_every_larger_one(salt: str, device: str, small: float, large: float) -> None:
    small, large = sorted((small, large))
    assert 0 <= cohort(salt, device) < 100
    if a_rule(salt=salt, percent=small).matches(device, ()):
        assert a_rule(salt=salt, percent=large).matches(device, ())


@given(st.lists(st.tuples(st.floats(0, 100), groups), max_size=6), names, groups)
def test_a_plan_assigns_by_its_first_matching_rule(
    shapes: list[tuple[float, tuple[str, ...]]], device: str, own_groups: tuple[str, ...]
) -> None:
    rules = [a_rule(f"{n}.0", percent=percent, groups=named) for n, (percent, named) in enumerate(shapes)]
    plan = a_plan(rules=rules)
    assigned = plan.assign(device, own_groups)
    matching = [rule.version for rule in rules if rule.matches(device, own_groups)]
    assert (assigned.version if assigned else None) == next(iter(matching), None)
    assert Plan.from_line(plan.to_line()).assign(device, own_groups) == assigned


@given(st.integers(1, BLOB_MAX_BYTES))
def test_each_size_has_exactly_one_depth(size_bytes: int) -> None:
    fitting = []
    for depth in range(3):
        try:
            check_shape(Tree(root=a_hash(), depth=depth, size_bytes=size_bytes))
            fitting.append(depth)
        except BlobDamaged:
            continue
    assert len(fitting) == 1
    assert leaf_count(Tree(root=a_hash(), depth=fitting[0], size_bytes=size_bytes)) >= 1


@given(st.binary(max_size=200), st.integers(0, 3), st.sampled_from([0, 1, CHUNK_BYTES - 1]))
def test_any_file_is_cut_and_joined_again(tail: bytes, whole_chunks: int, filler: int) -> None:
    content = b"\0" * (whole_chunks * CHUNK_BYTES + filler) + tail + b"."
    with TemporaryDirectory() as folder:
        path = Path(folder) / "blob"
        path.write_bytes(content)
        pieces = cut(path)
    check_shape(pieces.tree)
    level = [pieces.tree.root]
    for _ in range(pieces.tree.depth):
        level = [child for sha256 in level for child in children(pieces.nodes[sha256])]
    slices = {leaf.sha256: content[leaf.offset : leaf.offset + leaf.size_bytes] for leaf in pieces.leaves}
    assert b"".join(slices[sha256] for sha256 in level) == content


@given(st.sampled_from([RAW, ZSTD]), st.binary(max_size=400))
def test_no_stream_at_all_is_taken_for_a_blob_that_it_is_not(kind: str, packed: bytes) -> None:
    plain, refused = io.BytesIO(), False
    try:
        decode(kind, io.BytesIO(packed), plain, sha256=a_hash("signed"), size_bytes=100)
    except Damaged:
        refused = True
    assert refused
    assert len(plain.getvalue()) <= 100


@settings(max_examples=settings().max_examples // 5)  # each one packs at the slow level that releases use
@given(st.binary(min_size=1, max_size=100), st.integers(2_000, 5_000), st.data())
def test_a_damaged_zstd_stream_gives_the_blob_or_an_error(piece: bytes, times_over: int, data: st.DataObject) -> None:
    content = piece * times_over
    with TemporaryDirectory() as folder:
        plain, packed = Path(folder) / "plain", Path(folder) / "packed"
        plain.write_bytes(content)
        assert encode_zstd(plain, packed)
        damaged = bytearray(packed.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(0, 255))
    unpacked, refused = io.BytesIO(), False
    try:
        decode(ZSTD, io.BytesIO(bytes(damaged)), unpacked, sha256=name(content), size_bytes=len(content))
    except BlobDamaged:
        refused = True
    assert refused or unpacked.getvalue() == content

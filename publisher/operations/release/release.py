"""One release: make the variants, hold them to the contract and the gates, store them, sign, upload, announce.

A release that is stopped leaves nothing half announced: until its plan is stored it is undone by whoever comes next,
and from then on finished (`recovery`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from protocol.content.chunks import cut
from protocol.content.encodings import RAW, ZSTD, encode_zstd
from protocol.errors import BadModel, GateFailed, UnknownVersion, VersionOccupied
from protocol.messages.base import first_error
from protocol.messages.manifest import Encoding, Golden, Manifest, Variant
from protocol.messages.plan import Plan, Urgency
from protocol.topics import check_name
from protocol.trust.bundle import role_of
from publisher.adapters.registry import Registry
from publisher.core.release.gates import Baseline, Figures, Gates, failures, suggest_remedy
from publisher.core.release.pareto import Selection, front, select
from publisher.core.rollout import plan_edits as planning
from publisher.core.rollout.audience import Audience
from publisher.operations.announce.crash_recovery import locked, releasing
from publisher.operations.announce.plan_announcement import stage
from publisher.operations.announce.topic_ownership import check_topic_is_ours
from publisher.operations.announce.upload import Uploaded, announce
from publisher.operations.context import PublisherContext
from publisher.operations.progress import OnProgress
from publisher.operations.release import training_history as history

if TYPE_CHECKING:  # it imports numpy, and a release that is refused early needs none
    from publisher.learning.artifacts.build import BuiltVariant, BuiltVersion

Make = Callable[[OnProgress], "BuiltVersion"]
SIGNING_ROLES: Final = ("targets", "snapshot", "timestamp")


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """What is asked for."""

    model: str
    version: str
    audience: Audience = field(default_factory=Audience)
    urgency: Urgency = "routine"
    spread_s: int = 0
    notes: str = ""
    gates: Gates = field(default_factory=Gates)
    force: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """What went out. `missed_gates` were forced."""

    manifest: Manifest
    plan: Plan
    uploaded: Uploaded
    accuracy: float | None
    missed_gates: tuple[str, ...]


def release(context: PublisherContext, order: ReleaseRequest, make: Make) -> Released:
    """Carry out an order; `make` trains, or takes a file. What can be refused is refused before it is asked."""
    with locked(context):
        _check_free(context.registry, order)
        check_topic_is_ours(context, order.model)
        _prepare_keys(context, order.model)
        with context.progress.bar("making the variants") as on_progress:
            made = make(on_progress)
        _remember(context, order.model, made)
        _check_contract(context.registry, order, made)
        missed = _check_gates(context, order, made)
        with releasing(context.registry, order.model, order.version):
            context.progress.report(f"storing {order.model} {order.version}")
            manifest = _store(context, order, made, missed)
            context.registry.versions.add(manifest, made.lineage, manifest.created)
            staged = stage(context, _planned(context, order))
        uploaded = announce(context, staged)
        plan = context.registry.announcements.plan(order.model)
        assert plan is not None
        return Released(manifest, plan, uploaded, made.accuracy, missed)


def check_order(context: PublisherContext, order: ReleaseRequest) -> None:
    """Refuse what cannot be right whatever is made, before there is a broker. Raises BadName, BadInput."""
    check_name(order.model, "model")
    _check_free(context.registry, order)
    _planned(context, order)


def selecting(context: PublisherContext, order: ReleaseRequest) -> Callable[[Mapping[str, Figures]], Selection]:
    """What chooses among rungs: the Pareto front within the gates; where none passes, the gates refuse the front."""

    def choose(candidates: Mapping[str, Figures]) -> Selection:
        selection = select(candidates, _standing(context.registry, order.model), order.gates)
        return selection if selection.shipped else Selection(front(candidates), {})

    return choose


def _remember(context: PublisherContext, model: str, made: BuiltVersion) -> None:
    """What was trained is remembered, also where a gate then refuses it; what could not be done to a file is said."""
    lineage = made.lineage
    for sentence in (*lineage.get("not_done", ()), *history.made_anew(lineage), *history.drawn_anew(lineage)):
        context.progress.report(sentence)
    if made.lineage.get("source") == history.RECIPE:
        context.progress.report(history.told(*history.remember(context.registry, model, made, context.clock())))


def _check_free(registry: Registry, order: ReleaseRequest) -> None:
    if order.version in registry.versions.of_model(order.model):
        raise VersionOccupied(
            f"{order.model} {order.version} is released already, and a version never changes",
            hint="choose the next number",
        )


def _prepare_keys(context: PublisherContext, model: str) -> None:
    """Have every key that will sign; a new model gets its own. Raises MissingPart, before anything is trained."""
    keys, role = context.registry.keys, role_of(model)
    new = f"{role}.json" not in context.registry.announcements.metadata()
    if new:
        keys.ensure(role)
    for needed in (role, *(SIGNING_ROLES if new else SIGNING_ROLES[1:])):
        keys.signers(needed)


def _check_contract(registry: Registry, order: ReleaseRequest, made: BuiltVersion) -> None:
    for version in registry.versions.of_model(order.model)[-1:]:  # each was held to the one before
        registry.versions.manifest(order.model, version).contract.check_successor(made.contract)


def _check_gates(context: PublisherContext, order: ReleaseRequest, made: BuiltVersion) -> tuple[str, ...]:
    candidate = {variant.name: _figures(variant, order.gates) for variant in made.variants}
    standing = _standing(context.registry, order.model)
    missed = failures(candidate, standing, order.gates)
    if missed and not order.force:
        raise GateFailed("; ".join(missed), hint=suggest_remedy(candidate, standing, order.gates))
    for reason in missed:
        context.progress.report(f"forced: {reason}")
    return missed


def _figures(variant: BuiltVariant, gates: Gates) -> Figures:
    """What the gates ask of a variant; it is packed for the wire only where one of them asks."""
    from publisher.learning.measurement.evaluation import wire_bytes

    measured, tflite = variant.measured, variant.tflite
    sent = len(tflite) if gates.max_wire_bytes is None else wire_bytes(tflite)
    return Figures(measured.accuracy, sent, measured.latency_ms_p50, measured.latency_ms_p95)


def _standing(registry: Registry, model: str) -> Baseline | None:
    plan = registry.announcements.plan(model)
    try:
        version = planning.newest_version(plan) if plan else None
    except UnknownVersion:  # nothing but pins
        version = None
    if version is None:
        return None
    manifest = registry.versions.manifest(model, version)
    return Baseline(version, {variant.name: variant.measured.accuracy for variant in manifest.variants})


def _planned(context: PublisherContext, order: ReleaseRequest) -> Plan:
    return planning.release(
        context.registry.announcements.plan(order.model),
        order.model,
        order.version,
        order.audience,
        context.clock(),
        urgency=order.urgency,
        spread_s=order.spread_s,
    )


def _store(context: PublisherContext, order: ReleaseRequest, made: BuiltVersion, missed: tuple[str, ...]) -> Manifest:
    try:
        return _manifest(context, order, made, missed)
    except ValidationError as refused:
        raise BadModel(f"the model does not fit into a release: {first_error(refused)}") from None


def _manifest(
    context: PublisherContext, order: ReleaseRequest, made: BuiltVersion, missed: tuple[str, ...]
) -> Manifest:
    registry = context.registry
    golden = registry.blobs.add_bytes(made.golden)
    for kept in made.kept:  # named by hash in the lineage
        registry.blobs.add_bytes(kept)
    return Manifest(
        model=order.model,
        version=order.version,
        created=context.clock(),
        notes=order.notes,
        labels=made.labels,
        contract=made.contract,
        golden=Golden(
            sha256=golden,
            size_bytes=len(made.golden),
            samples=made.golden_samples,
            encodings=_encodings(registry, golden),
        ),
        variants=tuple(_stored(registry, variant) for variant in made.variants),
        input_statistics=made.statistics,
        forced="; ".join(missed),
    )


def _stored(registry: Registry, made: BuiltVariant) -> Variant:
    sha256 = registry.blobs.add_bytes(made.tflite)
    return Variant(
        name=made.name,
        precision=made.precision,
        sha256=sha256,
        size_bytes=len(made.tflite),
        golden_tolerance=made.tolerance,
        requires=made.requires,
        measured=made.measured,
        encodings=_encodings(registry, sha256),
    )


def _encodings(registry: Registry, sha256: str) -> tuple[Encoding, ...]:
    """The ways in which a blob travels: as it is, and in zstd where that saves enough."""
    plain = registry.blobs.path(sha256)
    with TemporaryDirectory(prefix="edgeferry-") as folder:
        packed = Path(folder) / sha256
        kinds = {RAW: sha256}
        if encode_zstd(plain, packed):
            kinds[ZSTD] = registry.blobs.add_file(packed)
    return tuple(_cut(registry, kind, blob) for kind, blob in kinds.items())


def _cut(registry: Registry, kind: str, blob: str) -> Encoding:
    made = cut(registry.blobs.path(blob))
    registry.chunks.add(blob, made)
    return Encoding(kind=kind, tree=made.tree)

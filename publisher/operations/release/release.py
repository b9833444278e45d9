"""Releases a version: build, check contract and gates, store, sign, upload, announce.

The registry is locked to check the request, not while the version is built, and again
from the second check on. Of two releases of the same version, the later one is refused
then; of two versions of a model, the later one follows the other, and is compared with
it. A release that is stopped is undone by the next command until its plan is stored,
and completed after that (see `announce.crash_recovery`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from protocol.errors import BadModel, GateFailed, UnknownVersion, VersionOccupied
from protocol.messages.base import first_error
from protocol.messages.manifest import Golden, Manifest, Variant, VersionFile
from protocol.messages.plan import Plan, Urgency
from protocol.messages.preprocessing import FEATURE, Preprocessing
from protocol.preprocessing.raw_contract import changes, check_raw_successor
from protocol.tasks.selection import task_of
from protocol.topics import check_name
from protocol.trust.bundle import role_of
from publisher.adapters.registry import Registry
from publisher.core.release.gates import Baseline, Figures, Gates, failures, suggest_remedy
from publisher.core.release.pareto import Selection, front, select
from publisher.core.rollout import plan_edits
from publisher.core.rollout.audience import Audience
from publisher.learning.artifacts.build import BuiltVariant, BuiltVersion
from publisher.learning.measurement.evaluation import wire_bytes
from publisher.operations.announce.crash_recovery import locked, releasing
from publisher.operations.announce.plan_announcement import stage
from publisher.operations.announce.topic_ownership import check_topic_is_ours
from publisher.operations.announce.upload import Uploaded, announce
from publisher.operations.context import PublisherContext
from publisher.operations.progress import OnProgress
from publisher.operations.release import training_history as history
from publisher.operations.release.stored_files import (
    FilesRequest,
    carried_files,
    check_files,
    encode,
    read_labels_of,
    store_files,
    store_labels,
    version_before,
)

Build = Callable[[OnProgress], BuiltVersion]
SIGNING_ROLES: Final = ("targets", "snapshot", "timestamp")


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """Which devices get the version, each at its own time within `spread_s`."""

    audience: Audience = field(default_factory=Audience)
    urgency: Urgency = "routine"
    spread_s: int = 0


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """What to release. `force` releases a version that misses its gates."""

    model: str
    version: str
    rollout: RolloutRequest = field(default_factory=RolloutRequest)
    gates: Gates = field(default_factory=Gates)
    notes: str = ""
    force: bool = False
    files: FilesRequest = field(default_factory=FilesRequest)


@dataclass(frozen=True, slots=True)
class Released:
    """What was released. `missed_gates` were overridden by `force`."""

    manifest: Manifest
    labels: tuple[str, ...]
    plan: Plan
    uploaded: Uploaded
    accuracy: float | None
    missed_gates: tuple[str, ...]


def release(context: PublisherContext, request: ReleaseRequest, build: Build) -> Released:
    """Raises VersionOccupied, BrokerRefused, MissingPart, BadModel, GateFailed."""
    with locked(context):
        _check_version_is_free(context.registry, request)
        _check_can_announce(context, request.model)
        known = context.registry.versions.of_model(request.model)
    with context.progress.bar("making the variants") as on_progress:
        built = build(on_progress)
    _record_training(context, request.model, built)
    with locked(context):
        _check_still_free(context, request, known)
        _check_can_announce(context, request.model)
        return _commit(context, request, built)


def _commit(context: PublisherContext, request: ReleaseRequest, built: BuiltVersion) -> Released:
    registry = context.registry
    check_files(registry, request.model, request.files)  # others may have released meanwhile
    _check_contract(context, request, built)
    missed = _check_gates(context, request, built)
    with releasing(registry, request.model, request.version):
        context.progress.report(f"storing {request.model} {request.version}")
        manifest = _store(context, request, built, missed)
        registry.versions.add(manifest, built.lineage, manifest.created)
        plan = _next_plan(context, request)
        staged = stage(context, plan)
    labels = read_labels_of(registry, manifest)
    return Released(manifest, labels, plan, announce(context, staged), built.accuracy, missed)


def check_request(context: PublisherContext, request: ReleaseRequest) -> None:
    """Refuse a request that no build could satisfy. Raises BadName, BadInput."""
    check_name(request.model, "model")
    _check_version_is_free(context.registry, request)
    check_files(context.registry, request.model, request.files)
    _next_plan(context, request)


def selecting(context: PublisherContext, request: ReleaseRequest) -> Callable[[Mapping[str, Figures]], Selection]:
    """Selects the Pareto front within the gates; if that is empty, the front."""

    def choose(candidates: Mapping[str, Figures]) -> Selection:
        selection = select(candidates, _baseline(context.registry, request.model), request.gates)
        return selection if selection.shipped else Selection(front(candidates), {})

    return choose


def _record_training(context: PublisherContext, model: str, built: BuiltVersion) -> None:
    """Record a training, also if a gate refuses it, and report what was not done."""
    lineage, report = built.lineage, context.progress.report
    for line in (
        *lineage.get("not_done", ()),
        *history.describe_new_networks(lineage),
        *history.describe_new_calibration(lineage),
        *filter(None, [lineage.get("labels_from"), lineage.get("preprocessing_from")]),
        *filter(None, [lineage.get("labels_from")]),
        *built.told,
    ):
        report(line)
    if lineage.get("source") == history.RECIPE:
        report(history.describe_record(*history.record_training(context.registry, model, built, context.clock())))


def _check_version_is_free(registry: Registry, request: ReleaseRequest) -> None:
    if request.version in registry.versions.of_model(request.model):
        raise VersionOccupied(
            f"{request.model} {request.version} is released already, and a version never changes",
            hint="choose the next number",
        )


def _check_still_free(context: PublisherContext, request: ReleaseRequest, known: list[str]) -> None:
    """Check against what other commands released while this version was built."""
    model, version = request.model, request.version
    meanwhile = [each for each in context.registry.versions.of_model(model) if each not in known]
    if version in meanwhile:
        raise VersionOccupied(
            f"another command released {model} {version} while this one was being made, and a version never changes",
            hint="choose the next number",
        )
    if meanwhile:
        context.progress.report(f"{model} {', '.join(meanwhile)} was released meanwhile, and {version} comes after it")


def newest_version(registry: Registry, model: str) -> Manifest | None:
    """The version whose contract the next one has to keep; None for the first."""
    versions = registry.versions.of_model(model)
    return registry.versions.manifest(model, versions[-1]) if versions else None


def _check_can_announce(context: PublisherContext, model: str) -> None:
    """Raises BrokerRefused, MissingPart."""
    check_topic_is_ours(context, model)
    _prepare_keys(context.registry, model)


def _prepare_keys(registry: Registry, model: str) -> None:
    """Check the signing keys; a new model gets its own. Raises MissingPart."""
    keys, role = registry.keys, role_of(model)
    new = f"{role}.json" not in registry.announcements.metadata()
    if new:
        keys.ensure(role)
    for needed in (role, *(SIGNING_ROLES if new else SIGNING_ROLES[1:])):
        keys.signers(needed)


def _check_contract(context: PublisherContext, request: ReleaseRequest, built: BuiltVersion) -> None:
    before = newest_version(context.registry, request.model)  # each version was checked against the one before
    if before is not None:
        check_raw_successor((before.contract, before.known_preprocessing), (built.contract, built.preprocessing))
        for line in changes(before.known_preprocessing, built.preprocessing):
            context.progress.report(line)
        for change in before.contract.renamed(built.contract):
            context.progress.report(f"changed: {change}")


def _check_gates(context: PublisherContext, request: ReleaseRequest, built: BuiltVersion) -> tuple[str, ...]:
    candidate = {
        variant.name: _figures(variant, request.gates, task_of(built.contract).measure) for variant in built.variants
    }
    baseline = _baseline(context.registry, request.model)
    missed = failures(candidate, baseline, request.gates)
    if missed and not request.force:
        raise GateFailed("; ".join(missed), hint=suggest_remedy(candidate, baseline, request.gates))
    for reason in missed:
        context.progress.report(f"forced: {reason}")
    return missed


def _figures(variant: BuiltVariant, gates: Gates, measure: str) -> Figures:
    """What the gates check. It is compressed for the wire only if a gate needs it."""
    measured, tflite = variant.measured, variant.tflite
    sent = len(tflite) if gates.max_wire_bytes is None else wire_bytes(tflite)
    return Figures(measured.accuracy, sent, measured.latency_ms_p50, measured.latency_ms_p95, measure)


def _baseline(registry: Registry, model: str) -> Baseline | None:
    plan = registry.announcements.plan(model)
    try:
        version = plan_edits.newest_version(plan) if plan else None
    except UnknownVersion:  # the plan has only pins
        version = None
    if version is None:
        return None
    manifest = registry.versions.manifest(model, version)
    return Baseline(version, {variant.name: variant.measured.accuracy for variant in manifest.variants})


def _next_plan(context: PublisherContext, request: ReleaseRequest) -> Plan:
    return plan_edits.release(
        context.registry.announcements.plan(request.model),
        request.model,
        request.version,
        request.rollout.audience,
        context.clock(),
        urgency=request.rollout.urgency,
        spread_s=request.rollout.spread_s,
    )


def _store(
    context: PublisherContext, request: ReleaseRequest, built: BuiltVersion, missed: tuple[str, ...]
) -> Manifest:
    try:
        return _manifest(context, request, built, missed)
    except ValidationError as refused:
        raise BadModel(f"the model does not fit into a release: {first_error(refused)}") from None


def _manifest(
    context: PublisherContext, request: ReleaseRequest, built: BuiltVersion, missed: tuple[str, ...]
) -> Manifest:
    registry = context.registry
    files, names = _store_files(context, request), built.labels or _labels_before(context, request)
    labels = store_labels(registry, names)
    golden = registry.blobs.add_bytes(built.golden.content)
    for kept in built.kept:  # named by hash in the lineage
        registry.blobs.add_bytes(kept)
    return Manifest(
        model=request.model,
        version=request.version,
        created=context.clock(),
        notes=request.notes,
        labels=() if labels else names,
        contract=built.contract,
        golden=Golden(
            sha256=golden,
            size_bytes=len(built.golden.content),
            samples=built.golden.samples,
            steps=built.golden.steps,
            noise_samples=built.golden.noise_samples,
            encodings=encode(registry, golden),
        ),
        variants=tuple(_store_variant(registry, variant, built.preprocessing) for variant in built.variants),
        input_statistics=built.statistics,
        preprocessing=built.preprocessing,
        files=(*files, labels) if labels else files,
        labels_file=labels.name if labels else None,
        forced="; ".join(missed),
    )


def _store_files(context: PublisherContext, request: ReleaseRequest) -> tuple[VersionFile, ...]:
    registry = context.registry
    carried = carried_files(registry, request.model, request.files)
    if carried:
        names = ", ".join(file.name for file in carried)
        context.progress.report(f"as in the version before: {names} (--drop-file NAME leaves one out)")
    return (*store_files(registry, request.files.given), *carried)


def _labels_before(context: PublisherContext, request: ReleaseRequest) -> tuple[str, ...]:
    """Those of the version before, which has the same classes, for one without any."""
    before = version_before(context.registry, request.model, request.files)
    labels = read_labels_of(context.registry, before) if before else ()
    if labels:
        context.progress.report(f"the {len(labels):,} labels are those of the version before; --labels gives others")
    return labels


def _store_variant(registry: Registry, built: BuiltVariant, preprocessing: Preprocessing | None) -> Variant:
    """A device that does not know what preprocessing is does not know that runtime."""
    requires = built.requires
    if preprocessing is not None:
        requires = requires.model_copy(update={"runtime": f"{requires.runtime}+{FEATURE}"})
    sha256 = registry.blobs.add_bytes(built.tflite)
    return Variant(
        name=built.name,
        precision=built.precision,
        sha256=sha256,
        size_bytes=len(built.tflite),
        golden_tolerance=built.tolerance,
        requires=requires,
        golden_bounds=built.bounds,
        measured=built.measured,
        encodings=encode(registry, sha256),
    )

"""Builders of valid records; a test gives only the fields that it is about.

Deterministic except for an authority's keys. `NOON` is the default time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from securesystemslib.signer import CryptoSigner, Signer

from device_client.core.conditions.readings import Readings
from device_client.core.policy import Policy
from device_client.core.state import Connection, Device, Installed, Moment, Phase, Target
from device_client.core.state import State as CoreState
from device_client.core.trial.tally import Tally
from protocol.errors import MissingPart
from protocol.messages.contract import Contract, Tensor
from protocol.messages.device import Evidence, Feedback, Outcome, Presence, State, Status, Wants
from protocol.messages.inference import InferenceResponse, ShortValue
from protocol.messages.manifest import Encoding, Golden, Manifest, Measured, Tree, Variant, VersionFile
from protocol.messages.plan import Plan, Rule
from protocol.trust.authority import Authority

NOON: Final = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DAY: Final = timedelta(days=1)
CHOICE: Final = "variant float32, the most accurate of 2 that fit"  # what a device says of `a_manifest`


def a_hash(of: str = "anything") -> str:
    """A SHA-256 in hex, another for each text."""
    return hashlib.sha256(of.encode()).hexdigest()


def a_tree(of: str = "a blob", *, size_bytes: int = 30_000, depth: int = 0) -> Tree:
    """A tree whose shape fits its size as long as it is one chunk."""
    return Tree(root=a_hash(f"root of {of}"), depth=depth, size_bytes=size_bytes)


def an_encoding(
    of: str = "a blob", *, kind: str = "raw", size_bytes: int = 30_000, base: str | None = None
) -> Encoding:
    """One way a blob travels; `base` is the hash that a delta starts from."""
    return Encoding(kind=kind, tree=a_tree(f"{of} as {kind}", size_bytes=size_bytes), base_sha256=base)


def a_variant(
    name: str = "float32",
    *,
    precision: str | None = None,
    size_bytes: int = 30_000,
    accuracy: float | None = 0.95,
    encodings: Sequence[Encoding] | None = None,
    of: str = "",
    **more: Any,
) -> Variant:
    """One file of a version; `of` makes the hashes of different versions differ."""
    blob = f"{name} {of}"
    return Variant(
        name=name,
        precision=precision or name,
        sha256=a_hash(blob),
        size_bytes=size_bytes,
        measured=Measured(accuracy=accuracy, accuracy_samples=360),
        encodings=tuple(encodings or (an_encoding(blob, size_bytes=size_bytes),)),
        **more,
    )


def a_contract(*, features: int = 784, classes: int = 10) -> Contract:
    """The contract of the digits model."""
    return Contract(
        inputs=(Tensor(name="image", shape=(1, features), value_min=0.0, value_max=1.0),),
        outputs=(Tensor(name="scores", shape=(1, classes)),),
    )


def a_golden(of: str = "golden", *, samples: int = 16, size_bytes: int = 20_000) -> Golden:
    """A golden set."""
    encodings = (an_encoding(of, size_bytes=size_bytes),)
    return Golden(sha256=a_hash(of), size_bytes=size_bytes, samples=samples, encodings=encodings)


def a_version_file(name: str = "anchors.npy", *, of: str = "", size_bytes: int = 5_000) -> VersionFile:
    """A file beside the model; `of` makes the hashes of different versions differ."""
    encodings = (an_encoding(f"{name} {of}", size_bytes=size_bytes),)
    return VersionFile(name=name, sha256=a_hash(f"{name} {of}"), size_bytes=size_bytes, encodings=encodings)


def a_manifest(
    version: str = "1.0.0", *, model: str = "digits", variants: Sequence[Variant] | None = None, **more: Any
) -> Manifest:
    """One version of a model, in float32 and int8."""
    of = f"{model} {version}"
    default = (a_variant("float32", of=of), a_variant("int8", of=of, size_bytes=9_000, accuracy=0.94))
    fields: dict[str, Any] = {
        "created": NOON,
        "labels": tuple("0123456789"),
        "contract": a_contract(),
        "golden": a_golden(f"golden of {of}"),
    }
    return Manifest(model=model, version=version, variants=tuple(variants or default), **(fields | more))


def a_rule(version: str = "1.0.0", **more: Any) -> Rule:
    """A rule that matches every device by default."""
    return Rule(version=version, **more)


def a_plan(
    version: str | None = "1.0.0",
    *,
    model: str = "digits",
    sequence: int = 1,
    rules: Iterable[Rule] | None = None,
    **more: Any,
) -> Plan:
    """A plan of one rule for `version`, or of `rules`; None for no rule."""
    default = [a_rule(version)] if version else []
    return Plan(
        model=model,
        sequence=sequence,
        rules=tuple(default if rules is None else rules),
        created=more.pop("created", NOON),
        **more,
    )


def a_status(state: State = "committed", *, device: str = "pi-1", model: str = "digits", **more: Any) -> Status:
    """A device's status."""
    return Status(state=state, device=device, model=model, at=more.pop("at", NOON), **more)


def a_presence(device: str = "pi-1", *, online: bool = True, **more: Any) -> Presence:
    """A device's presence."""
    return Presence(device=device, online=online, session=more.pop("session", "s1"), at=more.pop("at", NOON), **more)


def an_outcome(outcome: str = "adopted", *, version: str = "1.0.0", device: str = "pi-1", **more: Any) -> Outcome:
    """A final outcome on a device."""
    fields: dict[str, Any] = {
        "reason": "all is well",
        "model": "digits",
        "event_id": a_hash(f"{device} {version} {outcome}")[:32],
        "evidence": Evidence(golden_samples=16),
        "at": NOON,
    }
    return Outcome.model_validate({"outcome": outcome, "version": version, "device": device} | fields | more)


def a_feedback(version: str = "1.0.0", *, device: str = "pi-1", inferences: int = 100, **more: Any) -> Feedback:
    """One window of inferences, a minute long."""
    fields: dict[str, Any] = {
        "model": "digits",
        "window_start": NOON,
        "window_end": NOON + timedelta(minutes=1),
        "event_id": a_hash(f"{device} {version} window")[:32],
    }
    return Feedback(version=version, device=device, inferences=inferences, **(fields | more))


def a_wants(chunks: Iterable[str] | None = None, *, device: str = "pi-1", model: str = "digits") -> Wants:
    """Chunks that a device cannot find."""
    return Wants(chunks=tuple(chunks or (a_hash("a chunk"),)), device=device, model=model)


def an_answer(mark: ShortValue = "a", *, device: str = "pi-1", model: str = "digits", **more: Any) -> InferenceResponse:
    """One inference response."""
    said: dict[str, Any] = {"label": "7", "class_": 7, "confidence": 0.9, "version": "1.0.0", "outputs": ([0.1, 0.9],)}
    return InferenceResponse(id=mark, device=device, model=model, **(said | more))


class KeyRing:
    """Private keys in memory, made on first use; a role can lose them."""

    def __init__(self, keys: Mapping[str, Sequence[Signer]] | None = None) -> None:
        self.keys: dict[str, list[Signer]] = {role: list(signers) for role, signers in (keys or {}).items()}
        self._lost: set[str] = set()

    def __call__(self, role: str) -> list[Signer]:
        """The keys of a role, as `Authority` asks for them."""
        if role in self._lost:
            raise MissingPart(f"the key of the {role} role is in the safe")
        return self.keys.setdefault(role, [CryptoSigner.generate_ed25519()])

    def lose(self, role: str) -> None:
        """Make the keys of this role unavailable."""
        self._lost.add(role)


def some_keys(count: int = 1) -> list[Signer]:
    """Fresh private keys."""
    return [CryptoSigner.generate_ed25519() for _ in range(count)]


def an_authority(*, keys: KeyRing | None = None, now: datetime = NOON, **more: Any) -> Authority:
    """A publisher's authority that has not published anything yet."""
    return Authority.create(keys or KeyRing(), now, **more)


def a_bundle(
    plan: Plan | None = None, *, manifests: Sequence[Manifest] | None = None, authority: Authority | None = None
) -> tuple[Authority, bytes]:
    """A signed announcement and its authority, by default with a manifest each."""
    plan = plan or a_plan()
    manifests = manifests or [a_manifest(version, model=plan.model) for version in plan.versions()]
    return (authority or an_authority()).publish(plan, manifests, plan.created)


def a_policy(*, device: str = "pi-1", model: str = "digits", **more: Any) -> Policy:
    """The default policy."""
    return Policy(device=device, model=model, **more)


def fit_readings(*, local_minute: int = 12 * 60, **more: Any) -> Readings:
    """Readings that meet every condition; `local_minute` of the day, in UTC."""
    fields: dict[str, Any] = {
        "cpu_percent": 10.0,
        "memory_free_bytes": 10**9,
        "disk_free_bytes": 10**10,
        "temperature_c": 40.0,
        "throttled": False,
        "under_voltage": False,
        "battery_percent": 90.0,
        "on_mains": False,
        "link_kind": "ethernet",
        "metered": False,
        "round_trip_ms": 20.0,
        "clock_synchronised": True,
        "local_time": NOON.replace(hour=local_minute // 60, minute=local_minute % 60),
    }
    return Readings(**(fields | more))


def a_tally(inputs: int = 200, *, agreed: int | None = None, live_errors: int = 0, **more: Any) -> Tally:
    """Enough inputs for any verdict, on which both models agree."""
    counted = {"inputs": inputs, "agreed": inputs if agreed is None else agreed}
    return Tally(**(counted | {"live_inferences": inputs, "live_errors": live_errors} | more))


def an_installed(version: str = "1.0.0", *, variant: str = "float32", latency_ms: float | None = None) -> Installed:
    """An installed version."""
    manifest = a_manifest(version)
    found = manifest.variant(variant)
    assert found is not None
    return Installed(manifest=manifest, variant=found, choice=CHOICE, latency_ms=latency_ms)


def a_target(version: str = "2.0.0", *, attempt: int = 1, **more: Any) -> Target:
    """A version on its way, in float32."""
    manifest = a_manifest(version)
    variant = manifest.variants[0]
    return Target(
        manifest=manifest,
        variant=variant,
        encoding=variant.encodings[0],
        golden_encoding=manifest.golden.encodings[0],
        attempt=attempt,
        plan_sequence=more.pop("plan_sequence", 1),
        choice=more.pop("choice", CHOICE),
        **more,
    )


def a_device(
    phase: Phase = Phase.IDLE,
    *,
    live: str | None = None,
    previous: str | None = None,
    target: Target | None = None,
    plan: Plan | None = None,
    **more: Any,
) -> Device:
    """What a device remembers; by default live and previous were both found good."""
    here = [version for version in (previous, live) if version is not None]
    return Device(
        phase=phase,
        live=an_installed(live) if live else None,
        previous=an_installed(previous) if previous else None,
        target=target,
        plan=plan,
        manifests={version: a_manifest(version) for version in plan.versions()} if plan else {},
        committed=more.pop("committed", tuple(here)),
        **more,
    )


def a_state(device: Device | None = None, *, link_up: bool = False) -> CoreState:
    """A device of which nothing is known yet but its link."""
    return CoreState(device or a_device(), Moment(link=Connection(up=link_up)))

"""A publisher that checks nothing: it signs and uploads what a test gives it, however
hostile.

A device must reject by itself what the real publisher would not release.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import zstandard
from numpy.typing import NDArray

from device_client.adapters.runtime.tflite import open_model
from protocol.content import chunks
from protocol.content.encodings import RAW, ZSTD, ZSTD_WINDOW_MAX_BYTES
from protocol.messages.contract import Contract
from protocol.messages.manifest import Encoding, Golden, Manifest, Measured, Requirements, Variant
from protocol.messages.plan import Plan, Rule
from protocol.messages.preprocessing import NewerPreprocessing, Preprocessing
from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.link import Connected, Delivered
from protocol.mqtt.paho_link import MqttLink
from protocol.topics import Topics
from protocol.trust.authority import Authority
from tests.builders import an_authority
from tests.recorder import LinkRecorder

Float32 = NDArray[np.float32]
GOLDEN_SAMPLES: Final = 8


@dataclass(frozen=True, slots=True)
class Source:
    """What a version is made of: a file, and its golden inputs and outputs."""

    tflite: Path
    contract: Contract
    golden: bytes
    tolerance: float = 1e-3
    kinds: tuple[str, ...] = (RAW,)
    preprocessing: Preprocessing | NewerPreprocessing | None = None

    @classmethod
    def of(cls, tflite: Path, *, kinds: tuple[str, ...] = (RAW,), golden_samples: int = GOLDEN_SAMPLES) -> Source:
        """An honest one: the answers are the file's own."""
        model = open_model(tflite)
        features = model.contract.inputs[0].shape[1]
        inputs = np.random.default_rng(1).uniform(0, 1, (golden_samples, features)).astype(np.float32)
        return cls(tflite, model.contract, golden_of(inputs, model.run([inputs])[0]), kinds=kinds)


def golden_of(inputs: NDArray[Any], answers: Float32) -> bytes:
    """The golden set of a model with one input and output, for the variant float32."""
    archive = io.BytesIO()
    np.savez(archive, input_0=inputs, float32_output_0=answers)
    return archive.getvalue()


def pack(plain: Path, packed: Path) -> None:
    """Compress at a fast level; a device's memory depends on the window alone."""
    window_log = ZSTD_WINDOW_MAX_BYTES.bit_length() - 1
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=window_log, write_checksum=False)
    with plain.open("rb") as source, packed.open("wb") as target:
        zstandard.ZstdCompressor(compression_params=parameters).copy_stream(source, target)


class UncheckedPublisher:
    """One model's authority, and a connection to the broker on which it appears."""

    def __init__(self, url: BrokerUrl, folder: Path, *, model: str = "digits", authority: Authority | None = None):
        self.model = model
        self.topics = Topics()
        self.authority = authority or an_authority(now=_now())
        self.manifests: dict[str, Manifest] = {}
        self.sequence = 0
        self._folder = folder
        self._url = url
        self._recorder = LinkRecorder()
        self._link: MqttLink | None = None  # until it is entered it can only sign

    def __enter__(self) -> Self:
        self._link = MqttLink(self._url, "unchecked-publisher", self._recorder.record)
        self._link.start()
        self._recorder.next(Connected)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._link
        self._link.stop()

    def add_version(self, version: str, source: Source, *, upload: bool = True) -> Manifest:
        """Cut and upload a version, without announcing it."""
        golden = self._folder / f"{version}.golden"
        golden.write_bytes(source.golden)
        manifest = Manifest(
            model=self.model,
            version=version,
            created=_now(),
            labels=tuple("0123456789"),
            contract=source.contract,
            preprocessing=source.preprocessing,
            golden=Golden(
                sha256=_sha256(golden),
                size_bytes=len(source.golden),
                samples=GOLDEN_SAMPLES,
                encodings=(self._encoded(RAW, golden, upload=upload),),
            ),
            variants=(
                Variant(
                    name="float32",
                    precision="float32",
                    sha256=_sha256(source.tflite),
                    size_bytes=source.tflite.stat().st_size,
                    golden_tolerance=source.tolerance,
                    requires=Requirements(),
                    measured=Measured(),
                    encodings=tuple(self._encoded(kind, source.tflite, upload=upload) for kind in source.kinds),
                ),
            ),
        )
        self.manifests[version] = manifest
        return manifest

    def bundle(self, *rules: Rule | str, now: datetime | None = None) -> bytes:
        """Sign the next plan; a version alone is for everybody."""
        self.sequence += 1
        given = tuple(Rule(version=rule) if isinstance(rule, str) else rule for rule in rules)
        plan = Plan(model=self.model, sequence=self.sequence, rules=given, created=now or _now())
        manifests = [self.manifests[version] for version in plan.versions()]
        self.authority, bundle = self.authority.publish(plan, manifests, plan.created)
        return bundle

    def announce(self, *rules: Rule | str) -> bytes:
        """Sign the next plan and tell the fleet."""
        bundle = self.bundle(*rules)
        self.retain(self.topics.desired(self.model), bundle)
        return bundle

    def retain(self, topic: str, payload: bytes) -> None:
        """Have the broker keep anything at all."""
        assert self._link
        receipt = self._link.publish(topic, payload, qos=1, retain=True)
        self._recorder.next(Delivered, lambda delivered: delivered.receipt == receipt)

    def trees(self, version: str) -> Iterable[str]:
        """The roots of all that a version consists of."""
        return [tree.root for tree in self.manifests[version].trees()]

    def _encoded(self, kind: str, plain: Path, *, upload: bool) -> Encoding:
        path = plain
        if kind == ZSTD:
            path = self._folder / f"{plain.name}.zst"
            pack(plain, path)
        cut = chunks.cut(path)
        if upload:
            self._upload(path, cut)
        return Encoding(kind=kind, tree=cut.tree)

    def _upload(self, path: Path, cut: chunks.ChunkedBlob) -> None:
        waiting = set()
        with path.open("rb") as blob:
            for leaf in cut.leaves:
                waiting.add(self._send_chunk(leaf.sha256, blob.read(leaf.size_bytes)))
        waiting |= {self._send_chunk(sha256, node) for sha256, node in cut.nodes.items()}
        while waiting:
            waiting.discard(self._recorder.next(Delivered).receipt)

    def _send_chunk(self, sha256: str, payload: bytes) -> int:
        assert self._link
        return self._link.publish(self.topics.chunk(sha256), payload, qos=1, retain=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)

"""One version of a model: its contract, golden set, variants, and their encodings."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, StringConstraints, model_validator

from protocol.messages.base import Figure, Frozen, Line, Name, Sha256, Text, Utc, Version
from protocol.messages.contract import Contract
from protocol.messages.preprocessing import DeclaredPreprocessing, Preprocessing

CHUNK_BYTES: Final = 61_440  # 60 KiB: with its topic under every broker's 64 KB
BLOB_MAX_BYTES: Final = 2_000_000_000
TREE_MAX_DEPTH: Final = 2  # 1,920 hashes to a chunk: depth 1 reaches 118 MB, depth 2 reaches 226 GB
GOLDEN_MAX_BYTES: Final = 4_000_000
FILES_MAX: Final = 32  # of a version: three versions with all of them fit into one bundle
MODEL_FILE: Final = "model.tflite"  # the name of the model beside the files of its version
LABELS_FILE: Final = "labels.txt"  # the name of its labels there

FileName = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_][0-9A-Za-z_.+-]{0,79}$")]
Size = Annotated[int, Field(ge=0, le=BLOB_MAX_BYTES)]


class Tree(Frozen):
    """A blob in chunks. At depth 0 the root is its one chunk, else a list of hashes."""

    root: Sha256
    depth: int = Field(ge=0, le=TREE_MAX_DEPTH)
    size_bytes: Size


class Encoding(Frozen):
    """One encoding of a file for transfer. A device ignores kinds it does not know."""

    kind: str = Field(max_length=32, description="raw, zstd; later tensor-delta")
    tree: Tree
    base_sha256: Sha256 | None = Field(default=None, description="the file that a delta is applied to")


class Golden(Frozen):
    """The golden set, an .npz: `input_0` … and, per variant, `<variant>_output_0` ….

    Or, if it has a golden.json, an entry for each sample, step and tensor.
    """

    sha256: Sha256
    size_bytes: int = Field(ge=1, le=GOLDEN_MAX_BYTES)
    samples: int = Field(ge=1, le=10_000)
    steps: int = Field(default=1, ge=1, le=1_000, description="runs of a sample, from the initial state")
    noise_samples: int | None = Field(default=None, ge=0, description="of random values rather than of data")
    encodings: tuple[Encoding, ...] = Field(min_length=1)


class Requirements(Frozen):
    """What a device needs to run a variant."""

    memory_bytes: int = Field(default=0, ge=0, description="resident memory of the interpreter with this file")
    runtime: str = Field(default="tflite", max_length=32)


class Measured(Frozen):
    """Measured by the publisher on its own machine, with the device's runtime."""

    accuracy: float | None = Field(default=None, ge=0, le=1, description="on the test set")
    accuracy_samples: int = Field(default=0, ge=0)
    agreement: float | None = Field(default=None, ge=0, le=1, description="share of answers like the float32 parent's")
    latency_ms_p50: float | None = Field(default=None, ge=0)
    latency_ms_p95: float | None = Field(default=None, ge=0)


class GoldenBound(Frozen):
    """How far an output may be from the publisher's on a device.

    The difference of a run is the largest of its real numbers; of strings, booleans and
    integers without a scale, the share of values that differ.
    """

    tolerance: float = Field(ge=0)
    outliers: float = Field(default=0.0, ge=0, le=1, description="share of runs that may exceed it; at least two")
    ceiling: float | None = Field(default=None, ge=0, description="of such a run; none: any finite difference")


class Variant(Frozen):
    """One file of a version: in the contract's types, or quantized for its float32."""

    name: Name
    precision: str = Field(max_length=32)
    sha256: Sha256
    size_bytes: Size
    golden_tolerance: float = Field(default=0.02, ge=0, description="largest absolute difference of an output")
    golden_bounds: tuple[GoldenBound, ...] = Field(
        default=(), max_length=16, description="of each output; none: golden_tolerance for all"
    )
    requires: Requirements = Requirements()
    measured: Measured = Measured()
    encodings: tuple[Encoding, ...] = Field(min_length=1, max_length=16)


class VersionFile(Frozen):
    """A file beside the model, such as thresholds, a tokenizer or a second model."""

    name: FileName
    sha256: Sha256
    size_bytes: Size
    encodings: tuple[Encoding, ...] = Field(min_length=1, max_length=16)


class InputStatistics(Frozen):
    """The first input over the training set, to detect drift. See FEEDBACK.md.

    A level is the mean of an input's values; a segment, one of up to 16 equal parts.
    """

    samples: int = Field(ge=1)
    mean: Figure = Field(description="of the levels")
    std: Figure = Field(ge=0, description="of the levels")
    levels: tuple[int, ...] = Field(default=(), max_length=32, description="number of levels in each bin")
    segment_means: tuple[Figure, ...] = Field(min_length=1, max_length=16)
    segment_stds: tuple[Figure, ...] = Field(min_length=1, max_length=16)
    distance_mean: Figure = Field(default=1.0, ge=0, description="distance of an input from the segments' means")
    distance_std: Figure = Field(default=0.0, ge=0)


class Manifest(Line):
    """One version of one model, signed."""

    model: Name
    version: Version
    created: Utc
    notes: Text = ""
    labels: tuple[str, ...] = Field(default=(), max_length=2000, description="empty where they travel as a file")
    contract: Contract
    golden: Golden
    variants: tuple[Variant, ...] = Field(min_length=1, max_length=32)
    input_statistics: InputStatistics | None = None
    preprocessing: DeclaredPreprocessing | None = Field(
        default=None, description="from what an application gives to the contract's inputs; none: they are the same"
    )
    files: tuple[VersionFile, ...] = Field(
        default=(), max_length=FILES_MAX, description="what belongs to the version beside the model"
    )
    labels_file: FileName | None = Field(
        default=None, description="which of the files has the labels: UTF-8, a name a line; a device reads up to 8 MB"
    )
    forced: Text = Field(default="", description="the gate that was overridden for this release, with its numbers")

    @model_validator(mode="after")
    def _names_differ(self) -> Manifest:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError("two variants have the same name")
        return self

    @model_validator(mode="after")
    def _files_differ(self) -> Manifest:
        names = [file.name.lower() for file in self.files]  # as some file systems compare them
        if len(set(names)) != len(names):
            raise ValueError("two files have the same name")
        if MODEL_FILE in names:
            raise ValueError(f"{MODEL_FILE} is the name of the model itself")
        if self.labels_file is not None and self.file(self.labels_file) is None:
            raise ValueError(f"the labels are in {self.labels_file}, which is none of the files")
        return self

    @property
    def known_preprocessing(self) -> Preprocessing | None:
        """Without one that is newer than this version of EdgeFerry."""
        return self.preprocessing if isinstance(self.preprocessing, Preprocessing) else None

    def variant(self, name: str) -> Variant | None:
        return next((variant for variant in self.variants if variant.name == name), None)

    def file(self, name: str) -> VersionFile | None:
        return next((file for file in self.files if file.name == name), None)

    def trees(self) -> tuple[Tree, ...]:
        """The blobs that the broker must have for this version."""
        encoded: tuple[Golden | VersionFile | Variant, ...] = (self.golden, *self.files, *self.variants)
        return tuple(encoding.tree for each in encoded for encoding in each.encodings)


def cheapest(encodings: tuple[Encoding, ...], known: frozenset[str], bases: frozenset[str]) -> Encoding | None:
    """The smallest encoding of a known kind whose base file, if any, is available."""
    usable = [each for each in encodings if each.kind in known and each.base_sha256 in {None, *bases}]
    return min(usable, key=lambda encoding: encoding.tree.size_bytes, default=None)

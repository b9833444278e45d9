"""One version of a model: what it takes and gives, how to prove it, and the variants and encodings it comes in."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, model_validator

from protocol.errors import ContractDiffers
from protocol.messages.base import Figure, Frozen, Line, Name, Sha256, Text, Utc, Version

CHUNK_BYTES: Final = 61_440  # 60 KiB: with its topic under every broker's 64 KB
BLOB_MAX_BYTES: Final = 2_000_000_000
TREE_MAX_DEPTH: Final = 2  # 1,920 hashes to a chunk: depth 1 reaches 118 MB, depth 2 reaches 226 GB
GOLDEN_MAX_BYTES: Final = 4_000_000

Size = Annotated[int, Field(ge=0, le=BLOB_MAX_BYTES)]


class Tree(Frozen):
    """A blob cut into chunks. At depth 0 the root is the one chunk; above, a chunk of the 32-byte hashes below it."""

    root: Sha256
    depth: int = Field(ge=0, le=TREE_MAX_DEPTH)
    size_bytes: Size


class Encoding(Frozen):
    """One way a file's bytes travel. A device passes over kinds that it does not know."""

    kind: str = Field(max_length=32, description="raw, zstd; later tensor-delta")
    tree: Tree
    base_sha256: Sha256 | None = Field(default=None, description="the file that a delta starts from")


class Tensor(Frozen):
    """An input or output. The first dimension is the batch, written as 1; `value_min` and `value_max` as trained on."""

    name: str = Field(max_length=200)
    shape: tuple[int, ...] = Field(max_length=8)
    dtype: str = Field(default="float32", max_length=16)
    value_min: float | None = None
    value_max: float | None = None


class Contract(Frozen):
    """What an application may rely on through every version of a model."""

    inputs: tuple[Tensor, ...] = Field(min_length=1, max_length=16)
    outputs: tuple[Tensor, ...] = Field(min_length=1, max_length=16)

    def check_successor(self, other: Contract) -> None:
        """Raise ContractDiffers when an application written for this contract would break on `other`.

        Shapes and types count; names do not, for converters rename tensors and applications pass by position.
        """
        for side, ours, theirs in (
            ("input", self.inputs, other.inputs),
            ("output", self.outputs, other.outputs),
        ):
            if len(ours) != len(theirs):
                raise ContractDiffers(f"{len(theirs)} {side}s where earlier versions have {len(ours)}")
            for index, (old, new) in enumerate(zip(ours, theirs, strict=True)):
                if (old.shape, old.dtype) != (new.shape, new.dtype):
                    raise ContractDiffers(
                        f"{side} {index} is {new.dtype} {list(new.shape)} where earlier versions"
                        f" have {old.dtype} {list(old.shape)}",
                        hint="release it as another model, or bring the model back to the old shape",
                    )


class Golden(Frozen):
    """The golden set: an .npz with `input_0` … and, for each variant, `<variant>_output_0` …, as measured here."""

    sha256: Sha256
    size_bytes: int = Field(ge=1, le=GOLDEN_MAX_BYTES)
    samples: int = Field(ge=1, le=10_000)
    encodings: tuple[Encoding, ...] = Field(min_length=1)


class Requirements(Frozen):
    """What a device must have to run a variant."""

    memory_bytes: int = Field(default=0, ge=0, description="resident memory of the interpreter with this file")
    runtime: str = Field(default="tflite", max_length=32)


class Measured(Frozen):
    """What the publisher measured with the device's own runtime, on its own machine."""

    accuracy: float | None = Field(default=None, ge=0, le=1, description="on the held-back set")
    accuracy_samples: int = Field(default=0, ge=0)
    agreement: float | None = Field(default=None, ge=0, le=1, description="same answer as the float32 parent")
    latency_ms_p50: float | None = Field(default=None, ge=0)
    latency_ms_p95: float | None = Field(default=None, ge=0)


class Variant(Frozen):
    """One file of a version. All variants take and give float32: quantization is the runtime's business."""

    name: Name
    precision: str = Field(max_length=32)
    sha256: Sha256
    size_bytes: Size
    golden_tolerance: float = Field(default=0.02, ge=0, description="largest absolute difference of an output")
    requires: Requirements = Requirements()
    measured: Measured = Measured()
    encodings: tuple[Encoding, ...] = Field(min_length=1, max_length=16)


class InputStatistics(Frozen):
    """How the first input looked in training, for a device to tell when its own look otherwise. See FEEDBACK.md.

    A level is the mean of an input's values; a segment is one of at most 16 equal stretches of them.
    """

    samples: int = Field(ge=1)
    mean: Figure = Field(description="of the levels")
    std: Figure = Field(ge=0, description="of the levels")
    levels: tuple[int, ...] = Field(default=(), max_length=32, description="how many levels fell into each bin")
    segment_means: tuple[Figure, ...] = Field(min_length=1, max_length=16)
    segment_stds: tuple[Figure, ...] = Field(min_length=1, max_length=16)
    distance_mean: Figure = Field(default=1.0, ge=0, description="of an input from the segments' means")
    distance_std: Figure = Field(default=0.0, ge=0)


class Manifest(Line):
    """One version of one model, signed."""

    model: Name
    version: Version
    created: Utc
    notes: Text = ""
    labels: tuple[str, ...] = Field(default=(), max_length=2000)
    contract: Contract
    golden: Golden
    variants: tuple[Variant, ...] = Field(min_length=1, max_length=32)
    input_statistics: InputStatistics | None = None
    forced: Text = Field(default="", description="the gate that was overridden for this release, with its numbers")

    @model_validator(mode="after")
    def _names_differ(self) -> Manifest:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError("two variants have the same name")
        return self

    def variant(self, name: str) -> Variant | None:
        """The variant of this name, if there is one."""
        return next((variant for variant in self.variants if variant.name == name), None)

    def trees(self) -> tuple[Tree, ...]:
        """Every blob that the broker must hold for this version."""
        golden = tuple(encoding.tree for encoding in self.golden.encodings)
        return golden + tuple(encoding.tree for variant in self.variants for encoding in variant.encodings)


def cheapest(encodings: tuple[Encoding, ...], known: frozenset[str], bases: frozenset[str]) -> Encoding | None:
    """The encoding with the fewest bytes among those that can be decoded here, from the files that are here."""
    usable = [
        encoding
        for encoding in encodings
        if encoding.kind in known and (encoding.base_sha256 is None or encoding.base_sha256 in bases)
    ]
    return min(usable, key=lambda encoding: encoding.tree.size_bytes, default=None)

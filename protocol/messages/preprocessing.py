"""What is done with a picture, a sound or an array before a model takes it.

Version 1 of the vocabulary. The records refuse fields and values that they do not know,
for a step that is half understood would be done wrongly: a manifest then holds a
`NewerPreprocessing`, and a device does not begin that version.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocol.messages.contract import DIMENSIONS_MAX

SIDE_MAX: Final = 16_384  # pixels
FREQUENCY_MAX_HZ: Final = 192_000
SAMPLES_MAX: Final = 20_000_000  # of a sound
FFT_MAX: Final = 8_192
STEPS_MAX: Final = 32
FEATURE: Final = "preprocessing"  # in `requires.runtime`: devices that do not know it refuse a version

Order = Literal["RGB", "BGR", "grey"]
Side = Annotated[int, Field(ge=1, le=SIDE_MAX)]
Number = Annotated[float, Field(ge=-1e30, le=1e30)]
Frequency = Annotated[float, Field(ge=0, le=FREQUENCY_MAX_HZ)]


class _Known(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PictureInput(_Known):
    """An application gives uint8 (height, width, channels) of any size."""

    kind: Literal["picture"] = "picture"
    order: Order = Field(default="RGB", description="of the channels that the application gives")


class AudioInput(_Known):
    """An application gives mono samples: int16, or float32 where 1.0 is full scale."""

    kind: Literal["audio"] = "audio"
    sample_rate_hz: int = Field(ge=1_000, le=FREQUENCY_MAX_HZ)
    samples: int = Field(ge=1, le=SAMPLES_MAX)


class ArrayInput(_Known):
    """An application gives an array; -1 is a size that may vary."""

    kind: Literal["array"] = "array"
    dtype: Literal["float32", "uint8", "int8", "int16", "int32", "int64"] = "float32"
    shape: tuple[Annotated[int, Field(ge=-1, le=SAMPLES_MAX)], ...] = Field(min_length=1, max_length=DIMENSIONS_MAX)


class ResizeStep(_Known):
    """To a size, whatever the proportions; pixel centres are at half numbers.

    Bilinear takes the two nearest rows and columns. With `antialias`, a picture that
    shrinks is averaged over all pixels that an output pixel covers, by a triangle.
    """

    step: Literal["resize"] = "resize"
    width: Side
    height: Side
    method: Literal["nearest", "bilinear"] = "bilinear"
    antialias: bool = False

    @model_validator(mode="after")
    def _goes_together(self) -> ResizeStep:
        if self.antialias and self.method == "nearest":
            raise ValueError("antialias goes with bilinear, not with nearest")
        return self


class CropStep(_Known):
    """A part of a picture: from `left` and `top`, or without them the middle."""

    step: Literal["crop"] = "crop"
    width: Side
    height: Side
    left: int | None = Field(default=None, ge=0, le=SIDE_MAX)
    top: int | None = Field(default=None, ge=0, le=SIDE_MAX)

    @model_validator(mode="after")
    def _goes_together(self) -> CropStep:
        if (self.left is None) != (self.top is None):
            raise ValueError("give both left and top, or none of them for the middle")
        return self


class ColourStep(_Known):
    """To another order of channels; grey is weighted as in ITU-R BT.601."""

    step: Literal["colour"] = "colour"
    order: Order


class ScaleStep(_Known):
    """x * factor + offset, in float32."""

    step: Literal["scale"] = "scale"
    factor: Number = 1.0
    offset: Number = 0.0


class NormalizeStep(_Known):
    """(x - mean) / std in float32: one number, or one for each of the last axis."""

    step: Literal["normalize"] = "normalize"
    mean: tuple[Number, ...] = Field(default=(0.0,), min_length=1, max_length=512)
    std: tuple[Annotated[float, Field(gt=0, le=1e30)], ...] = Field(default=(1.0,), min_length=1, max_length=512)


class CastStep(_Known):
    """To a type: to whole numbers by rounding half to even, held to its range."""

    step: Literal["cast"] = "cast"
    dtype: Literal["float32", "float16", "uint8", "int8", "int16", "int32", "int64"]


class WindowStep(_Known):
    """A sound in frames of `length` samples, one every `hop`, each times a window.

    A last frame that would be incomplete is left out.
    """

    step: Literal["window"] = "window"
    length: int = Field(ge=1, le=FFT_MAX)
    hop: int = Field(ge=1, le=SAMPLES_MAX)
    function: Literal["hann", "hamming", "none"] = Field(default="hann", description="periodic")


class MelStep(_Known):
    """Frames to energies in triangular bands, even on the HTK mel scale.

    The spectrum is of `fft_size` samples, a frame with zeros after it. The logarithm,
    natural, is of max(energy, floor).
    """

    step: Literal["mel"] = "mel"
    bins: int = Field(ge=1, le=512)
    fft_size: int = Field(ge=8, le=FFT_MAX, description="a power of two")
    fmin_hz: Frequency = 0.0
    fmax_hz: Frequency | None = Field(default=None, description="default: half the sample rate")
    spectrum: Literal["power", "magnitude"] = "power"
    log: bool = True
    floor: float = Field(default=1e-10, ge=1e-30, le=1e30)

    @model_validator(mode="after")
    def _power_of_two(self) -> MelStep:
        if self.fft_size & (self.fft_size - 1):
            raise ValueError("fft_size is a power of two, such as 512")
        return self


Raw = Annotated[PictureInput | AudioInput | ArrayInput, Field(discriminator="kind")]
Step = Annotated[
    ResizeStep | CropStep | ColourStep | ScaleStep | NormalizeStep | CastStep | WindowStep | MelStep,
    Field(discriminator="step"),
]


class InputPreprocessing(_Known):
    """What an application gives for one input, and the steps to what the model takes.

    Without `raw`, it gives what the model takes.
    """

    raw: Raw | None = None
    steps: tuple[Step, ...] = Field(default=(), max_length=STEPS_MAX)

    @model_validator(mode="after")
    def _goes_together(self) -> InputPreprocessing:
        if self.steps and self.raw is None:
            raise ValueError("steps need raw: what an application gives")
        return self


class Preprocessing(_Known):
    """For every input of the model, in the contract's order."""

    inputs: tuple[InputPreprocessing, ...] = Field(min_length=1, max_length=16)


class NewerPreprocessing(BaseModel):
    """A preprocessing that this version of EdgeFerry does not know."""

    model_config = ConfigDict(frozen=True, extra="allow")


DeclaredPreprocessing = Annotated[Preprocessing | NewerPreprocessing, Field(union_mode="left_to_right")]
STEP_NAMES: Final = ("resize", "crop", "colour", "scale", "normalize", "cast", "window", "mel")


def unknown_part(declared: NewerPreprocessing) -> str:
    """What is not known in a newer preprocessing, for a sentence."""
    inputs = (declared.model_extra or {}).get("inputs")
    steps = [
        step.get("step")
        for each in (inputs if isinstance(inputs, list) else [])
        if isinstance(each, dict) and isinstance(each.get("steps"), list)
        for step in each["steps"]
        if isinstance(step, dict)
    ]
    unknown = dict.fromkeys(str(name)[:40] for name in steps if name not in STEP_NAMES)
    return f"the preprocessing step {', '.join(unknown)}" if unknown else "a newer form of preprocessing"

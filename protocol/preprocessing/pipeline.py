"""The steps of one input as one function, checked before anything is run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadInput
from protocol.messages.preprocessing import (
    ArrayInput,
    AudioInput,
    CastStep,
    ColourStep,
    CropStep,
    MelStep,
    NormalizeStep,
    PictureInput,
    Raw,
    ResizeStep,
    ScaleStep,
    Step,
    WindowStep,
)
from protocol.preprocessing import numbers, pictures, sounds
from protocol.preprocessing.raw_input import channels_of

Array = NDArray[Any]
Operation = Callable[[Array], Array]
UNKNOWN: Final = -1  # a size that depends on what the application gives


@dataclass(frozen=True, slots=True)
class Form:
    """What flows between two steps; `order` of a picture, `rate_hz` of a sound."""

    shape: tuple[int, ...]
    dtype: str
    order: str = ""
    rate_hz: int = 0
    frames: bool = False

    def __str__(self) -> str:
        sizes = ", ".join("?" if size == UNKNOWN else str(size) for size in self.shape)
        return f"{self.dtype} [{sizes}]"


def first_form(raw: Raw) -> Form:
    match raw:
        case PictureInput(order=order):
            return Form((UNKNOWN, UNKNOWN, channels_of(raw)), "uint8", order)
        case AudioInput(samples=samples, sample_rate_hz=rate):
            return Form((samples,), "float32", rate_hz=rate)
        case ArrayInput(shape=shape, dtype=dtype):
            return Form(shape, dtype)


def compiled(step: Step, form: Form) -> tuple[Operation, Form]:
    """The step's function for such inputs, and what it makes. Raises BadInput."""
    match step:
        case ResizeStep() | CropStep() | ColourStep():
            return _picture_step(step, form)
        case WindowStep():
            return _window(step, form)
        case MelStep():
            return _mel(step, form)
        case ScaleStep(factor=factor, offset=offset):
            by, plus = numbers.flushed(np.array([factor, offset], np.float32))
            return lambda x: numbers.scale(x, by, plus), replace(form, dtype="float32")
        case NormalizeStep():
            return _normalize(step, form)
        case CastStep(dtype=name):
            dtype = np.dtype(name)
            return lambda x: numbers.cast(x, dtype), replace(form, dtype=name)


def fitted(form: Form, shape: tuple[int, ...]) -> Operation:
    """Brings the end of the steps to the shape of a tensor. Raises BadInput.

    Axes of size 1 may be added or left out; a tensor of one axis takes all values in a
    row.
    """
    if len(form.shape) == len(shape) and all(_meets(*sizes) for sizes in zip(form.shape, shape, strict=True)):
        return lambda x: x
    plain, wanted = [size for size in form.shape if size != 1], [size for size in shape if size != 1]
    known = UNKNOWN not in (*form.shape, *shape)
    if known and (plain == wanted or (len(shape) == 1 and math.prod(form.shape) == shape[0])):
        return lambda x: x.reshape(shape)
    raise BadInput(f"it ends with {form}, but the model takes {list(shape)}", hint="correct the sizes of its steps")


def _meets(size: int, wanted: int) -> bool:
    return wanted == UNKNOWN or size == wanted


def _picture_step(step: ResizeStep | CropStep | ColourStep, form: Form) -> tuple[Operation, Form]:
    if not form.order or form.dtype != "uint8":
        _refuse(step, f"{form} is no picture in uint8", "place it before scale, normalize and cast")
    sized = replace(form, shape=(getattr(step, "height", 0), getattr(step, "width", 0), form.shape[2]))
    match step:
        case ResizeStep(width=width, height=height, method="nearest"):
            return lambda x: pictures.resize_nearest(x, width, height), sized
        case ResizeStep(width=width, height=height, antialias=antialias):
            return lambda x: pictures.resize_bilinear(x, width, height, antialias=antialias), sized
        case CropStep(width=width, height=height, left=left, top=top):
            _check_crop(step, form)
            return lambda x: pictures.crop(x, width, height, left, top), sized
        case ColourStep(order=order):
            given, channels = form.order, 1 if order == "grey" else 3
            made = replace(form, shape=(*form.shape[:2], channels), order=order)
            return lambda x: pictures.reorder(x, given, order), made


def _check_crop(step: CropStep, form: Form) -> None:
    for size, start, whole in ((step.height, step.top, form.shape[0]), (step.width, step.left, form.shape[1])):
        if whole != UNKNOWN and (start or 0) + size > whole:
            _refuse(step, f"{form} has no part of that size there", "correct the sizes")


def _window(step: WindowStep, form: Form) -> tuple[Operation, Form]:
    if not form.rate_hz or form.frames:
        _refuse(step, f"{form} is no sound", "it comes first, and raw.kind is audio")
    (samples,) = form.shape
    if samples < step.length:
        _refuse(step, f"{samples} samples hold no frame of {step.length}", "give more samples, or a smaller length")
    count = 1 + (samples - step.length) // step.hop
    length, hop, function = step.length, step.hop, step.function
    made = replace(form, shape=(count, length), dtype="float32", frames=True)
    return lambda x: sounds.frames_of(x, length, hop, function), made


def _mel(step: MelStep, form: Form) -> tuple[Operation, Form]:
    if not form.frames or form.dtype != "float32":
        _refuse(step, f"{form} is not cut into frames", "place it after the step window")
    if form.shape[1] > step.fft_size:
        _refuse(step, f"frames have {form.shape[1]} samples, fft_size is {step.fft_size}", "raise fft_size")
    high_hz = step.fmax_hz if step.fmax_hz is not None else form.rate_hz / 2
    if not step.fmin_hz < high_hz <= form.rate_hz / 2:
        _refuse(step, f"{step.fmin_hz:g} to {high_hz:g} Hz at {form.rate_hz} Hz", "fmin < fmax <= half the rate")
    filters = sounds.filters_of(step.bins, step.fft_size, form.rate_hz, step.fmin_hz, high_hz)
    if not (filters[1] > 0).any(axis=1).all():
        empty = int((filters[1] > 0).any(axis=1).argmin())
        _refuse(step, f"band {empty} holds no line of the spectrum", "raise fft_size or fmin_hz, or lower bins")
    made = Form((form.shape[0], step.bins), "float32")
    return lambda x: _mel_of(x, filters, step), made


def _mel_of(frames: Array, filters: tuple[Array, Array], step: MelStep) -> Array:
    energies = sounds.mel_energies(frames, filters, step.fft_size, magnitude=step.spectrum == "magnitude")
    if step.log:
        energies = sounds.logarithm(np.maximum(energies, step.floor))
    return numbers.flushed(energies).astype(np.float32)


def _normalize(step: NormalizeStep, form: Form) -> tuple[Operation, Form]:
    last = form.shape[-1]
    for name, values in (("mean", step.mean), ("std", step.std)):
        if len(values) not in (1, last):
            _refuse(step, f"{name} has {len(values)} numbers, the last axis {last}", "give one, or one for each")
    mean, std = (numbers.flushed(np.array(each, np.float32)) for each in (step.mean, step.std))
    if not (std > 0).all():
        _refuse(step, "a std is 0 in float32", "use scale for such numbers")
    return lambda x: numbers.normalize(x, mean, std), replace(form, dtype="float32")


def _refuse(step: Step, problem: str, hint: str) -> NoReturn:
    raise BadInput(f"the step {step.step}: {problem}", hint=hint)

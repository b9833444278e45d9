"""The tree of errors that a person can meet; the command line turns each into one message and an exit code.

FerryError                1   something went wrong; the message says what, the hint says the way out
├── BadInput              2   a file, field, name or topic that the user gave
│   ├── BadName               a name that may not stand in a topic
│   ├── BadSettings           a settings file, environment variable or flag
│   ├── BadRecipe             a recipe that cannot train
│   ├── BadModel              a file that is no model, or none that the runtime opens
│   ├── ContractDiffers       a model that takes or gives something else than its predecessors
│   ├── VersionOccupied       a version that exists already
│   └── UnknownVersion        a version or model that the registry does not hold
├── Untrusted             3   metadata that may not be believed; nothing was changed
│   ├── BundleMalformed       not a bundle, or longer than one may be
│   ├── SignatureRefused      unsigned, altered, or signed by keys that are not trusted
│   ├── BundleReplayed        older than what was already accepted
│   └── BundleExpired         its time has run out
├── Damaged               4   bytes that are not what their name says; asking again is safe
│   ├── ChunkDamaged
│   └── BlobDamaged
├── BrokerTrouble         5
│   ├── BrokerUnreachable
│   └── BrokerRefused         wrong credentials, or a topic that the broker does not let us use
├── GateFailed            6   a release that is not good enough
├── Busy                  7   another command holds the registry or the device's folder
├── NoRoom                8   the disk is full, read-only or failing
└── MissingPart           9   a library, key or program that is not installed or not there
"""

from __future__ import annotations

from typing import ClassVar


class FerryError(Exception):
    """Something went wrong that a person can understand and act upon."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class BadInput(FerryError):
    """A file, field, name or topic that the user gave cannot be used."""

    exit_code = 2


class BadName(BadInput):
    """A name that may not stand in an MQTT topic."""


class BadSettings(BadInput):
    """A settings file, environment variable or flag cannot be used."""


class BadRecipe(BadInput):
    """A recipe that cannot train."""


class BadModel(BadInput):
    """A file that is no TensorFlow Lite model, or none that this runtime opens."""


class ContractDiffers(BadInput):
    """A model that takes or gives something else than the versions before it."""


class VersionOccupied(BadInput):
    """The version exists already; a released version never changes."""


class UnknownVersion(BadInput):
    """The registry holds no such model or version."""


class Untrusted(FerryError):
    """Metadata that may not be believed; what was trusted before stays trusted."""

    exit_code = 3


class BundleMalformed(Untrusted):
    """Not a bundle of ours, or longer than one may be."""


class SignatureRefused(Untrusted):
    """Unsigned, altered, or signed by keys that are not trusted for this role."""


class BundleReplayed(Untrusted):
    """Older than what was accepted before: a replay, or a broker restored from an old backup."""


class BundleExpired(Untrusted):
    """Signed rightly, but its time has run out."""


class Damaged(FerryError):
    """Bytes that are not what their name says; asking again is safe."""

    exit_code = 4


class ChunkDamaged(Damaged):
    """The broker gave bytes that are not the chunk that was asked for."""

    def __init__(self, expected_sha256: str, got_sha256: str) -> None:
        super().__init__(f"chunk {expected_sha256[:12]} came as {got_sha256[:12]}")
        self.expected_sha256 = expected_sha256


class BlobDamaged(Damaged):
    """A file or a decoded encoding does not have the hash that was signed."""


class BrokerTrouble(FerryError):
    """The broker cannot be used as it is."""

    exit_code = 5


class BrokerUnreachable(BrokerTrouble):
    """No broker answers at the address."""


class BrokerRefused(BrokerTrouble):
    """The broker answers, but refuses the credentials or a topic."""


class GateFailed(FerryError):
    """A release that is not good enough to go out."""

    exit_code = 6


class Busy(FerryError):
    """Another process holds the registry or the device's folder."""

    exit_code = 7


class NoRoom(FerryError):
    """The disk has no room for what must be written, or cannot be written at all."""

    exit_code = 8


class MissingPart(FerryError):
    """A library, key or program that this command needs is not there."""

    exit_code = 9

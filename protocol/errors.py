"""The tree of errors for people; the command line prints a message and an exit code.

FerryError 1
├── BadInput 2: BadName, BadSettings, BadRecipe, BadModel, ContractDiffers,
│               VersionOccupied, UnknownVersion
├── Untrusted 3: BundleMalformed, SignatureRefused, BundleReplayed, BundleExpired
├── Damaged 4: ChunkDamaged, BlobDamaged
├── BrokerTrouble 5: BrokerUnreachable, BrokerRefused
└── GateFailed 6, Busy 7, NoRoom 8, MissingPart 9

`message` is the fault, `hint` how to correct it.
"""

from __future__ import annotations

from typing import ClassVar


class FerryError(Exception):
    """An error that a person can understand and act upon."""

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
    """A name that is invalid in an MQTT topic."""


class BadSettings(BadInput):
    """A settings file, environment variable or flag cannot be used."""


class BadRecipe(BadInput):
    """A recipe that cannot train."""


class BadModel(BadInput):
    """A file that is no TensorFlow Lite model, or that this runtime cannot open."""


class ContractDiffers(BadInput):
    """A model with other inputs or outputs than earlier versions."""


class VersionOccupied(BadInput):
    """The version exists already; a released version never changes."""


class UnknownVersion(BadInput):
    """The registry holds no such model or version."""


class Untrusted(FerryError):
    """Metadata that failed verification; the trusted metadata is unchanged."""

    exit_code = 3


class BundleMalformed(Untrusted):
    """Not a bundle, or too long."""


class SignatureRefused(Untrusted):
    """Unsigned, altered, or signed by keys that are not trusted for this role."""


class BundleReplayed(Untrusted):
    """Older than the accepted one: a replay, or a broker restored from a backup."""


class BundleExpired(Untrusted):
    """Signed rightly, but past its expiry."""


class Damaged(FerryError):
    """Bytes that do not match their hash; a retry is safe."""

    exit_code = 4


class ChunkDamaged(Damaged):
    """The broker sent bytes that are not the requested chunk."""

    def __init__(self, expected_sha256: str, got_sha256: str) -> None:
        super().__init__(f"chunk {expected_sha256[:12]} came as {got_sha256[:12]}")
        self.expected_sha256 = expected_sha256


class BlobDamaged(Damaged):
    """A file or a decoded encoding does not have the signed hash."""


class BrokerTrouble(FerryError):
    """The broker cannot be used."""

    exit_code = 5


class BrokerUnreachable(BrokerTrouble):
    """No broker answers at the address."""


class BrokerRefused(BrokerTrouble):
    """The broker answers, but refuses the credentials or a topic."""


class GateFailed(FerryError):
    """A release that did not pass a gate."""

    exit_code = 6


class Busy(FerryError):
    """Another process holds the registry or the device's folder."""

    exit_code = 7


class NoRoom(FerryError):
    """The disk is full, read-only or failing."""

    exit_code = 8


class MissingPart(FerryError):
    """A library, key or program that this command needs is missing."""

    exit_code = 9

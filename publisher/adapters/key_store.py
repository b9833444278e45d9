"""The private keys of a registry: PEM files by role, in a folder for its owner only.

`<role>.pem`, and `<role>.2.pem` … while a role has several: a rotation adds a key, and
drops the old one after the new metadata is saved, so that no crash loses access.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner

from protocol.errors import BadSettings, MissingPart, VersionOccupied
from protocol.host.files import sync_folder, write_durably
from protocol.topics import check_name

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_OTHERS: Final = 0o077
_PEM_MAX_BYTES: Final = 16_384


class KeyStore:
    """Ed25519 keys by role: root, targets, snapshot, timestamp, `model-<name>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, roles: Sequence[str]) -> KeyStore:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        keys = cls(folder)
        for role in roles:
            keys.ensure(role)
        return keys

    def signers(self, role: str) -> list[CryptoSigner]:
        """Raises MissingPart, BadSettings for a key that others can read."""
        _check_private(self.folder, FOLDER_MODE)
        files = self.files(role)
        if not files:
            raise MissingPart(
                f"the key of the {role} role is not in {self.folder}",
                hint=f"bring back {role}.pem from where you keep it, and take it away again afterwards",
            )
        return [_read(path) for path in files]

    def ensure(self, role: str) -> list[CryptoSigner]:
        """The keys of a role; makes one if there is none."""
        return self.signers(role) if self.files(role) else [self.add(role)]

    def add(self, role: str) -> CryptoSigner:
        """Make another key for a role. It is on disk when this returns."""
        taken = len(self.files(role))
        signer = CryptoSigner.generate_ed25519()
        for number in range(taken + 1, taken + 100):
            path = self.folder / (f"{role}.pem" if number == 1 else f"{role}.{number}.pem")
            if not path.exists():
                write_durably(path, signer.private_bytes, FILE_MODE)
                return signer
        raise VersionOccupied(f"the {role} role has too many keys in {self.folder}")

    def drop_all_but(self, role: str, key_ids: frozenset[str]) -> list[Path]:
        """Delete the keys of a role but these, never all; return their files."""
        old = [path for path in self.files(role) if _read(path).public_key.keyid not in key_ids]
        if len(old) == len(self.files(role)):
            return []
        for path in old:
            path.unlink()
        sync_folder(self.folder)
        return old

    def files(self, role: str) -> list[Path]:
        """The key files of a role, the oldest name first."""
        check_name(role, "role")
        numbered = [path for path in self.folder.glob(f"{role}.*.pem") if path.suffixes[0][1:].isdecimal()]
        first = self.folder / f"{role}.pem"
        return ([first] if first.exists() else []) + sorted(numbered, key=lambda path: int(path.suffixes[0][1:]))


def _read(path: Path) -> CryptoSigner:
    _check_private(path, FILE_MODE)
    try:
        with path.open("rb") as pem:
            key = load_pem_private_key(pem.read(_PEM_MAX_BYTES), password=None)
    except OSError as unreadable:
        raise MissingPart(
            f"the key {path} cannot be read: {unreadable.strerror}", hint="run this as the user who owns the registry"
        ) from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadSettings(f"{path} is no private key", hint="bring it back from your backup") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadSettings(f"{path} is not an Ed25519 key", hint="bring back the key that `publisher init` made")
    return CryptoSigner(key)


def _check_private(path: Path, mode: int) -> None:
    try:
        found = path.stat().st_mode
    except FileNotFoundError:
        raise MissingPart(f"there are no keys at {path}", hint="bring the folder back from your backup") from None
    except OSError as unreadable:
        raise MissingPart(f"{path} cannot be reached: {unreadable.strerror}") from None
    if found & _OTHERS:
        raise BadSettings(f"{path} can be read by others than its owner", hint=f"type: chmod {mode:o} '{path}'")

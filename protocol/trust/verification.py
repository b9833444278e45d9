"""The device's side of trust: verifies a bundle against the enrolled root.

Runs python-tuf's client, which defends against rollback, freeze and mix-and-match
attacks, on the bundle instead of a network. Changes nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tuf.api import exceptions as tuf
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from protocol.errors import BadInput, BundleExpired, BundleMalformed, BundleReplayed, NoRoom, SignatureRefused
from protocol.messages.manifest import Manifest
from protocol.messages.plan import Plan
from protocol.topics import BUNDLE_MAX_BYTES
from protocol.trust.bundle import Bundle, manifest_path, plan_path, role_of, signed_part, unpack

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING_CHANGED: Final = "nothing was changed"
_CHECK_WRITERS: Final = "nothing was changed; look at who may write to the topic, or enroll the device again"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The content of a verified bundle, and the metadata to store against rollbacks."""

    plan: Plan
    manifests: dict[str, Manifest]  # by version; has every version that the plan names
    trusted: dict[str, bytes]  # by file name; save it whole, in one transaction, per model
    expires: datetime  # of the signature that expires first
    expiry_checked: bool  # False: the clock was not trusted, so the bundle may be outdated
    news: bool  # False: the same metadata was accepted before

    @property
    def sequence(self) -> int:
        """The plan's sequence."""
        return self.plan.sequence


def verify(
    bundle: bytes, *, model: str, root: bytes, trusted: Mapping[str, bytes], now: datetime, clock_trusted: bool
) -> Accepted:
    """Verify the payload of a model's `desired` topic; the caller saves the result.

    `root`: the enrolled root. `trusted`: from the last `Accepted` of this model, empty
    at first. Without `clock_trusted`, `now` is ignored and no signature expires: a
    device without a clock must not be locked out by it.

    Raises BundleMalformed, SignatureRefused, BundleReplayed, BundleExpired or NoRoom.
    """
    parts = unpack(bundle)
    if parts.model != model:
        raise SignatureRefused(
            f"the bundle of {parts.model!r} stands where {model!r} is announced", hint=_CHECK_WRITERS
        )
    with _translated_errors(parts, trusted), TemporaryDirectory(prefix="edgeferry-trust-") as folder:
        _lay_out(trusted, Path(folder))
        targets = _checked_targets(_updater(Path(folder), parts, root, now if clock_trusted else EPOCH), parts)
        after = _read_back(Path(folder))
    plan, manifests = _parse(targets, model)
    return Accepted(plan, manifests, after, _earliest_expiry(after, model), clock_trusted, after != dict(trusted))


class _FromBundle(FetcherInterface):
    def __init__(self, parts: Bundle) -> None:
        self._parts = parts

    def _fetch(self, url: str) -> Iterator[bytes]:
        content = self._parts.metadata.get(url.removeprefix("metadata/"))
        if content is None:
            raise tuf.DownloadHTTPError(f"{url.removeprefix('metadata/')} is not in the bundle", 404)
        return iter((content.encode(),))


def _updater(folder: Path, parts: Bundle, root: bytes, reference_time: datetime) -> Updater:
    config = UpdaterConfig(
        root_max_length=BUNDLE_MAX_BYTES,
        timestamp_max_length=BUNDLE_MAX_BYTES,
        snapshot_max_length=BUNDLE_MAX_BYTES,
        targets_max_length=BUNDLE_MAX_BYTES,
    )
    updater = Updater(str(folder), "metadata/", fetcher=_FromBundle(parts), config=config, bootstrap=root)
    # Private, and the only way: the library reads the system's clock here, which may be
    # at 1970 on a device. Nothing has been compared with it yet: the constructor only
    # loads the enrolled root. Pinned and tested in
    # tests/unit/protocol/trust/test_tuf_reference_time.py
    updater._trusted_set.reference_time = reference_time
    return updater


def _checked_targets(updater: Updater, parts: Bundle) -> dict[str, bytes]:
    updater.refresh()
    targets = {path: content.encode() for path, content in parts.targets.items()}
    for path, content in targets.items():
        signed = updater.get_targetinfo(path)
        if signed is None:
            raise SignatureRefused(f"no key that may sign for {path} has signed it", hint=_CHECK_WRITERS)
        signed.verify_length_and_hashes(content)
    return targets


def _parse(targets: Mapping[str, bytes], model: str) -> tuple[Plan, dict[str, Manifest]]:
    try:
        plan = Plan.from_line(_named(targets, plan_path(model)), max_bytes=BUNDLE_MAX_BYTES)
        manifests = {
            version: Manifest.from_line(_named(targets, manifest_path(model, version)), max_bytes=BUNDLE_MAX_BYTES)
            for version in plan.versions()
        }
    except BadInput as unreadable:
        raise BundleMalformed(unreadable.message, hint=_NOTHING_CHANGED) from None
    if plan.model != model:
        raise BundleMalformed(f"the plan of {model!r} speaks of {plan.model!r}", hint=_NOTHING_CHANGED)
    for version, manifest in manifests.items():
        if (manifest.model, manifest.version) != (model, version):
            found = f"{manifest.model} {manifest.version}"
            raise BundleMalformed(f"the manifest of {model} {version} speaks of {found}", hint=_NOTHING_CHANGED)
    return plan, manifests


def _named(targets: Mapping[str, bytes], path: str) -> bytes:
    content = targets.get(path)
    if content is None:
        raise BundleMalformed(f"the bundle lacks {path}", hint=_NOTHING_CHANGED)
    return content


@contextmanager
def _translated_errors(parts: Bundle, trusted: Mapping[str, bytes]) -> Iterator[None]:
    of = f"the bundle of {parts.model!r}"
    try:
        yield
    except tuf.ExpiredMetadataError as late:
        raise BundleExpired(
            f"{of} has expired: {late}", hint="run `publisher serve`, which renews it, and check this device's clock"
        ) from None
    except tuf.BadVersionNumberError as wrong:
        regress = _regress(parts, trusted)
        if regress:
            raise BundleReplayed(
                f"{of} is older than what was accepted before: {regress}",
                hint="nothing was changed; if the broker was restored from a backup, run `publisher serve`",
            ) from None
        raise SignatureRefused(f"parts of {of} do not belong together: {wrong}", hint=_CHECK_WRITERS) from None
    except tuf.UnsignedMetadataError as unsigned:
        raise SignatureRefused(
            f"{of} is not signed by keys that are trusted: {unsigned}", hint=_CHECK_WRITERS
        ) from None
    except tuf.LengthOrHashMismatchError as altered:
        raise SignatureRefused(
            f"{of} was altered, or mixed from two: {str(altered)[:200]}", hint=_CHECK_WRITERS
        ) from None
    except OSError as trouble:
        raise NoRoom(
            f"{of} cannot be checked: a temporary file cannot be written ({trouble.strerror})",
            hint="free some space, or point TMPDIR to a folder that can be written",
        ) from None
    except (tuf.RepositoryError, tuf.DownloadError, ValueError) as broken:
        raise BundleMalformed(f"{of} cannot be read: {str(broken)[:200]}", hint=_CHECK_WRITERS) from None


def _regress(parts: Bundle, trusted: Mapping[str, bytes]) -> str:
    """The first role with a lower version, or an empty text."""
    for role in ("timestamp", "snapshot", "targets", role_of(parts.model)):
        offered = next((text for name, text in parts.metadata.items() if name.endswith(f"{role}.json")), None)
        known = trusted.get(f"{role}.json")
        if offered is None or known is None:
            continue
        ours, theirs = _version(known), _version(offered.encode())
        if theirs < ours:
            return f"{role} {theirs} where {ours} was accepted"
    return ""


def _version(data: bytes) -> int:
    try:
        return signed_part(data).version
    except tuf.RepositoryError:
        return 0


def _lay_out(trusted: Mapping[str, bytes], folder: Path) -> None:
    for name, data in trusted.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


def _read_back(folder: Path) -> dict[str, bytes]:
    """The files that python-tuf stored, without its link to the newest root."""
    files = sorted(path for path in folder.rglob("*.json") if not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _earliest_expiry(trusted: Mapping[str, bytes], model: str) -> datetime:
    roots = [name for name in trusted if name.startswith("root_history/")]
    newest = max(roots, key=lambda name: int(Path(name).name.partition(".")[0]))
    names = (newest, "timestamp.json", "snapshot.json", "targets.json", f"{role_of(model)}.json")
    return min(signed_part(trusted[name]).expires for name in names if name in trusted)

"""Writes the folder that is copied to a device: `device.toml` and the root of trust. Talks to no broker."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.errors import BadInput
from protocol.topics import check_name
from publisher.operations.context import PublisherContext

DEFAULT_MODEL: Final = "digits"  # until something is released
SETTINGS: Final = "device.toml"
ROOT: Final = "root.json"
CA: Final = "ca.pem"  # who vouches for the broker, where that is no public authority
_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a device is told. The password is never shown."""

    device: str
    groups: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    force: bool = False


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """What was written."""

    device: str
    folder: Path
    models: tuple[str, ...]
    groups: tuple[str, ...]
    has_password: bool


def enroll(office: PublisherContext, wanted: Enrolment, folder: Path) -> EnrolmentResult:
    """Write the folder and remember the device. Raises BadName, BadInput when another root is there."""
    check_name(wanted.device, "device")
    for group in wanted.groups:
        check_name(group, "group")
    for model in wanted.models:
        check_name(model, "model")
    models = wanted.models or tuple(office.registry.models()) or (DEFAULT_MODEL,)
    root = office.authority().root
    try:
        _write(office, wanted, models, root, folder)
    except OSError as refused:
        raise BadInput(f"{folder} cannot be written: {refused.strerror}", hint="choose another --out") from None
    # one row in one transaction: no need to wait for a release that trains
    office.registry.add_device(wanted.device, wanted.groups, office.clock())
    return EnrolmentResult(wanted.device, folder, models, wanted.groups, wanted.password is not None)


def device_toml(office: PublisherContext, wanted: Enrolment, models: Sequence[str]) -> str:
    """The device's settings; whatever else may stand there is in the device client's documentation."""
    url = office.settings.broker
    scheme = "mqtts" if url.tls else "mqtt"
    lines = [
        "# Written by `publisher enroll`; paths are relative to this file.",
        f"device = {_quoted(wanted.device)}",
        f"groups = [{', '.join(_quoted(group) for group in wanted.groups)}]",
        f"broker = {_quoted(f'{scheme}://{url.address}')}",
    ]
    if wanted.user is not None:
        lines += [
            "# What the broker asks of this device. Keep this file to yourself.",
            f"user = {_quoted(wanted.user)}",
        ]
    if wanted.password is not None:
        lines.append(f"password = {_quoted(wanted.password)}")
    lines += [f"root = {_quoted(ROOT)}", f"topic_root = {_quoted(office.topics.root)}", 'state = "state"']
    if office.settings.tls.ca:
        lines += ["", "[tls]", f"ca = {_quoted(CA)}"]
    for model in models:
        lines += ["", "[[models]]", f"name = {_quoted(model)}"]
    return "\n".join(lines) + "\n"


def _write(office: PublisherContext, wanted: Enrolment, models: Sequence[str], root: bytes, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _check_root(folder / ROOT, root, force=wanted.force)
    _write_file(folder / ROOT, root, _PUBLIC)
    if ca := office.settings.tls.ca:
        _write_file(folder / CA, _read(ca), _PUBLIC)
    text, path = device_toml(office, wanted, models).encode(), folder / SETTINGS
    if path.exists() and path.read_bytes() != text:
        path.replace(folder / f"{SETTINGS}.old")  # somebody may have edited it
    _write_file(path, text, _PRIVATE if wanted.password is not None else _PUBLIC)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as refused:
        raise BadInput(f"{path} cannot be read: {refused.strerror}", hint="give --ca a file in PEM") from None


def _check_root(path: Path, root: bytes, *, force: bool) -> None:
    """Another root there belongs to another registry: the device would believe this one no more."""
    if not force and path.exists() and path.read_bytes() != root:
        raise BadInput(
            f"{path} is the root of another registry, or an older one",
            hint="choose another --out, or overwrite it with --force",
        )


def _write_file(path: Path, content: bytes, mode: int) -> None:
    """Written beside and renamed; nobody else can read it in between."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def _quoted(text: str) -> str:
    """A TOML string: what JSON escapes, TOML reads the same; DEL is the one exception."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

"""Writes the folder to copy to a device: `device.toml` and the root of trust."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.errors import BadInput
from protocol.host.files import write_durably
from protocol.topics import check_name
from publisher.operations.context import PublisherContext

DEFAULT_MODEL: Final = "digits"  # until something is released
SETTINGS: Final = "device.toml"
ROOT: Final = "root.json"
CA: Final = "ca.pem"  # of the broker's certificate, when it is not a public one
_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What to write. The password is never shown."""

    device: str
    groups: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    force: bool = False


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    device: str
    folder: Path
    models: tuple[str, ...]
    groups: tuple[str, ...]
    has_password: bool


def enroll(context: PublisherContext, enrolment: Enrolment, folder: Path) -> EnrolmentResult:
    """Write the folder and record the device. Raises BadName, BadInput."""
    check_name(enrolment.device, "device")
    for group in enrolment.groups:
        check_name(group, "group")
    for model in enrolment.models:
        check_name(model, "model")
    models = enrolment.models or tuple(context.registry.versions.models()) or (DEFAULT_MODEL,)
    root = context.authority().root
    try:
        _write(context, enrolment, models, root, folder)
    except OSError as refused:
        raise BadInput(f"{folder} cannot be written: {refused.strerror}", hint="choose another --out") from None
    # one transaction needs no lock: it would wait for a release that trains
    context.registry.devices.add(enrolment.device, enrolment.groups, context.clock())
    return EnrolmentResult(enrolment.device, folder, models, enrolment.groups, enrolment.password is not None)


def device_toml(context: PublisherContext, enrolment: Enrolment, models: Sequence[str]) -> str:
    url = context.settings.broker
    scheme = "mqtts" if url.tls else "mqtt"
    lines = [
        "# Written by `publisher enroll`; paths are relative to this file.",
        f"device = {_quoted(enrolment.device)}",
        f"groups = [{', '.join(_quoted(group) for group in enrolment.groups)}]",
        f"broker = {_quoted(f'{scheme}://{url.address}')}",
    ]
    if enrolment.user is not None:
        lines += [
            "# What the broker asks of this device. Keep this file to yourself.",
            f"user = {_quoted(enrolment.user)}",
        ]
    if enrolment.password is not None:
        lines.append(f"password = {_quoted(enrolment.password)}")
    lines += [f"root = {_quoted(ROOT)}", f"topic_root = {_quoted(context.topics.root)}", 'state = "state"']
    if context.settings.tls.ca:
        lines += ["", "[tls]", f"ca = {_quoted(CA)}"]
    for model in models:
        lines += ["", "[[models]]", f"name = {_quoted(model)}"]
    return "\n".join(lines) + "\n"


def _write(context: PublisherContext, enrolment: Enrolment, models: Sequence[str], root: bytes, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _check_root(folder / ROOT, root, force=enrolment.force)
    write_durably(folder / ROOT, root, _PUBLIC)
    if ca := context.settings.tls.ca:
        write_durably(folder / CA, _read(ca), _PUBLIC)
    text, path = device_toml(context, enrolment, models).encode(), folder / SETTINGS
    if path.exists() and path.read_bytes() != text:
        path.replace(folder / f"{SETTINGS}.old")  # it may have been edited
    write_durably(path, text, _PRIVATE if enrolment.password is not None else _PUBLIC)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as refused:
        raise BadInput(f"{path} cannot be read: {refused.strerror}", hint="give --ca a file in PEM") from None


def _check_root(path: Path, root: bytes, *, force: bool) -> None:
    """Refuse to replace another root: the device would not trust its own registry."""
    if not force and path.exists() and path.read_bytes() != root:
        raise BadInput(
            f"{path} is the root of another registry, or an older one",
            hint="choose another --out, or overwrite it with --force",
        )


def _quoted(text: str) -> str:
    """A TOML string: TOML reads what JSON escapes, except for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

"""Tests each thing that a device needs, with a remedy for what fails."""

from __future__ import annotations

import os
import queue
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from device_client.adapters.runtime.tflite import check_delegates, check_runtime
from device_client.adapters.sensors.device_sensors import DeviceSensors
from device_client.adapters.storage.disk import os_error
from device_client.adapters.storage.journal import Journal
from device_client.adapters.swap_hook import found_program
from device_client.core.conditions.readings import Unknown
from device_client.paths import JOURNAL
from device_client.service.device_service import read_root
from device_client.settings.loader import DeviceSettings
from device_client.settings.sections import ModelSection
from protocol.errors import Busy, FerryError
from protocol.messages.device import Status
from protocol.mqtt.link import Connected, Disconnected, LinkEvent, Received, Refused
from protocol.mqtt.paho_link import MqttLink, TlsFiles
from protocol.topics import Kind, Topics

ANSWER_TIMEOUT_S: Final = 8.0
DISK_AMPLE_BYTES: Final = 200_000_000
Level = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Check:
    """One result; `warn`: works, but less well than it could; `fix`: what to do."""

    name: str
    level: Level
    found: str
    fix: str = ""


def examine(settings: DeviceSettings) -> Iterator[Check]:
    """Run every test, one after the other. Never raises."""
    yield _try("runtime", lambda: f"{check_runtime()} opened and ran a model")
    for section in settings.models:
        yield from _of_model(section)
    yield _try("root", lambda: f"{len(read_root(settings.root)):,} bytes at {settings.root}")
    yield _try("state folder", lambda: _state_folder(settings))
    yield _disk(settings)
    yield _clock(settings)
    yield from _broker(settings)


def _of_model(section: ModelSection) -> Iterator[Check]:
    if section.delegates:
        yield _try(f"delegates of {section.name}", lambda: _delegates(section))
    if section.on_swap:
        yield _try(f"on_swap of {section.name}", lambda: found_program(section.name, section.on_swap))


def _delegates(section: ModelSection) -> str:
    check_delegates(section.runtime_delegates())
    return f"{', '.join(delegate.library for delegate in section.delegates)} loaded"


def _try(name: str, attempt: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", attempt())
    except FerryError as refused:
        return Check(name, "bad", refused.message, refused.hint)
    except OSError as failed:
        error = os_error(failed, f"{failed.filename or 'the folder'} cannot be used")
        return Check(name, "bad", error.message, error.hint)


def _state_folder(settings: DeviceSettings) -> str:
    try:
        Journal(settings.state / JOURNAL).close()
    except Busy as running:
        return f"{settings.state} is in use: {running.message}"
    probe = settings.state / f".doctor-{os.getpid()}"
    probe.write_bytes(b"well")
    probe.unlink()
    return f"{settings.state} can be written"


def _disk(settings: DeviceSettings) -> Check:
    folder = next(path for path in (settings.state, *settings.state.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e6:,.0f} MB free at {folder}"
    least = settings.conditions.disk_min_bytes
    if free < least:
        found += f", under the {least / 1e6:,.0f} MB of disk_min_bytes: no update begins"
    level: Level = "bad" if free < least else "warn" if free < DISK_AMPLE_BYTES else "ok"
    return Check("disk", level, found, "remove files from that disk, or set `state` to another one")


def _clock(settings: DeviceSettings) -> Check:
    """No more than a warning: a wrong clock delays updates, and breaks nothing."""
    synchronised = DeviceSensors(settings.state, settings.probe_file).clock_synchronised()
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    if synchronised is True:
        return Check("clock", "ok", f"{now}, synchronised")
    fix = "sudo timedatectl set-ntp true"
    if isinstance(synchronised, Unknown):
        return Check("clock", "warn", f"{now}; whether it is synchronised is unknown: {synchronised.reason}", fix)
    return Check("clock", "warn", f"{now}, not synchronised: signatures are checked, their expiry is not", fix)


def _broker(settings: DeviceSettings) -> Iterator[Check]:
    """Connect with another client id, and publish each status again unchanged."""
    inbox: queue.Queue[LinkEvent] = queue.Queue()
    url, tls = settings.broker_url(), settings.tls
    try:
        files = TlsFiles(ca=tls.ca, cert=tls.cert, key=tls.key)
        link = MqttLink(url, f"edgeferry-{settings.device}-doctor", inbox.put, tls=files)
    except FerryError as refused:
        yield Check("broker", "bad", refused.message, refused.hint)
        return
    link.start()
    try:
        event = _next(inbox, (Connected, Disconnected))
        if not isinstance(event, Connected):
            yield _no_connection(str(url), event)
            return
        yield Check("broker", "ok", f"{url} accepts this device")
        for section in settings.models:
            yield _own_status(settings, section.name, link, inbox)
    finally:
        link.stop()


def _no_connection(url: str, event: LinkEvent | None) -> Check:
    if not isinstance(event, Disconnected):
        fix = "check `broker` in device.toml, and that nothing between here and there drops packets"
        return Check("broker", "bad", f"{url}: no answer within {ANSWER_TIMEOUT_S:.0f} s", fix)
    fix = "check `broker` in device.toml, and that the broker runs"
    if event.final:
        fix = "check `user` and `password` in device.toml; on the broker: mosquitto_passwd PASSWORDFILE USER"
    return Check("broker", "bad", event.reason, fix)


def _own_status(settings: DeviceSettings, model: str, link: MqttLink, inbox: queue.Queue[LinkEvent]) -> Check:
    topic = Topics(settings.topic_root).of_device(Kind.STATUS, settings.device, model)
    name = f"status of {model}"
    link.subscribe([topic], qos=0)
    retained = _next(inbox, (Received,), within_s=1.5)
    payload = retained.payload if isinstance(retained, Received) else _first_status(settings, model)
    link.publish(topic, payload, qos=1, retain=True)
    response = _next(inbox, (Received, Refused))
    if isinstance(response, Received):
        return Check(name, "ok", f"{topic} can be written and read")
    why = response.reason if isinstance(response, Refused) else "what was written did not come back"
    fix = f"let user {settings.user or settings.device!r} write fleet/v1/devices/{settings.device}/# (mosquitto/acl)"
    return Check(name, "bad", f"{topic}: {why}", fix.replace("fleet", settings.topic_root, 1))


def _first_status(settings: DeviceSettings, model: str) -> bytes:
    now = datetime.now(UTC)
    status = Status(state="idle", reason="doctor was here; not run yet", device=settings.device, model=model, at=now)
    return status.to_line()


def _next(
    inbox: queue.Queue[LinkEvent], kinds: tuple[type, ...], *, within_s: float = ANSWER_TIMEOUT_S
) -> LinkEvent | None:
    until_s = time.monotonic() + within_s
    while (left_s := until_s - time.monotonic()) > 0:
        try:
            event = inbox.get(timeout=left_s)
        except queue.Empty:
            return None
        if isinstance(event, kinds):
            return event
    return None

"""The composition root of a device: builds its parts and runs them on one thread."""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Self

from tuf.api.exceptions import RepositoryError

from device_client.adapters.process_priority import lower_priority
from device_client.adapters.runtime.tflite import check_delegates, runtime_name
from device_client.adapters.sandbox.parent import TrialProcess
from device_client.adapters.sensors.device_sensors import DeviceSensors
from device_client.adapters.storage.file_store import FileStore
from device_client.adapters.storage.journal import Journal
from device_client.adapters.storage.sealed_store import SealedFiles
from device_client.adapters.swap_hook import SwapHook
from device_client.engine.engine import Engine
from device_client.mqtt_inference.event_router import EventRouter
from device_client.mqtt_inference.request_handler import RequestHandler
from device_client.mqtt_inference.request_worker import RequestWorker
from device_client.paths import CURRENT, JOURNAL, model_folder
from device_client.ports.context import Adapters, Clock, LinkOutput, no_observer
from device_client.ports.serving import Swapped
from device_client.reporting.feedback_reporter import FeedbackReporter
from device_client.service.event_loop import EventLoop, Inbound, Posted, drive
from device_client.service.presence import Identity, RoundTrip
from device_client.serving.live_serving import LiveServing
from device_client.serving.trial.shadow import ShadowSettings
from device_client.settings.loader import DeviceSettings
from device_client.settings.sections import ModelSection
from protocol.errors import BadSettings, MissingPart, NoRoom
from protocol.mqtt.paho_link import MqttLink, TlsFiles, Will
from protocol.topics import Topics
from protocol.trust.bundle import signed_part
from protocol.trust.verification import Accepted, verify

ROOT_MAX_BYTES: Final = 512_000
NICE: Final = 5

log = logging.getLogger(__name__)


class DeviceService:
    """One device in this process; any thread may use its `servings`."""

    def __init__(self, settings: DeviceSettings) -> None:
        """Raises BadSettings, MissingPart (no runtime), Busy (another process)."""
        self.settings = settings
        self._root = read_root(settings.root)
        self._clock = Clock(time.monotonic, lambda: datetime.now(UTC))
        self._inbox: queue.Queue[Inbound] = queue.Queue()
        self._stop = threading.Event()
        self._closed = False
        self.journal = Journal(settings.state / JOURNAL, feedback_budget_bytes=settings.feedback.budget_bytes)
        self.servings: dict[str, LiveServing] = {}
        zone = settings.strategy.local_zone()
        self._sensors = DeviceSensors(settings.state, settings.probe_file, sources=settings.probes, zone=zone)
        self._workers: list[RequestWorker] = []
        self._swap_hooks: list[SwapHook] = []
        try:
            check_delegates_of(settings.models)
            self._loop = self._assemble()
        except BaseException:
            self.journal.close()
            raise
        self._thread = threading.Thread(target=self._drive, name="edgeferry", daemon=True)

    def start(self) -> Self:
        for hook in self._swap_hooks:
            hook.start()
        for worker in self._workers:
            worker.start()
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop the device; unacknowledged reports stay in the journal."""
        if self._closed:
            return
        self._closed = True
        for worker in self._workers:  # before the last feedback is reported and the link closed
            worker.close()
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for hook in self._swap_hooks:
            hook.close()
        for serving in self.servings.values():
            serving.close()
        self.journal.close()

    @property
    def alive(self) -> bool:
        """Whether updates run; predictions work without them too."""
        return self._thread.is_alive()

    def _drive(self) -> None:
        # predictions come first: lower the priority of this thread and its children
        lower_priority(threading.get_native_id(), NICE)
        drive(self._loop, self._inbox, self._stop, self._clock)

    def _assemble(self) -> EventLoop:
        settings, topics = self.settings, Topics(self.settings.topic_root)
        session = self._new_session_id()
        identity = Identity(settings.device, session, client_name(), runtime_name())
        round_trip = RoundTrip()
        reporter = FeedbackReporter(
            settings.device,
            session,
            topics,
            self.journal,
            self._clock,
            every_s=settings.feedback.every_s,
            window_max_bytes=settings.feedback.window_max_bytes,
        )
        loop = EventLoop(identity, topics, self._clock, round_trip, reporter, self.journal)
        output = LinkOutput(loop.publish, loop.sweep, loop.outbox_filled, lambda: round_trip.latest_ms)
        engines = {section.name: self._engine(section, topics, output) for section in settings.models}
        will = Will(topics.presence(settings.device), identity.presence(online=False, clock=None))
        tls = TlsFiles(ca=settings.tls.ca, cert=settings.tls.cert, key=settings.tls.key)
        router = EventRouter(self._inbox.put)
        client_id = f"edgeferry-{settings.device}"
        link = MqttLink(settings.broker_url(), client_id, router.route, tls=tls, will=will)
        loop.attach(link, engines, self.servings)
        for name in (section.name for section in settings.models if section.mqtt_inference):
            handler = RequestHandler(settings.device, name, self.servings[name])
            self._workers.append(RequestWorker(settings.device, name, topics, handler, partial(_respond, link)))
        router.attach(link, self._workers)
        return loop

    def _engine(self, section: ModelSection, topics: Topics, output: LinkOutput) -> Engine:
        model, delegates, trial = section.name, section.runtime_delegates(), self.settings.trial
        serving = LiveServing(
            threads=section.threads,
            delegates=delegates,
            sample_every=self.settings.feedback.look_every,
            shadow_settings=ShadowSettings(
                cpu_percent=trial.shadow_cpu_percent,
                slow_ratio=trial.latency_ratio_max,
                slow_floor_ms=trial.latency_floor_ms,
            ),
            drift_states=self.journal.drift_states(model),
            sealed=self._sealed_files(model),
        )
        self.servings[model] = serving
        adapters = Adapters(
            store=FileStore(model_folder(self.settings.state, model)),
            prover=TrialProcess(delegates=delegates),
            serving=serving,
            sensors=self._sensors,
            journal=self.journal,
            verify=partial(self._verify, model),
            output=output,
            clock=self._clock,
            on_swap=self._swap_observer(section),
        )
        policy = self.settings.policy(section)
        return Engine(policy, adapters, topics, lambda event: self._inbox.put(Posted(model, event)))

    def _sealed_files(self, model: str) -> SealedFiles | None:
        files = SealedFiles(model_folder(self.settings.state, model))
        if self.settings.trial.sealed_inputs:
            return files
        files.clear()  # of a time when it was allowed
        return None

    def _new_session_id(self) -> str:
        """An id of this run: its number, and digits in case that was not saved."""
        try:
            number = self.journal.next_session()
        except NoRoom as full:  # the installed models can serve all the same
            log.error("this start was not counted: %s", full)
            number = 0
        return f"{number}-{secrets.token_hex(3)}"

    def _swap_observer(self, section: ModelSection) -> Callable[[Swapped], None]:
        if not section.on_swap:
            return no_observer
        current = model_folder(self.settings.state, section.name) / CURRENT
        hook = SwapHook(section.name, section.on_swap, current, timeout_s=section.on_swap_timeout_s)
        self._swap_hooks.append(hook)
        return hook.notify

    def _verify(self, model: str, bundle: bytes, trusted: Mapping[str, bytes]) -> Accepted:
        now, synchronised = self._clock.utc(), self._sensors.clock_synchronised() is True
        return verify(bundle, model=model, root=self._root, trusted=trusted, now=now, clock_trusted=synchronised)


def check_delegates_of(models: Iterable[ModelSection]) -> None:
    """Raises BadSettings: without a delegate, trials would use other hardware."""
    for section in models:
        try:
            check_delegates(section.runtime_delegates())
        except MissingPart as missing:
            raise BadSettings(
                f"delegates of {section.name}: {missing.message}",
                hint="mend `delegates` in device.toml, or take them out to compute on the processor",
            ) from None


def client_name() -> str:
    try:
        return f"edgeferry {version('edgeferry')}"
    except PackageNotFoundError:
        return "edgeferry"


def _respond(link: MqttLink, topic: str, payload: bytes, correlation: bytes) -> None:
    # a refused publish at QoS 1 would be repeated forever
    link.publish(topic, payload, qos=0, retain=False, correlation=correlation)


def read_root(path: Path) -> bytes:
    """Read the enrolled root. Raises BadSettings."""
    hint = "`publisher enroll DEVICE --out FOLDER` writes root.json; copy it beside device.toml"
    try:
        with path.open("rb") as file:
            root = file.read(ROOT_MAX_BYTES + 1)
    except OSError as unreadable:
        raise BadSettings(f"the enrolled root {path} cannot be read: {unreadable.strerror}", hint=hint) from None
    if len(root) > ROOT_MAX_BYTES or not _is_root(root):
        raise BadSettings(f"{path} is no root metadata", hint=hint)
    return root


def _is_root(data: bytes) -> bool:
    """Whether it is well-formed; the first bundle shows if it is the right one."""
    try:
        return bool(signed_part(data).type == "root")
    except (RepositoryError, RecursionError):
        return False

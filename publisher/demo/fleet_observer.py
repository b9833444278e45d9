"""`FleetObserver`: counts what devices publish, whatever the demo expects."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Final, Self

from protocol.errors import BadInput
from protocol.messages.device import Feedback, Outcome, OutcomeKind, Status
from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.link import Connected, LinkEvent, Received
from protocol.mqtt.paho_link import MqttLink
from protocol.topics import Kind, Topics

OBSERVED: Final = (Kind.STATUS, Kind.EVENT, Kind.FEEDBACK)


class FleetObserver:
    def __init__(self, url: BrokerUrl, topics: Topics) -> None:
        self._inbox: queue.Queue[LinkEvent] = queue.Queue()
        self._link = MqttLink(url, "edgeferry-observer", self._inbox.put)
        self._topics = topics
        self.statuses: dict[str, Status] = {}
        self.outcomes: dict[str, Outcome] = {}  # by event id: events are delivered at least once
        self.windows: dict[str, Feedback] = {}  # the same
        self.last_feedback = ("", b"")
        self.last_refusal = ("", b"")

    def __enter__(self) -> Self:
        self._link.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._link.stop()

    def wait_until(self, condition: Callable[[], bool], *, timeout_s: float, meanwhile: Callable[[], None]) -> bool:
        """Receive until `condition` holds; False after `timeout_s`."""
        until_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= until_s:
                return False
            try:
                self._handle(self._inbox.get(timeout=0.2))
            except queue.Empty:
                meanwhile()
        return True

    def devices(self, outcome: OutcomeKind, version: str) -> int:
        reported = (each for each in self.outcomes.values() if (each.outcome, each.version) == (outcome, version))
        return len({each.device for each in reported})

    def rejection_reason(self) -> str:
        return next(each.reason for each in self.outcomes.values() if each.outcome == "rejected")

    def running(self, version: str) -> int:
        return sum(status.installed_version == version for status in self.statuses.values())

    @property
    def inferences(self) -> int:
        return sum(window.inferences for window in self.windows.values())

    @property
    def failed_inferences(self) -> int:
        return sum(window.errors for window in self.windows.values())

    def accuracy(self, version: str) -> float | None:
        """The share of correct outputs among labelled ones; None without any."""
        windows = [window for window in self.windows.values() if window.version == version]
        labelled = sum(window.labelled for window in windows)
        return sum(window.correct for window in windows) / labelled if labelled else None

    def _handle(self, event: LinkEvent) -> None:
        match event:
            case Connected():
                self._link.subscribe([self._topics.of_every_device(kind) for kind in OBSERVED], qos=1)
            case Received(topic, payload):
                try:
                    self._add(topic, payload)
                except BadInput:
                    return  # not a message of EdgeFerry

    def _add(self, topic: str, payload: bytes) -> None:
        address = self._topics.parse(topic)
        match address.kind if address else None:
            case Kind.STATUS:
                status = Status.from_line(payload)
                self.statuses[status.device] = status
            case Kind.EVENT:
                outcome = Outcome.from_line(payload)
                self.outcomes[outcome.event_id] = outcome
                if outcome.outcome == "rejected":
                    self.last_refusal = (topic, payload)
            case Kind.FEEDBACK:
                window = Feedback.from_line(payload)
                self.windows[window.event_id] = window
                self.last_feedback = (topic, payload)

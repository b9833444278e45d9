"""Records what devices publish on a real broker; `observing(url)` is the way in."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.link import Connected, Disconnected, LinkEvent, Received, SweepCompleted
from protocol.mqtt.paho_link import MqttLink
from protocol.topics import Kind, Topics
from tests.recorder import WITHIN_S, Recorder

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeviceMessage:
    """One message of a device; `says` is its JSON."""

    kind: Kind
    device: str
    says: Facts
    line: bytes
    retained: bool


class FleetObserver:
    """Subscribes to all devices; start it before them."""

    def __init__(self, url: BrokerUrl, topics: Topics | None = None) -> None:
        self._recorder = Recorder[DeviceMessage]()
        self._topics = topics or Topics()
        self._subscribed = threading.Event()
        self._link = MqttLink(url, f"observer-{id(self)}", self._receive)

    @property
    def messages(self) -> list[DeviceMessage]:
        """Every message so far."""
        return self._recorder.items

    def start(self) -> None:
        """Connect; returns when no later message can be missed."""
        self._link.start()
        self.wait_subscribed()

    def wait_subscribed(self) -> None:
        """Wait after a broker's restart: it keeps no event for later subscribers."""
        assert self._subscribed.wait(WITHIN_S), "the broker accepts no subscription"

    def stop(self) -> None:
        """Disconnect."""
        self._link.stop()

    def _receive(self, event: LinkEvent) -> None:
        match event:
            case Connected():
                self._link.subscribe([f"{self._topics.root}/v1/devices/#"], qos=1)
                self._link.sweep([f"{self._topics.root}/v1/nothing"])  # answered after the subscription
            case Disconnected():
                self._subscribed.clear()
            case SweepCompleted():
                self._subscribed.set()
            case Received(topic, payload, retained):
                address = self._topics.parse(topic)
                if address is not None and payload and address.kind is not Kind.INPUT:  # not sent by a device
                    says = json.loads(payload)
                    self._recorder.record(DeviceMessage(address.kind, address.device, says, payload, retained))

    def mark(self) -> int:
        """A point in time, for `since`."""
        return len(self.messages)

    def wait(
        self,
        kind: Kind,
        where: Callable[[Facts], bool],
        *,
        device: str | None = None,
        since: int = 0,
        within_s: float = WITHIN_S,
        while_: Callable[[], bool] = lambda: True,
    ) -> Facts:
        """The first message of a kind since a mark; fail once `while_` is false."""

        def fits(message: DeviceMessage) -> bool:
            return message.kind is kind and device in (None, message.device) and where(message.says)

        return self.messages[self._recorder.wait(fits, since=since, within_s=within_s, while_=while_)].says

    def state(self, device: str, state: str, *, since: int = 0, within_s: float = WITHIN_S, **facts: object) -> Facts:
        """Wait for a device's status with this state and these facts."""

        def fits(says: Facts) -> bool:
            return says["state"] == state and all(says.get(name) == fact for name, fact in facts.items())

        return self.wait(Kind.STATUS, fits, device=device, since=since, within_s=within_s)

    def of(self, kind: Kind, device: str | None = None, since: int = 0) -> list[Facts]:
        """All messages of a kind since a mark."""
        return [each.says for each in self.messages[since:] if each.kind is kind and device in (None, each.device)]


@contextlib.contextmanager
def observing(url: BrokerUrl) -> Iterator[FleetObserver]:
    """A connected observer for the length of a `with` block."""
    observer = FleetObserver(url)
    try:
        observer.start()
        yield observer
    finally:
        observer.stop()

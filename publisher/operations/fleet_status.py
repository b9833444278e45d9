"""`FleetStatusReader`: the state of the fleet from the devices' retained messages.

Needs no registry. With one, enrolled devices that have never reported are listed too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from protocol.errors import BadInput
from protocol.messages.device import Presence, Status
from protocol.topics import Address, Kind, Topics
from publisher.adapters.broker_client import BrokerClient
from publisher.core.fleet.fleet_table import FleetTable, Row
from publisher.operations.context import PublisherContext, utc_now

QUIET_S = 1.0
FOLLOW_EVERY_S = 1.0
RESUBSCRIBE_EVERY_S = 60.0  # brings retained messages that the broker dropped


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """The table at a time; `unreadable` counts malformed messages."""

    rows: tuple[Row, ...]
    at: datetime
    unreadable: int = 0


class FleetStatusReader:
    """Reads the topics of `enrolled` devices and all others."""

    def __init__(
        self, broker: BrokerClient, topics: Topics, enrolled: tuple[str, ...], models: tuple[str, ...]
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._table = FleetTable(enrolled)
        self._enrolled = enrolled
        self._models = models
        self._unreadable = 0
        self._patterns = [topics.of_every_device(kind) for kind in (Kind.PRESENCE, Kind.STATUS)]

    def read(self) -> FleetStatus:
        for topic, payload in self._broker.collect(self._patterns, quiet_s=QUIET_S).items():
            self._add(topic, payload)
        # a broker may have dropped some: read those of known devices by topic
        for topic, payload in self._broker.read_each(self._missing_topics()):
            self._add(topic, payload)
        return self._status()

    def follow(self) -> Iterator[FleetStatus]:
        """The fleet's state about once a second, without end."""
        subscribe_at_s = 0.0
        while True:
            if time.monotonic() >= subscribe_at_s:
                subscribe_at_s = time.monotonic() + RESUBSCRIBE_EVERY_S
                self._broker.subscribe(self._patterns)
            for received in self._broker.receive(self._patterns, quiet_s=FOLLOW_EVERY_S, for_s=FOLLOW_EVERY_S):
                self._add(received.topic, received.payload)
            yield self._status()

    def _missing_topics(self) -> list[str]:
        silent = {row.device for row in self._table.rows(utc_now()) if row.age_s is None}
        devices = [device for device in self._enrolled if device in silent]
        presences = [self._topics.presence(device) for device in devices]
        return presences + [
            self._topics.of_device(Kind.STATUS, device, model) for device in devices for model in self._models
        ]

    def _add(self, topic: str, payload: bytes) -> None:
        address = self._topics.parse(topic)
        if address is None:
            return
        if not payload:
            self._table.remove(address.device, address.model or None)
            return
        try:
            self._add_message(address, payload)
        except BadInput:
            self._unreadable += 1

    def _add_message(self, address: Address, payload: bytes) -> None:
        """Accept a message on its own topic only: ACLs guard topics, not payloads."""
        if address.kind is Kind.PRESENCE:
            presence = Presence.from_line(payload)
            _check_sender(presence.device == address.device)
            self._table.add_presence(presence)
        elif address.kind is Kind.STATUS:
            status = Status.from_line(payload)
            _check_sender((status.device, status.model) == (address.device, address.model))
            self._table.add_status(status)

    def _status(self) -> FleetStatus:
        now = utc_now()
        return FleetStatus(tuple(self._table.rows(now)), now, self._unreadable)


def read_fleet_status(context: PublisherContext) -> FleetStatus:
    registry = context.registry
    devices = tuple(device.name for device in registry.devices.all())
    return FleetStatusReader(context.broker, context.topics, devices, tuple(registry.versions.models())).read()


def _check_sender(same: bool) -> None:
    if not same:
        raise BadInput("a message names another device or model than its topic")

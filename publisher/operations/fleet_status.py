"""Reads what the fleet says on its retained topics. Needs no registry; where there is one, silent devices are named."""

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
from publisher.operations.context import utc_now

QUIET_S = 1.0
FOLLOW_S = 1.0  # a table that is watched is drawn anew about this often
LISTEN_AGAIN_S = 60.0  # what a broker dropped on the way comes then


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """The table; `unreadable` counts messages that were no messages of ours."""

    rows: tuple[Row, ...]
    at: datetime
    unreadable: int = 0


class Reader:
    """Hears the fleet."""

    def __init__(
        self, broker: BrokerClient, topics: Topics, enrolled: tuple[str, ...], models: tuple[str, ...]
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._picture = FleetTable(enrolled)
        self._enrolled = enrolled
        self._models = models
        self._unreadable = 0
        self._patterns = [topics.of_every_device(kind) for kind in (Kind.PRESENCE, Kind.STATUS)]

    def read(self) -> FleetStatus:
        """The fleet as it stands now."""
        for topic, payload in self._broker.collect(self._patterns, quiet_s=QUIET_S).items():
            self._hear(topic, payload)
        # a broker drops kept messages past its queue without a word: who should be there is asked for by name
        for topic, payload in self._broker.read_each(self._expected()):
            self._hear(topic, payload)
        return self._status()

    def follow(self) -> Iterator[FleetStatus]:
        """The fleet as it changes, about once a second, until the caller has enough."""
        again_at_s = 0.0
        while True:
            if time.monotonic() >= again_at_s:
                again_at_s = time.monotonic() + LISTEN_AGAIN_S
                self._broker.listen(self._patterns)
            for received in self._broker.heard(self._patterns, quiet_s=FOLLOW_S, for_s=FOLLOW_S):
                self._hear(received.topic, received.payload)
            yield self._status()

    def _expected(self) -> list[str]:
        silent = {row.device for row in self._picture.rows(utc_now()) if row.age_s is None}
        wanted = [device for device in self._enrolled if device in silent]
        presences = [self._topics.presence(device) for device in wanted]
        return presences + [
            self._topics.of_device(Kind.STATUS, device, model) for device in wanted for model in self._models
        ]

    def _hear(self, topic: str, payload: bytes) -> None:
        address = self._topics.parse(topic)
        if address is None:
            return
        if not payload:
            self._picture.forget(address.device, address.model or None)
            return
        try:
            self._take(address, payload)
        except BadInput:
            self._unreadable += 1

    def _take(self, address: Address, payload: bytes) -> None:
        """Believe a message as far as its topic goes: a broker's ACL guards topics, not what is written in them."""
        if address.kind is Kind.PRESENCE:
            presence = Presence.from_line(payload)
            _check_speaker(presence.device == address.device)
            self._picture.hear_presence(presence)
        elif address.kind is Kind.STATUS:
            status = Status.from_line(payload)
            _check_speaker((status.device, status.model) == (address.device, address.model))
            self._picture.hear_status(status)

    def _status(self) -> FleetStatus:
        now = utc_now()
        return FleetStatus(tuple(self._picture.rows(now)), now, self._unreadable)


def _check_speaker(same: bool) -> None:
    if not same:
        raise BadInput("a message speaks for another device than its topic names")

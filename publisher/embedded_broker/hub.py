"""What the broker's connections share: who is here, who listens, what is kept, what is refused. In one event loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from publisher.embedded_broker.fault_injection import Fault
from publisher.embedded_broker.packets import (
    BAD_CREDENTIALS,
    BAD_IDENTIFIER,
    BAD_VERSION,
    TAKEN_OVER,
    V5,
    V311,
    Connect,
    Filter,
    PublishedMessage,
)  # fmt: skip
from publisher.embedded_broker.subscriptions import Subscriptions, matches

if TYPE_CHECKING:
    from publisher.embedded_broker.connection import BrokerConnection

OnMqtt5 = Literal["accept", "refuse", "hang-up"]


@dataclass(frozen=True, slots=True)
class House:
    """What this broker allows. The limits are those of a broker for development, not of a big one."""

    credentials: Mapping[str, str] = field(default_factory=dict)  # user: password; none means that anyone may come
    refused_topics: tuple[str, ...] = ()  # filters that nobody may publish to
    mqtt5: OnMqtt5 = "accept"  # the other two are how older brokers meet a client of MQTT 5
    packet_max_bytes: int = 2_000_000
    queue_max: int = 10_000  # messages that wait for one slow reader; later ones are dropped
    connect_within_s: float = 10.0


class Hub:
    """Brings messages from one session to the others."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.mischief: Fault | None = None
        self.exchange: Subscriptions[BrokerConnection] = Subscriptions()
        self.connections: set[BrokerConnection] = set()  # every open socket, introduced or not
        self._clients: dict[str, BrokerConnection] = {}
        self._strangers = 0

    def refusal(self, connect: Connect) -> int:
        """Why this client may not come in, as a reason code; 0 when it may."""
        if connect.version not in (V311, V5) or (connect.version == V5 and self.house.mqtt5 != "accept"):
            return BAD_VERSION
        if len(connect.client_id) > 256:
            return BAD_IDENTIFIER
        if self.house.credentials:
            expected = self.house.credentials.get(connect.user or "")
            if expected is None or connect.password != expected.encode():
                return BAD_CREDENTIALS
        return 0

    def enter(self, session: BrokerConnection, client_id: str) -> str:
        """Let a client in under its name, or under one of ours; an older client of that name has to go."""
        if not client_id:
            self._strangers += 1
            client_id = f"stranger-{self._strangers}"
        if older := self._clients.get(client_id):
            older.hang_up(TAKEN_OVER)
        self._clients[client_id] = session
        return client_id

    def leave(self, session: BrokerConnection, client_id: str, will: PublishedMessage | None) -> None:
        """A client is gone; its will is said unless it took leave."""
        if self._clients.get(client_id) is session:
            del self._clients[client_id]
        self.exchange.forget(session)
        if will and self.may_publish(will.topic):
            self.publish(will, None)

    def may_publish(self, topic: str) -> bool:
        """Whether anyone may publish to this topic."""
        return not topic.startswith("$") and not any(matches(refused, topic) for refused in self.house.refused_topics)

    def publish(self, message: PublishedMessage, sender: BrokerConnection | None) -> None:
        """Keep the message if it asks for it, and hand it to all who listen."""
        if message.retain:
            self.exchange.keep(message)
        for session, wanted in self.exchange.listeners(message.topic).items():
            if not (wanted.no_local and session is sender):
                retain = message.retain and wanted.retain_as_published
                session.deliver(message, qos=min(message.qos, wanted.qos), retain=retain)

    def subscribe(self, session: BrokerConnection, wanted: Filter) -> list[PublishedMessage]:
        """Add a filter; return what has to be sent for it at once."""
        is_new = self.exchange.subscribe(session, wanted)
        if wanted.retain_handling == 2 or (wanted.retain_handling == 1 and not is_new):
            return []
        return self.exchange.kept(wanted.pattern)

    def cut_all(self, *, wills: bool) -> None:
        """Break every connection; without wills it is as if the broker itself had died."""
        for session in list(self.connections):
            session.cut(say_will=wills)

    def forget_all(self) -> None:
        """Die and come back with nothing kept."""
        self.cut_all(wills=False)
        self.exchange = Subscriptions()

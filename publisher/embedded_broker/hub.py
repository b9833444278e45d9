"""What connections share: clients, subscriptions, retained messages, access rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from publisher.embedded_broker import packets
from publisher.embedded_broker.fault_injection import FaultInjector
from publisher.embedded_broker.packets import V5, V311, PublishedMessage
from publisher.embedded_broker.subscriptions import Subscriptions, matches

OnMqtt5 = Literal["accept", "refuse", "hang-up"]


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Access rules and limits. The limits suit development, not a large fleet."""

    credentials: Mapping[str, str] = field(default_factory=dict)  # password by user; empty: no login needed
    refused_topics: tuple[str, ...] = ()  # filters of topics that clients may not publish to
    mqtt5: OnMqtt5 = "accept"  # the other two are how older brokers treat a client of MQTT 5
    packet_max_bytes: int = 2_000_000
    queue_max: int = 10_000  # messages queued for one client; later ones are dropped
    connect_within_s: float = 10.0


class Listener(Protocol):
    """A client's connection, as the hub uses it."""

    @property
    def queued(self) -> int:
        """How many messages are queued for this client."""

    def deliver(self, message: PublishedMessage, *, qos: int, retain: bool) -> None:
        """Send a message to the client."""

    def disconnect(self, reason: int) -> None:
        """Close the connection in order; the client's will is published."""

    def abort(self, *, publish_will: bool) -> None:
        """Break the connection at once."""


class Hub:
    def __init__(self, settings: BrokerSettings) -> None:
        self.settings = settings
        self.faults: FaultInjector | None = None
        self.subscriptions: Subscriptions[Listener] = Subscriptions()
        self.connections: set[Listener] = set()  # every open socket, also before its CONNECT
        self._clients: dict[str, Listener] = {}
        self._unnamed = 0

    def refusal(self, connect: packets.Connect) -> int:
        """The reason code for rejecting this client; 0 to accept it."""
        if connect.version not in (V311, V5) or (connect.version == V5 and self.settings.mqtt5 != "accept"):
            return packets.BAD_VERSION
        if len(connect.client_id) > 256:
            return packets.BAD_IDENTIFIER
        if self.settings.credentials:
            expected = self.settings.credentials.get(connect.user or "")
            if expected is None or connect.password != expected.encode():
                return packets.BAD_CREDENTIALS
        return 0

    def add_client(self, listener: Listener, client_id: str) -> str:
        """Register a client, disconnect an older one of the same id; return its id."""
        if not client_id:
            self._unnamed += 1
            client_id = f"unnamed-{self._unnamed}"
        if older := self._clients.get(client_id):
            older.disconnect(packets.TAKEN_OVER)
        self._clients[client_id] = listener
        return client_id

    def remove_client(self, listener: Listener, client_id: str, will: PublishedMessage | None) -> None:
        """Remove a client and its subscriptions; publish its will if there is one."""
        if self._clients.get(client_id) is listener:
            del self._clients[client_id]
        self.subscriptions.forget(listener)
        if will and self.may_publish(will.topic):
            self.publish(will, None)

    def may_publish(self, topic: str) -> bool:
        return not topic.startswith("$") and not any(
            matches(refused, topic) for refused in self.settings.refused_topics
        )

    def publish(self, message: PublishedMessage, sender: Listener | None) -> None:
        """Retain the message if its flag says so, and deliver it to all subscribers."""
        if message.retain:
            self.subscriptions.retain(message)
        for listener, subscription in self.subscriptions.subscribers(message.topic).items():
            if not (subscription.no_local and listener is sender):
                retain = message.retain and subscription.retain_as_published
                listener.deliver(message, qos=min(message.qos, subscription.qos), retain=retain)

    def subscribe(self, listener: Listener, subscription: packets.Filter) -> list[PublishedMessage]:
        """Add a filter; return the retained messages that it is due."""
        is_new = self.subscriptions.add(listener, subscription)
        if subscription.retain_handling == 2 or (subscription.retain_handling == 1 and not is_new):
            return []
        return self.subscriptions.retained(subscription.pattern)

    def abort_all(self, *, publish_wills: bool) -> None:
        """Break every connection; without wills, as if the broker had died."""
        for connection in list(self.connections):
            connection.abort(publish_will=publish_wills)

    def restart_empty(self) -> None:
        """Break every connection and forget all subscriptions and retained messages."""
        self.abort_all(publish_wills=False)
        self.subscriptions = Subscriptions()

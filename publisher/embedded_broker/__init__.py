"""A small MQTT broker for development, the demo and tests; it can misbehave on request. Never for a real fleet."""

from __future__ import annotations

from publisher.embedded_broker.fault_injection import FaultInjection
from publisher.embedded_broker.hub import House
from publisher.embedded_broker.server import EmbeddedBroker

__all__ = ["EmbeddedBroker", "FaultInjection", "House"]

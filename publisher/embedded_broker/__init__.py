"""A small MQTT broker for development, the demo and tests. It can inject faults."""

from __future__ import annotations

from publisher.embedded_broker.fault_injection import FaultInjection
from publisher.embedded_broker.hub import BrokerSettings
from publisher.embedded_broker.server import EmbeddedBroker

__all__ = ["BrokerSettings", "EmbeddedBroker", "FaultInjection"]

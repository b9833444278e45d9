"""A small MQTT broker for development, the demo and tests; it can misbehave on request. Never for a real fleet."""

from __future__ import annotations

from publisher.adapters.embedded_broker.broker import EmbeddedBroker
from publisher.adapters.embedded_broker.hub import House
from publisher.adapters.embedded_broker.misbehaviour import Misbehaviour

__all__ = ["EmbeddedBroker", "House", "Misbehaviour"]

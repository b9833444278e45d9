"""Fails if paho changes its private `_create_socket`, which we override."""

from __future__ import annotations

import inspect

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from protocol.mqtt.paho_connection import _GuardedClient


def test_paho_create_socket_still_takes_no_argument() -> None:
    assert hasattr(paho.Client, "_create_socket"), "paho has renamed it: _GuardedClient overrides nothing"
    assert list(inspect.signature(paho.Client._create_socket).parameters) == ["self"]


def test_paho_create_socket_still_makes_the_socket_of_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_socket(_client: _GuardedClient) -> None:
        raise ConnectionRefusedError("by the override")

    monkeypatch.setattr(_GuardedClient, "_create_socket", create_socket)
    client = _GuardedClient(CallbackAPIVersion.VERSION2, "test")
    client.connect_async("192.0.2.1", 1883)
    with pytest.raises(ConnectionRefusedError, match="by the override"):
        client.reconnect()

"""Texts for failed connections and refusals by the broker, which name `host:port`."""

from __future__ import annotations

import socket
import ssl
from typing import Final

from protocol.mqtt.broker_url import BrokerUrl

BAD_VERSION: Final = 0x84
_BAD_CREDENTIALS: Final = 0x86
_NOT_AUTHORIZED: Final = 0x87
FINAL: Final = frozenset({0x85, _BAD_CREDENTIALS, _NOT_AUTHORIZED, 0x8A, 0x8C})  # retries would not help
FAILURE: Final = 0x80  # reason codes from here on are failures
_REFUSALS: Final = {
    BAD_VERSION: "speaks neither MQTT 5 nor MQTT 3.1.1",
    0x85: "refuses the client name",
    0x88: "is not ready to serve",
    0x89: "is busy",
    0x8A: "has banned this client",
    0x8C: "wants another way to log in",
    0x95: "finds our packets too large",
    0x97: "has reached a quota",
    0x9A: "keeps no retained messages",
    0x9B: "offers no QoS 1",
    0x9C: "asks us to use another server",
    0x9D: "has moved to another server",
    0x9F: "gets too many connections",
}
_DISCONNECTS: Final = {
    0x87: "withdrew our permission",
    0x8B: "is shutting down",
    0x8D: "heard nothing from us for too long",
    0x8E: "let another client in under our name",
    0x90: "refused a topic name",
    0x93: "got too much from us at once",
    0x95: "found a packet of ours too large",
    0x97: "says that a quota is reached",
    0x98: "was told to disconnect us",
}
_PUBLISH_REFUSALS: Final = {
    0x83: "the broker refuses the message",
    _NOT_AUTHORIZED: "the broker does not let us write to this topic",
    0x90: "the broker refuses the topic name",
    0x97: "the broker's quota is reached",
    0x99: "the broker refuses the payload's format",
}


def of_failure(url: BrokerUrl, failed: OSError) -> str:
    match failed:
        case socket.gaierror():
            return f"the host {url.host} is not known ({failed.strerror})"
        case ssl.SSLCertVerificationError():
            return f"the certificate of {url.address} is not to be trusted: {failed.verify_message}"
        case ssl.SSLError():
            return f"no TLS with {url.address}: {_ssl_text(failed)}"
        case ConnectionRefusedError():
            return f"no broker listens at {url.address}"
        case TimeoutError():
            return f"{url.address} does not answer"
        case ConnectionResetError() | BrokenPipeError():
            return f"{url.address} broke the connection"
    return f"{url.address} cannot be reached: {failed.strerror or failed}"


def of_refusal(url: BrokerUrl, code: int) -> str:
    if code in (_BAD_CREDENTIALS, _NOT_AUTHORIZED):
        if url.user is None:
            return f"{url.address} wants a user and a password"
        return f"{url.address} refuses the user {url.user!r}: wrong user or password"
    return f"{url.address} {_REFUSALS.get(code, f'refuses the connection (code 0x{code:02x})')}"


def of_disconnect(url: BrokerUrl, code: int) -> str:
    return f"{url.address} {_DISCONNECTS.get(code, f'hung up (code 0x{code:02x})')}"


def of_refused_publish(code: int) -> str:
    return _PUBLISH_REFUSALS.get(code, f"the broker refused the message (code 0x{code:02x})")


def of_no_answer(url: BrokerUrl) -> str:
    """The address accepts a connection, but sends no CONNACK."""
    advice = "is it a broker without TLS?" if url.tls else "is it a broker, and does it want mqtts://?"
    return f"{url.address} takes the connection but gives no answer ({advice})"


def _ssl_text(failed: ssl.SSLError) -> str:
    return (failed.reason or failed.strerror or str(failed)).replace("_", " ").lower()

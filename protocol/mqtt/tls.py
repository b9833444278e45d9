"""TLS contexts from PEM files, checked before a connection is made."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from protocol.errors import BadSettings
from protocol.mqtt.broker_url import BrokerUrl

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. Without `ca`, the system's apply; `cert` and `key` go together."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def tls_context(url: BrokerUrl, files: TlsFiles | None) -> ssl.SSLContext | None:
    """The context for a broker, None without TLS. Raises BadSettings with the file."""
    files = files or TlsFiles()
    if not url.tls:
        if files != TlsFiles():
            raise BadSettings(f"certificates are given, but {url} is without TLS", hint="write mqtts:// in the address")
        return None
    if (files.cert is None) != (files.key is None):
        raise BadSettings("a client certificate and its key go together", hint="give both files or none")
    context = _load(files.ca, "certificate authority", lambda: ssl.create_default_context(cafile=files.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert := files.cert:
        _load(cert, "client certificate", lambda: context.load_cert_chain(cert, files.key))
    return context


def _load(path: Path | None, what: str, load: Callable[[], Content]) -> Content:
    try:
        return load()
    except ssl.SSLError as failed:
        fault = f"the {what} {path} cannot be used: {failed.reason or failed}"
        raise BadSettings(fault, hint="it has to be a file in PEM") from None
    except OSError as failed:
        raise BadSettings(f"the {what} {path} cannot be read: {failed.strerror or failed}") from None

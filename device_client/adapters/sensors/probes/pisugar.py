"""A PiSugar battery board, through the socket of its server, by lines of text."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from device_client.adapters.sensors.probes.base import Findings, Unread

LINES_MAX: Final = 32  # it also reports taps on its button
LINE_MAX_BYTES: Final = 256


class PiSugarProbe:
    """At `host:port`, or a Unix socket, which may be missing until it was there."""

    names = ("battery_percent", "on_mains")

    def __init__(self, address: str = "/tmp/pisugar-server.sock", *, timeout_s: float = 1.0) -> None:
        self._address, self._timeout_s = address, timeout_s
        self._was_found = ":" in address

    def read(self) -> Findings:
        if not self._was_found and not Path(self._address).exists():
            return {}
        self._was_found = True
        try:
            return self._request_both()
        except OSError as lost:
            raise Unread(f"the PiSugar server at {self._address} does not answer: {lost.strerror or lost}") from None

    def _request_both(self) -> Findings:
        with self._connect() as connection:
            percent = _request(connection, "battery")
            plugged = _request(connection, "battery_power_plugged")
        try:
            charge: float | str = float(percent)
        except ValueError:
            charge = percent  # rejected by `validation`, which shows it
        return {"battery_percent": charge, "on_mains": {"true": True, "false": False}.get(plugged, plugged)}

    def _connect(self) -> socket.socket:
        host, colon, port = self._address.rpartition(":")
        if colon and port.isdigit():
            return socket.create_connection((host, int(port)), self._timeout_s)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(self._timeout_s)
            connection.connect(self._address)
        except OSError:
            connection.close()
            raise
        return connection


def _request(connection: socket.socket, what: str) -> str:
    connection.sendall(f"get {what}\n".encode())
    with connection.makefile("rb") as lines:
        for _ in range(LINES_MAX):
            line = lines.readline(LINE_MAX_BYTES).decode(errors="replace")
            if line.startswith(f"{what}:"):
                return line.partition(":")[2].strip()
            if not line:
                break
    raise Unread(f"the PiSugar server does not tell its {what}")

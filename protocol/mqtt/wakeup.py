"""Wakes a thread that waits on sockets: a pair of sockets of its own, rung from any thread."""

from __future__ import annotations

import selectors
import socket
import threading


class Wakeup:
    """Rings are not counted: one or ten wake the thread once."""

    def __init__(self) -> None:
        self._ear, self._hammer = socket.socketpair()
        self._ear.setblocking(False)
        self._lock = threading.Lock()
        self._rung = False
        self._gone = False

    def ring(self) -> None:
        """Wake the thread, or keep it from falling asleep."""
        with self._lock:
            if not self._rung and not self._gone:
                self._rung = True
                self._hammer.send(b"!")

    def hush(self) -> None:
        """Be ready to be rung again; call it before looking for what is to be done."""
        with self._lock:
            if self._rung:
                self._ear.recv(16)
                self._rung = False

    def register(self, selector: selectors.BaseSelector) -> None:
        """Let a selector wake when the bell rings."""
        selector.register(self._ear, selectors.EVENT_READ)

    def wait(self, timeout_s: float) -> None:
        """Sleep until the bell rings, at most `timeout_s`."""
        with selectors.DefaultSelector() as selector:
            self.register(selector)
            selector.select(timeout_s)

    def close(self) -> None:
        """Give both sockets back; rings are ignored from now on."""
        with self._lock:
            self._gone = True
            self._ear.close()
            self._hammer.close()

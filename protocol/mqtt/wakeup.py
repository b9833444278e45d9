"""Wakes a thread that waits in a selector, by a pair of sockets."""

from __future__ import annotations

import selectors
import socket
import threading


class Wakeup:
    """A flag: many calls of `wake` wake the thread once."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._lock = threading.Lock()
        self._set = False
        self._closed = False

    def wake(self) -> None:
        """Wake the thread, or make its next wait return at once."""
        with self._lock:
            if not self._set and not self._closed:
                self._set = True
                self._sender.send(b"!")

    def clear(self) -> None:
        """Reset the flag; call it before looking for work."""
        with self._lock:
            if self._set:
                self._receiver.recv(16)
                self._set = False

    def register(self, selector: selectors.BaseSelector) -> None:
        selector.register(self._receiver, selectors.EVENT_READ)

    def wait(self, timeout_s: float) -> None:
        with selectors.DefaultSelector() as selector:
            self.register(selector)
            selector.select(timeout_s)

    def close(self) -> None:
        """Close both sockets; later calls of `wake` are ignored."""
        with self._lock:
            self._closed = True
            self._receiver.close()
            self._sender.close()

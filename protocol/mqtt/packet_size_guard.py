"""A socket that lets no MQTT packet over a limit into the process: too long a PUBLISH is read past, piece by piece.

An MQTT library reads a whole packet before anyone can look at it, and only MQTT 5 lets a client tell a limit.
So the lengths are watched here, below the library. Knows the frame of a packet and the head of a PUBLISH; nothing more.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

_PUBLISH: Final = 3
_HEAD_MAX_BYTES: Final = 5  # one of kind, at most four of length
_PIECE_BYTES: Final = 65_536
_PIECES_A_TURN: Final = 64  # so that a sender faster than us does not keep us from everything else
_OPENING_MAX_BYTES: Final = 2 + 65_535 + 2  # topic with its length, packet id


@dataclass(frozen=True, slots=True)
class Passed:
    """A PUBLISH that was not let in. `packet_id` is 0 at QoS 0."""

    topic: str
    size_bytes: int
    packet_id: int


class PacketSizeGuard:
    """Stands in for a connected socket, non-blocking or TLS, towards a reader that never asks beyond a packet's end."""

    def __init__(self, sock: socket.socket, limit_bytes: int) -> None:
        self._sock = sock
        self._limit_bytes = limit_bytes
        self._head = bytearray()  # of a packet, not yet complete
        self._ready = b""  # a complete head, being handed on
        self._body_left = 0  # bytes of a packet that is being handed on
        self._skip_left = 0  # bytes of a packet that is being passed over
        self._skip_size = 0
        self._opening = bytearray()  # of the packet that is being passed over
        self._passed: list[Passed] = []
        self.failure: OSError | None = None  # why the last read or write failed, for a message

    def recv(self, size: int) -> bytes:
        """Read like a socket: at most `size` bytes, empty at the end of the stream. Raises OSError."""
        try:
            return self._recv(size)
        except BlockingIOError:
            raise
        except OSError as failed:
            self.failure = failed
            raise

    def take_passed(self) -> list[Passed]:
        """What was passed over since the last asking."""
        passed, self._passed = self._passed, []
        return passed

    def _recv(self, size: int) -> bytes:
        if self._ready:
            taken, self._ready = self._ready[:size], self._ready[size:]
            return taken
        if self._body_left:
            data = self._sock.recv(min(size, self._body_left))
            self._body_left -= len(data)
            return data
        for _ in range(_PIECES_A_TURN):
            if not (self._skip_piece() if self._skip_left else self._read_head()):
                return b""
            if self._has_ready():
                return self._recv(size)
        raise BlockingIOError  # the rest in the next turn

    def _has_ready(self) -> bool:
        return bool(self._ready)

    def _read_head(self) -> bool:
        """Complete the head of the next packet; say False at the end of the stream."""
        while len(self._head) < 2 or self._head[-1] & 0x80:
            if len(self._head) == _HEAD_MAX_BYTES:
                raise ConnectionError("the broker sent a packet whose length cannot be read")
            data = self._sock.recv(2 - len(self._head) if len(self._head) < 2 else 1)
            if not data:
                return False
            self._head += data
        size = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(self._head[1:]))
        if size <= self._limit_bytes:
            self._ready, self._body_left = bytes(self._head), size
            self._head.clear()
        elif self._head[0] >> 4 == _PUBLISH:
            self._skip_left = self._skip_size = size
        else:
            raise ConnectionError(f"the broker sent a packet of {size} bytes that is no message")
        return True

    def _skip_piece(self) -> bool:
        data = self._sock.recv(min(self._skip_left, _PIECE_BYTES))
        self._opening += data[: _OPENING_MAX_BYTES - len(self._opening)]
        self._skip_left -= len(data)
        if data and not self._skip_left:
            self._note()
        return bool(data)

    def _note(self) -> None:
        end = 2 + int.from_bytes(self._opening[:2], "big")
        topic = self._opening[2:end].decode(errors="replace")
        packet_id = int.from_bytes(self._opening[end : end + 2], "big") if self._head[0] & 0x06 else 0
        self._passed.append(Passed(topic, self._skip_size, packet_id))
        self._head.clear()
        self._opening.clear()

    def send(self, data: bytes | bytearray) -> int:
        """Write like a socket. Raises OSError."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            raise
        except OSError as failed:
            self.failure = failed
            raise

    def pending(self) -> bool:
        """Whether TLS holds bytes back that no selector tells of."""
        pending = getattr(self._sock, "pending", None)
        return pending is not None and self._sock.fileno() >= 0 and pending() > 0

    def send_at_once(self) -> None:
        """TCP_NODELAY: at QoS 1 it made 90-214 MB/s of 12."""
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Like a socket's."""
        self._sock.setblocking(flag)

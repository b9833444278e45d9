"""Packets pass the guard unchanged; those that are too long take no memory."""

from __future__ import annotations

import socket
import ssl
import threading
import tracemalloc
from collections.abc import Iterator

import pytest

from protocol.mqtt.packet_size_guard import PacketSizeGuard, SkippedMessage

LIMIT_BYTES = 1_000
PING = b"\xd0\x00"


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, PacketSizeGuard]]:
    """The sending end, and the guard on the other."""
    sender, receiver = socket.socketpair()
    receiver.settimeout(30)
    guard = PacketSizeGuard(receiver, LIMIT_BYTES)
    yield sender, guard
    sender.close()
    guard.close()


def publish(topic: str, payload: bytes, packet_id: int = 0) -> bytes:
    """A PUBLISH of MQTT 3.1.1, at QoS 1 when it has an id."""
    body = len(topic).to_bytes(2, "big") + topic.encode()
    body += (packet_id.to_bytes(2, "big") if packet_id else b"") + payload
    return bytes([0x30 | (0x02 if packet_id else 0)]) + length(len(body)) + body


def length(size: int) -> bytes:
    """A length as MQTT writes it."""
    out = bytearray()
    while True:
        size, low = size >> 7, size & 0x7F
        out.append(low | (0x80 if size else 0))
        if not size:
            return bytes(out)


def read(guard: PacketSizeGuard, size: int) -> bytes:
    """Read `size` bytes, one by one like an MQTT library."""
    data = bytearray()
    while len(data) < size:
        try:
            piece = guard.recv(1)
        except BlockingIOError:
            continue  # the guard yields after a while of skipping
        assert piece, "the stream ended"
        data += piece
    return bytes(data)


def test_packets_within_the_limit_pass_unchanged(line: tuple[socket.socket, PacketSizeGuard]) -> None:
    sender, guard = line
    packets = PING + publish("a/b", b"x" * 900) + publish("a/b", b"", 7) + PING
    sender.sendall(packets)
    assert read(guard, len(packets)) == packets
    assert guard.take_skipped() == []


@pytest.mark.parametrize("packet_id", [0, 258])
def test_a_long_message_is_skipped_and_reported(line: tuple[socket.socket, PacketSizeGuard], packet_id: int) -> None:
    sender, guard = line
    long = publish("a/long/topic", b"x" * LIMIT_BYTES, packet_id)
    sender.sendall(PING + long + long + PING)
    assert read(guard, 4) == PING + PING
    skipped = SkippedMessage("a/long/topic", len(long) - 3, packet_id)
    assert guard.take_skipped() == [skipped, skipped]
    assert guard.take_skipped() == []


def test_a_long_message_in_many_pieces_is_skipped(line: tuple[socket.socket, PacketSizeGuard]) -> None:
    sender, guard = line
    stream = publish("a/b", b"x" * 1_200, 3) + publish("c", b"short")

    def drip() -> None:
        for byte in stream:
            sender.sendall(bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    assert read(guard, 10) == publish("c", b"short")
    thread.join()
    assert [skipped.packet_id for skipped in guard.take_skipped()] == [3]


def test_a_hundred_megabytes_cost_no_memory(line: tuple[socket.socket, PacketSizeGuard]) -> None:
    sender, guard = line
    piece, pieces = bytes(1_000_000), 100
    head = b"\x30" + length(3 + len(piece) * pieces) + b"\x00\x01a"

    def pour() -> None:
        sender.sendall(head)
        for _ in range(pieces):
            sender.sendall(piece)
        sender.sendall(PING)

    thread = threading.Thread(target=pour)
    tracemalloc.start()
    thread.start()
    assert read(guard, 2) == PING
    thread.join()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1_000_000
    assert [skipped.size_bytes for skipped in guard.take_skipped()] == [3 + len(piece) * pieces]


def test_a_length_without_end_breaks_the_connection(line: tuple[socket.socket, PacketSizeGuard]) -> None:
    sender, guard = line
    sender.sendall(b"\x30\xff\xff\xff\xff\xff")
    with pytest.raises(ConnectionError, match="length"):
        guard.recv(1)
    assert isinstance(guard.failure, ConnectionError)


def test_a_long_packet_that_is_no_message_breaks_the_connection(line: tuple[socket.socket, PacketSizeGuard]) -> None:
    sender, guard = line
    sender.sendall(b"\x90" + length(LIMIT_BYTES + 1))
    with pytest.raises(ConnectionError, match="1001"):
        guard.recv(1)


def test_the_end_of_the_stream_is_told_as_a_socket_does(line: tuple[socket.socket, PacketSizeGuard]) -> None:
    sender, guard = line
    sender.sendall(publish("a", b"x" * 2_000)[:-1])
    sender.shutdown(socket.SHUT_WR)
    assert guard.recv(1) == b""


class WaitingSocket(socket.socket):
    """A TLS socket with nothing to read and no room to write."""

    def recv(self, *_: object) -> bytes:
        raise ssl.SSLWantReadError

    def send(self, *_: object) -> int:
        raise ssl.SSLWantWriteError


def test_a_tls_socket_that_must_wait_has_not_failed() -> None:
    with WaitingSocket() as waiting:
        guard = PacketSizeGuard(waiting, LIMIT_BYTES)
        with pytest.raises(ssl.SSLWantReadError):
            guard.recv(1)
        with pytest.raises(ssl.SSLWantWriteError):
            guard.send(PING)
        assert guard.failure is None, "a later loss of the connection would be reported as trouble with TLS"

"""The embedded broker: starts and stops a hub on a loopback port, in a thread of its own. For development and tests.

Keeps everything in memory: what is kept is gone with `stop`. No TLS, no rights: use mosquitto for those.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Final, Self, TypeVar

from protocol.errors import BadSettings
from publisher.embedded_broker.connection import BrokerConnection
from publisher.embedded_broker.fault_injection import Fault, FaultInjection
from publisher.embedded_broker.hub import House, Hub

LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 1_024
_ANSWER_WITHIN_S: Final = 30.0
Answer = TypeVar("Answer")


class EmbeddedBroker:
    """MQTT 3.1.1 and 5, QoS 0 and 1, retained messages, last wills, wildcards. It can be started again after `stop`."""

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = LOOPBACK,
        house: House | None = None,
        misbehaviour: FaultInjection | None = None,
        any_host: bool = False,
    ) -> None:
        """Port 0 takes a free one, once. Raises BadSettings for a host that others reach, unless `any_host`."""
        if not any_host and not _is_loopback(host):
            raise BadSettings(
                f"the embedded broker does not listen on {host}", hint="use 127.0.0.1, or mosquitto for other machines"
            )
        self.host = host
        self._port = port
        self._house = house or House()
        self._misbehaviour = misbehaviour
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._hub: Hub | None = None

    @classmethod
    @contextlib.contextmanager
    def running(
        cls,
        port: int = 0,
        *,
        house: House | None = None,
        misbehaviour: FaultInjection | None = None,
    ) -> Iterator[Self]:
        """A broker for the length of a `with` block."""
        broker = cls(port, house=house, misbehaviour=misbehaviour)
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()

    @property
    def port(self) -> int:
        """The port; known after the first start."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients find it, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self._port}"

    def start(self) -> None:
        """Listen. Raises BadSettings when the port is taken."""
        if self._thread:
            return
        listening: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="embedded-broker", daemon=True)
        self._thread.start()
        try:
            self._port = listening.result(_ANSWER_WITHIN_S)
        except OSError as refused:
            self._thread.join()
            self._thread = None
            raise BadSettings(
                f"the broker cannot listen on {self.host}:{self._port}: {refused.strerror or refused}",
                hint="another broker may run there; take another port",
            ) from None

    def stop(self) -> None:
        """Break every connection, forget everything, and free the port."""
        if self._thread and self._loop and self._stopped:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()
        self._thread = None

    def misbehave(self, misbehaviour: FaultInjection | None) -> None:
        """From now on do things wrong, or right again."""
        self._misbehaviour = misbehaviour
        self._ask(lambda hub: _set_mischief(hub, misbehaviour))

    def restart_empty(self) -> None:
        """Break every connection and forget what was kept, as a broker that died and came back without its disk."""
        self._ask(Hub.forget_all)

    def cut_all(self) -> None:
        """Break every connection, as a network does; wills are said."""
        self._ask(lambda hub: hub.cut_all(wills=True))

    def kept(self, pattern: str) -> dict[str, bytes]:
        """What is kept under a filter: payload by topic."""
        return self._ask(lambda hub: {message.topic: message.payload for message in hub.exchange.kept(pattern)})

    def waiting(self) -> int:
        """How many messages wait for the slowest reader."""
        return self._ask(lambda hub: max((session.waiting for session in hub.connections), default=0))

    def _ask(self, question: Callable[[Hub], Answer]) -> Answer:
        """Have something done in the broker's own thread, and wait for it."""
        if self._loop is None or self._hub is None:
            raise BadSettings("the embedded broker is not running", hint="start it first")
        hub, answer = self._hub, Future[Answer]()
        self._loop.call_soon_threadsafe(lambda: _answer(answer, lambda: question(hub)))
        return answer.result(_ANSWER_WITHIN_S)

    def _run(self, listening: Future[int]) -> None:
        asyncio.run(self._serve(listening))
        self._loop = self._hub = self._stopped = None

    async def _serve(self, listening: Future[int]) -> None:
        loop = asyncio.get_running_loop()
        hub = Hub(self._house)
        _set_mischief(hub, self._misbehaviour)
        try:
            server = await loop.create_server(lambda: BrokerConnection(hub), self.host, self._port, backlog=_BACKLOG)
        except OSError as refused:
            listening.set_exception(refused)
            return
        self._loop, self._hub, self._stopped = loop, hub, asyncio.Event()
        listening.set_result(server.sockets[0].getsockname()[1])
        await self._stopped.wait()
        server.close()
        while hub.connections:  # an abort is carried out in the loop's next turn
            hub.cut_all(wills=False)
            await asyncio.sleep(0)


def _set_mischief(hub: Hub, misbehaviour: FaultInjection | None) -> None:
    hub.mischief = Fault(misbehaviour) if misbehaviour else None


def _answer(answer: Future[Answer], question: Callable[[], Answer]) -> None:
    try:
        answer.set_result(question())
    except BaseException as failed:  # noqa: BLE001 (it belongs to the thread that asked, and is raised there)
        answer.set_exception(failed)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

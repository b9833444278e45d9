"""`EmbeddedBroker`: a hub on a loopback port, in its own thread. No TLS, no ACLs."""

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
from publisher.embedded_broker.fault_injection import FaultInjection, FaultInjector
from publisher.embedded_broker.hub import BrokerSettings, Hub

LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 1_024
_RESULT_WITHIN_S: Final = 30.0
Result = TypeVar("Result")


class EmbeddedBroker:
    """MQTT 3.1.1 and 5, QoS 0 and 1, retained messages, last wills, wildcards."""

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = LOOPBACK,
        settings: BrokerSettings | None = None,
        faults: FaultInjection | None = None,
        any_host: bool = False,
    ) -> None:
        """Port 0 picks a free one. Raises BadSettings; `any_host` allows all hosts."""
        if not any_host and not _is_loopback(host):
            raise BadSettings(
                f"the embedded broker does not listen on {host}", hint="use 127.0.0.1, or mosquitto for other machines"
            )
        self.host = host
        self._port = port
        self._settings = settings or BrokerSettings()
        self._faults = faults
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._hub: Hub | None = None

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, port: int = 0, *, settings: BrokerSettings | None = None, faults: FaultInjection | None = None
    ) -> Iterator[Self]:
        broker = cls(port, settings=settings, faults=faults)
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()

    @property
    def port(self) -> int:
        """The port; 0 until the first start if none was given."""
        return self._port

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self._port}"

    def start(self) -> None:
        """Start, also after `stop`. Raises BadSettings if the port is taken."""
        if self._thread:
            return
        listening: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="embedded-broker", daemon=True)
        self._thread.start()
        try:
            self._port = listening.result(_RESULT_WITHIN_S)
        except OSError as refused:
            self._thread.join()
            self._thread = None
            raise BadSettings(
                f"the broker cannot listen on {self.host}:{self._port}: {refused.strerror or refused}",
                hint="another broker may run there; take another port",
            ) from None

    def stop(self) -> None:
        """Break every connection, forget all messages, and free the port."""
        if self._thread and self._loop and self._stopped:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()
        self._thread = None

    def inject(self, faults: FaultInjection | None) -> None:
        """Inject these faults from now on; None stops that."""
        self._faults = faults
        self._call(lambda hub: _set_faults(hub, faults))

    def restart_empty(self) -> None:
        """Break every connection and forget all messages, as if its disk was lost."""
        self._call(Hub.restart_empty)

    def cut_all(self) -> None:
        """Break every connection, like a network failure; wills are published."""
        self._call(lambda hub: hub.abort_all(publish_wills=True))

    def retained(self, pattern: str) -> dict[str, bytes]:
        return self._call(lambda hub: {each.topic: each.payload for each in hub.subscriptions.retained(pattern)})

    def queued_max(self) -> int:
        """How many messages are queued for the slowest client."""
        return self._call(lambda hub: max((connection.queued for connection in hub.connections), default=0))

    def _call(self, function: Callable[[Hub], Result]) -> Result:
        if self._loop is None or self._hub is None:
            raise BadSettings("the embedded broker is not running", hint="start it first")
        return asyncio.run_coroutine_threadsafe(_call(function, self._hub), self._loop).result(_RESULT_WITHIN_S)

    def _run(self, listening: Future[int]) -> None:
        asyncio.run(self._serve(listening))
        self._loop = self._hub = self._stopped = None

    async def _serve(self, listening: Future[int]) -> None:
        loop = asyncio.get_running_loop()
        hub = Hub(self._settings)
        _set_faults(hub, self._faults)
        try:
            server = await loop.create_server(lambda: BrokerConnection(hub), self.host, self._port, backlog=_BACKLOG)
        except OSError as refused:
            listening.set_exception(refused)
            return
        self._loop, self._hub, self._stopped = loop, hub, asyncio.Event()
        listening.set_result(server.sockets[0].getsockname()[1])
        await self._stopped.wait()
        server.close()
        while hub.connections:  # an abort takes effect in the loop's next iteration
            hub.abort_all(publish_wills=False)
            await asyncio.sleep(0)


def _set_faults(hub: Hub, faults: FaultInjection | None) -> None:
    hub.faults = FaultInjector(faults) if faults else None


async def _call(function: Callable[[Hub], Result], hub: Hub) -> Result:
    return function(hub)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

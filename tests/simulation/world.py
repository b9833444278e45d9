"""Virtual time, one seed, and a broker that misbehaves.

Nothing sleeps or reads a clock. The broker keeps MQTT's guarantees (order within a
connection, QoS 1 at least once) and breaks what MQTT lets it break: QoS 0 messages are
dropped, messages come twice or late, wills come late, a restart loses retained
messages, and connections are cut for long.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from protocol.mqtt.link import Connected, Delivered, Disconnected, LinkEvent, Received, SweepCompleted

Action = Callable[[], None]


class World:
    """A virtual clock and its scheduled actions."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now_s = 0.0
        self._queue: list[tuple[float, int, Action]] = []
        self._count = 0

    def after(self, delay_s: float, action: Action) -> None:
        """Schedule an action after a delay."""
        self.at(self.now_s + delay_s, action)

    def at(self, time_s: float, action: Action) -> None:
        """Schedule an action at a time."""
        self._count += 1
        heapq.heappush(self._queue, (time_s, self._count, action))

    def run(self, until_s: float) -> None:
        """Run the actions up to a time."""
        while self._queue and self._queue[0][0] <= until_s:
            self.now_s, _, action = heapq.heappop(self._queue)
            action()
        self.now_s = until_s


@dataclass
class Faults:
    """Faults of broker and network; probabilities per message."""

    drop: float = 0.0  # QoS 0 only
    duplicate: float = 0.0
    corrupt: float = 0.0  # chunks
    delay_max_s: float = 0.05
    late_will_s: float = 5.0


@dataclass
class Broker:
    """Retained messages and subscribers."""

    world: World
    faults: Faults = field(default_factory=Faults)
    retained: dict[str, bytes] = field(default_factory=dict)
    links: list[SimLink] = field(default_factory=list)
    watchers: list[Callable[[str, bytes], None]] = field(default_factory=list)
    restarts: int = 0
    chunk_sweeps: int = 0

    def publish(self, topic: str, payload: bytes, retain: bool) -> None:
        if retain and payload:
            self.retained[topic] = payload
        elif retain:
            self.retained.pop(topic, None)
        for watch in self.watchers:
            watch(topic, payload)
        for link in self.links:
            link.offer(topic, payload)

    def restart_empty(self) -> None:
        """Drop all retained messages and connections."""
        self.restarts += 1
        self.retained.clear()
        for link in self.links:
            link.cut("the broker restarted", back_after_s=self.world.rng.uniform(0.5, 10.0))


class SimLink:
    """The `Link` port over the simulated broker."""

    def __init__(
        self, world: World, broker: Broker, sink: Callable[[LinkEvent], None], will: tuple[str, bytes] | None = None
    ) -> None:
        self._world, self._broker, self._sink, self._will = world, broker, sink, will
        self._session = 0  # grows with each connection; what belongs to an old one is not delivered
        self._up = False
        self._dead = False
        self._receipts = 0
        self._pending: dict[int, tuple[str, bytes, bool]] = {}
        self._subscriptions: dict[str, int] = {}
        self._clear_at_s = 0.0

    def start(self) -> None:
        self._broker.links.append(self)
        self._world.after(self._world.rng.uniform(0.0, 1.0), self._connect)

    def stop(self) -> None:
        """Disconnect without a will."""
        self._will = None
        self.vanish()

    def vanish(self) -> None:
        """The process or its power ends."""
        self._drop()
        self._dead = True
        if self in self._broker.links:
            self._broker.links.remove(self)

    def cut(self, reason: str, back_after_s: float) -> None:
        """Disconnect for a while."""
        if not self._up or self._dead:
            return
        self._drop()
        self._sink(Disconnected(reason))
        self._world.after(back_after_s, self._connect)

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, correlation: bytes = b"") -> int:
        assert qos == 1
        self._receipts += 1
        self._pending[self._receipts] = (topic, payload, retain)
        if self._up:
            self._send(self._receipts)
        return self._receipts

    def subscribe(self, topics: Sequence[str], *, qos: int) -> None:
        def arrived() -> None:
            for topic in topics:
                self._subscriptions[topic] = qos
                for name in self._matching(topic):
                    self._deliver(name, self._broker.retained[name], retained=True, qos=qos)

        self._on_wire(arrived)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        def arrived() -> None:
            for topic in topics:
                self._subscriptions.pop(topic, None)

        self._on_wire(arrived)

    def sweep(self, topics: Sequence[str]) -> None:
        """Retained messages, then Swept."""

        self._broker.chunk_sweeps += any("/chunks/" in topic for topic in topics)

        def arrived() -> None:
            for topic in topics:
                if topic in self._broker.retained:
                    self._deliver(topic, self._broker.retained[topic], retained=True, qos=0)
            self._come(lambda: self._sink(SweepCompleted(tuple(topics))))

        self._on_wire(arrived)

    def offer(self, topic: str, payload: bytes) -> None:
        """Deliver a message if subscribed to it."""
        for pattern, qos in self._subscriptions.items():
            if _matches(pattern, topic):
                self._deliver(topic, payload, retained=False, qos=qos)
                return

    def _matching(self, pattern: str) -> list[str]:
        if "+" not in pattern:
            return [pattern] if pattern in self._broker.retained else []
        return [name for name in self._broker.retained if _matches(pattern, name)]

    def _connect(self) -> None:
        if self._up or self._dead:
            return
        self._session += 1
        self._up = True
        self._subscriptions = {}
        self._sink(Connected())
        for receipt in list(self._pending):
            self._send(receipt)

    def _drop(self) -> None:
        was_up, self._up = self._up, False
        self._session += 1
        self._subscriptions = {}
        if was_up and self._will is not None:
            topic, payload = self._will
            late_s = self._world.rng.uniform(0.0, self._broker.faults.late_will_s)
            self._world.after(late_s, lambda: self._broker.publish(topic, payload, True))

    def _send(self, receipt: int) -> None:
        def arrived() -> None:
            if receipt in self._pending:
                topic, payload, retain = self._pending[receipt]
                self._broker.publish(topic, payload, retain)
                self._come(lambda: self._acknowledged(receipt))

        self._on_wire(arrived)

    def _acknowledged(self, receipt: int) -> None:
        if self._pending.pop(receipt, None) is not None:
            self._sink(Delivered(receipt))

    def _deliver(self, topic: str, payload: bytes, *, retained: bool, qos: int) -> None:
        faults, rng = self._broker.faults, self._world.rng
        if qos == 0 and rng.random() < faults.drop:
            return
        if "/chunks/" in topic and rng.random() < faults.corrupt:
            payload = b"a lie"
        times = 2 if rng.random() < faults.duplicate else 1
        for _ in range(times):
            self._come(lambda: self._sink(Received(topic, payload, retained)))

    def _on_wire(self, arrived: Action) -> None:
        """To the broker, in order, while this connection lasts."""
        self._in_order(arrived)

    def _come(self, event: Action) -> None:
        """From the broker, in order, while this connection lasts."""
        self._in_order(event)

    def _in_order(self, action: Action) -> None:
        if not self._up:
            return
        session = self._session
        delay_s = self._world.rng.uniform(0.0, self._broker.faults.delay_max_s)
        self._clear_at_s = max(self._clear_at_s, self._world.now_s + delay_s)

        def unless_cut() -> None:
            if session == self._session:
                action()

        self._world.at(self._clear_at_s, unless_cut)


def _matches(pattern: str, topic: str) -> bool:
    if "+" not in pattern:
        return pattern == topic
    wanted, found = pattern.split("/"), topic.split("/")
    return len(wanted) == len(found) and all(w in ("+", f) for w, f in zip(wanted, found, strict=True))

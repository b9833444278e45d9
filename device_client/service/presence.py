"""The device's presence message, and measurements of its connection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from device_client.core.conditions.readings import Unknown
from device_client.ports.context import Clock
from protocol.errors import BadInput
from protocol.messages.device import Presence

READ_BACK_WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Identity:
    """The device in this session, which lasts as long as the process."""

    device: str
    session: str
    client: str
    runtime: str

    def presence(self, *, online: bool, clock: Clock | None, models: tuple[str, ...] = ()) -> bytes:
        """The presence message. A last will has no clock: its time is unknown."""
        return Presence(
            device=self.device,
            online=online,
            at=clock.utc() if clock else None,
            session=self.session,
            client=self.client,
            runtime=self.runtime,
            models=models,
        ).to_line()

    def is_contradicted_by(self, payload: bytes, *, retained: bool) -> bool:
        """Whether this is a last will, of an earlier session or published just now."""
        try:
            presence = Presence.from_line(payload)
        except BadInput:
            return False
        return not presence.online and (presence.session != self.session or not retained)


class RoundTrip:
    """Measures how long the broker takes to acknowledge a publish."""

    def __init__(self) -> None:
        self._sent: tuple[int, float] | None = None  # the oldest unacknowledged publish
        self.latest_ms: float | Unknown = Unknown("nothing was acknowledged yet")

    def sent(self, receipt: int, now_s: float) -> None:
        """Start measuring, unless another publish is being measured."""
        if self._sent is None:
            self._sent = (receipt, now_s)

    def answered(self, receipt: int, now_s: float) -> None:
        """Stop measuring: the publish was acknowledged or refused."""
        if self._sent is not None and self._sent[0] == receipt:
            self.latest_ms = (now_s - self._sent[1]) * 1000.0
            self._sent = None

    def disconnected(self) -> None:
        """Discard the measurement: it would include the reconnect."""
        self._sent = None


class ReadBack:
    """Finds publishes that access rules forbid: MQTT 3.1.1 acknowledges these too."""

    def __init__(self) -> None:
        self._awaited: set[str] = set()
        self._since_s = 0.0

    def expect(self, topics: Iterable[str], now_s: float) -> None:
        """Begin, at a new connection on which these topics are published."""
        self._awaited, self._since_s = set(topics), now_s

    def disconnected(self) -> None:
        self._awaited = set()

    def seen(self, topic: str, *, retained: bool) -> bool:
        """Whether this message is the first that proves its topic."""
        if retained or topic not in self._awaited:  # a retained one may be older than the rules
            return False
        self._awaited.remove(topic)
        return True

    def overdue(self, now_s: float) -> list[str]:
        """The topics that were not returned in time; once per connection."""
        if now_s - self._since_s < READ_BACK_WITHIN_S:
            return []
        late, self._awaited = sorted(self._awaited), set()
        return late

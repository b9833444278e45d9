"""What a device says of itself as a whole, and what it learns of its own connection. No model is known here."""

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
    """Who this device is in this session; a session is one life of the process."""

    device: str
    session: str
    client: str
    runtime: str

    def presence(self, *, online: bool, clock: Clock | None, models: tuple[str, ...] = ()) -> bytes:
        """The presence message. A last will is written before it is true, so it is given no clock."""
        message = Presence(
            device=self.device,
            online=online,
            at=clock.utc() if clock else None,
            session=self.session,
            client=self.client,
            runtime=self.runtime,
            models=models,
        )
        return message.to_line()

    def is_contradicted_by(self, payload: bytes, *, retained: bool) -> bool:
        """Whether this is a last will that came after we are back: of an earlier session, or sent just now."""
        try:
            said = Presence.from_line(payload)
        except BadInput:
            return False
        return not said.online and (said.session != self.session or not retained)


class LinkWatch:
    """How long the broker takes to acknowledge: the round trip that the conditions ask for."""

    def __init__(self) -> None:
        self._sent: tuple[int, float] | None = None  # one publish at a time is enough: the oldest that is under way
        self.round_trip_ms: float | Unknown = Unknown("nothing was acknowledged yet")

    def sent(self, receipt: int, now_s: float) -> None:
        """A publish went out."""
        if self._sent is None:
            self._sent = (receipt, now_s)

    def answered(self, receipt: int, now_s: float) -> None:
        """It was acknowledged, or refused: either is an answer."""
        if self._sent is not None and self._sent[0] == receipt:
            self.round_trip_ms = (now_s - self._sent[1]) * 1000.0
            self._sent = None

    def cut(self) -> None:
        """A time that spans a reconnect tells nothing."""
        self._sent = None


class ReadBack:
    """Whether the broker shows us what we publish: under MQTT 3.1.1 the only proof that we may write."""

    def __init__(self) -> None:
        self._awaited: set[str] = set()
        self._since_s = 0.0

    def expect(self, topics: Iterable[str], now_s: float) -> None:
        """A connection has begun; these will be published on it."""
        self._awaited, self._since_s = set(topics), now_s

    def cut(self) -> None:
        """Nothing can be shown any more."""
        self._awaited = set()

    def seen(self, topic: str, *, retained: bool) -> bool:
        """Whether this proves a topic that was not proved. A kept message may be from before the rules changed."""
        if retained or topic not in self._awaited:
            return False
        self._awaited.remove(topic)
        return True

    def overdue(self, now_s: float) -> list[str]:
        """What has not come in all this time; told once a connection."""
        if now_s - self._since_s < READ_BACK_WITHIN_S:
            return []
        late, self._awaited = sorted(self._awaited), set()
        return late

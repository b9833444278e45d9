"""What a device says of itself as a whole, and what it learns of its own connection. No model is known here."""

from __future__ import annotations

from dataclasses import dataclass

from device_client.core.readings import Unknown
from device_client.engine import Clock
from protocol.errors import BadInput
from protocol.messages import Presence


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

    def is_contradicted_by(self, payload: bytes) -> bool:
        """Whether this is the last will of an earlier session, come after we are back."""
        try:
            said = Presence.from_line(payload)
        except BadInput:
            return False
        return not said.online and said.session != self.session


class LinkWatch:
    """How long the broker takes to acknowledge: the round trip that the conditions ask for."""

    def __init__(self) -> None:
        self._sent: tuple[int, float] | None = None  # one publish at a time is enough
        self.round_trip_ms: float | Unknown = Unknown("nothing was acknowledged yet")

    def sent(self, receipt: int, now_s: float) -> None:
        """A publish went out."""
        self._sent = (receipt, now_s)

    def delivered(self, receipt: int, now_s: float) -> None:
        """It was acknowledged."""
        if self._sent is not None and self._sent[0] == receipt:
            self.round_trip_ms = (now_s - self._sent[1]) * 1000.0
            self._sent = None

    def cut(self) -> None:
        """A time that spans a reconnect tells nothing."""
        self._sent = None

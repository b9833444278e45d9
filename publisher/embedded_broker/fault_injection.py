"""Draws faults to inject. Over sockets a seed fixes the draws, not the packets hit."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from typing import Final

from protocol.errors import BadSettings
from protocol.topics import SHA256
from publisher.embedded_broker.packets import PublishedMessage

_SHARES: Final = ("drop", "duplicate", "delay", "corrupt", "cut")


@dataclass(frozen=True, slots=True)
class FaultInjection:
    """How often each fault happens: shares, 0-1, of the messages that it can affect."""

    seed: int = 0
    drop: float = 0.0  # a message to a client is lost
    duplicate: float = 0.0  # a message to a client is sent twice
    delay: float = 0.0  # everything to a client waits, in order, for up to delay_s_max
    delay_s_max: float = 0.05
    corrupt: float = 0.0  # one byte of a chunk to a client is changed
    cut: float = 0.0  # the connection breaks at a message, in either direction

    def __post_init__(self) -> None:
        for share in _SHARES:
            if not 0 <= getattr(self, share) <= 1:
                raise BadSettings(f"the fault {share} is {getattr(self, share)}", hint="a share is from 0 to 1")

    @classmethod
    def parse(cls, text: str) -> FaultInjection:
        """Read `drop=0.1,cut=0.01,seed=7`. Raises BadSettings."""
        known = {field.name for field in fields(cls)}
        values: dict[str, float] = {}
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            try:
                values[name.strip()] = float(value)
            except ValueError:
                raise BadSettings(f"the fault {part!r} has no number", hint="write drop=0.1,cut=0.01") from None
        if unknown := set(values) - known:
            raise BadSettings(f"there is no fault {min(unknown)!r}", hint=f"there are {', '.join(sorted(known))}")
        seed = int(values.pop("seed", 0))
        return cls(seed=seed, **values)


@dataclass(frozen=True, slots=True)
class DeliveryFault:
    message: PublishedMessage
    copies: int = 1
    delay_s: float = 0.0
    cut: bool = False


class FaultInjector:
    def __init__(self, faults: FaultInjection) -> None:
        self._faults = faults
        self._rng = random.Random(faults.seed)

    def of_delivery(self, message: PublishedMessage) -> DeliveryFault:
        faults, happens = self._faults, self._happens
        if happens(faults.cut):
            return DeliveryFault(message, copies=0, cut=True)
        if happens(faults.drop):
            return DeliveryFault(message, copies=0)
        if _is_chunk(message) and happens(faults.corrupt):
            message = self._corrupted(message)
        delay_s = self._rng.uniform(0, faults.delay_s_max) if happens(faults.delay) else 0.0
        return DeliveryFault(message, 2 if happens(faults.duplicate) else 1, delay_s)

    def cuts_before_publish(self) -> bool:
        """Whether to disconnect before handling a message: it is sent again."""
        return self._happens(self._faults.cut / 2)

    def cuts_before_puback(self) -> bool:
        """Whether to disconnect before acknowledging it: it arrives twice."""
        return self._happens(self._faults.cut / 2)

    def _happens(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    def _corrupted(self, message: PublishedMessage) -> PublishedMessage:
        payload = bytearray(message.payload)
        payload[self._rng.randrange(len(payload))] ^= self._rng.randint(1, 255)
        return replace(message, payload=bytes(payload))


def _is_chunk(message: PublishedMessage) -> bool:
    above, _, name = message.topic.rpartition("/")
    return above.endswith("/chunks") and SHA256.fullmatch(name) is not None and bool(message.payload)

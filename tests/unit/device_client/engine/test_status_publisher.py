"""Which statuses are published again, and which repeat the last one."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from device_client.core.conditions.readings import Unknown
from device_client.engine.status_publisher import StatusPublisher
from device_client.ports.context import Clock, LinkOutput
from protocol.messages.device import Status
from protocol.topics import Topics
from tests.builders import NOON, a_status


def told(*statuses: Status) -> list[bool]:
    """Which of these are published, one after the other."""
    said: list[bytes] = []
    output = LinkOutput(
        lambda _topic, line, _retain: said.append(line), lambda _: None, lambda: None, lambda: Unknown("-")
    )
    publisher = StatusPublisher("pi-1", "digits", Topics(), output, Clock(lambda: 0.0, lambda: NOON))
    news = []
    for status in statuses:
        before = len(said)
        publisher.publish(status)
        news.append(len(said) > before)
    return news


def deferred(minute: float, *, check: datetime | None, reason: str = "CPU load 91 % is over 80 %") -> Status:
    return a_status("deferred", at=NOON + timedelta(minutes=minute), next_check=check, reason=reason)


LATER = NOON + timedelta(hours=3)


@pytest.mark.parametrize(
    ("second", "is_news"),
    [
        (deferred(5, check=LATER + timedelta(seconds=20)), False),  # the same, a little later
        (deferred(5, check=LATER, reason="CPU load 95 % is over 80 %"), True),
        (deferred(5, check=LATER - timedelta(hours=1)), True),  # a clock jumped, or it is in more of a hurry
        (deferred(5, check=LATER + timedelta(hours=1)), True),
        (deferred(5, check=None), True),
        (deferred(181, check=LATER + timedelta(seconds=20)), True),  # what was promised is past
    ],
)
def test_a_deferral_is_told_again_when_its_reason_or_its_time_is_another(second: Status, is_news: bool) -> None:
    assert told(deferred(0, check=LATER), second) == [True, is_news]

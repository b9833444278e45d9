"""The first to hear what comes from the broker: questions go to their model's desk, all else to the device's thread.

So a flood of questions costs the updater nothing. It runs on the link's thread and does no work there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from device_client.mqtt_inference.request_worker import RequestWorker
from protocol.mqtt.link import Connected, Link, LinkEvent, Received, Sink

log = logging.getLogger(__name__)


class EventRouter:
    """The sink of a device's link."""

    def __init__(self, forward: Sink) -> None:
        self._forward = forward
        self._desks: dict[str, RequestWorker] = {}
        self._link: Link | None = None

    def attach(self, link: Link, desks: Sequence[RequestWorker]) -> None:
        """Give it its parts; both know it, so they come after it."""
        self._link = link
        self._desks = {desk.input: desk for desk in desks}

    def hear(self, event: LinkEvent) -> None:
        """Take an event from the link."""
        if isinstance(event, Received) and event.topic in self._desks:
            self._question(event)
            return
        if isinstance(event, Connected) and self._link and self._desks:
            self._link.subscribe(list(self._desks), qos=0)  # lost with each connection
        self._forward(event)

    def _question(self, event: Received) -> None:
        """A kept one would be answered at each connection, long after anybody asked."""
        if not event.retained:
            self._desks[event.topic].take(event.payload, event.reply_to)
        elif event.payload:
            log.warning("%s: a question that the broker keeps is not answered; send it without retain", event.topic)

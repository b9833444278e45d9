"""Routes the link's events: requests to a model's worker, others to the event loop.

It only queues, on the link's thread: a flood of requests does not delay updates.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from device_client.mqtt_inference.request_worker import RequestWorker
from protocol.mqtt.link import Connected, Link, LinkEvent, Received, Sink

log = logging.getLogger(__name__)


class EventRouter:
    """`route` is the sink of a device's link; `forward` that of the event loop."""

    def __init__(self, forward: Sink) -> None:
        self._forward = forward
        self._workers: dict[str, RequestWorker] = {}
        self._link: Link | None = None

    def attach(self, link: Link, workers: Sequence[RequestWorker]) -> None:
        """Set the link and the workers, which are made with this router."""
        self._link = link
        self._workers = {worker.input: worker for worker in workers}

    def route(self, event: LinkEvent) -> None:
        if isinstance(event, Received) and event.topic in self._workers:
            self._request(event)
            return
        if isinstance(event, Connected) and self._link and self._workers:
            self._link.subscribe(list(self._workers), qos=0)  # a new connection has no subscriptions
        self._forward(event)

    def _request(self, event: Received) -> None:
        # the broker delivers a retained request again at every connection
        if not event.retained:
            self._workers[event.topic].submit(event.payload, event.reply_to)
        elif event.payload:
            log.warning("%s: a question that the broker keeps is not answered; send it without retain", event.topic)

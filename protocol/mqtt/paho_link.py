"""The `Link` to a real broker: keeps one connection after another until it is stopped.

A background thread does all network I/O. Each connection is a clean session: receipts
and unacknowledged messages are kept here, also across the fallback to MQTT 3.1.1.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence

from protocol.errors import BadInput, BadName
from protocol.mqtt.backoff import Backoff, failures_after
from protocol.mqtt.broker_url import BrokerUrl
from protocol.mqtt.link import Disconnected, LinkEvent, Sink
from protocol.mqtt.paho_connection import (
    PACKET_MAX_BYTES,
    ConnectionEnd,
    ConnectionSettings,
    PahoConnection,
    Will,
    packet_size_bytes,
)
from protocol.mqtt.send_queue import SendQueue
from protocol.mqtt.tls import TlsFiles, tls_context
from protocol.mqtt.wakeup import Wakeup

__all__ = ["PACKET_MAX_BYTES", "Backoff", "MqttLink", "TlsFiles", "Will"]


class MqttLink:
    """A `Link` to one broker; after `stop` it cannot be started again.

    Each failed attempt emits Disconnected. Later calls overtake publishes that wait for
    acknowledgements. Offline, all calls but publishes at QoS 1 are dropped.
    """

    def __init__(
        self,
        url: BrokerUrl,
        client_id: str,
        sink: Sink,
        *,
        tls: TlsFiles | None = None,
        will: Will | None = None,
        keepalive_s: int = 30,
        rng: random.Random | None = None,
        backoff: Backoff | None = None,
        mqtt5: bool = True,
    ) -> None:
        """Raises BadSettings for unusable TLS files, BadName for the will's topic."""
        if will:
            _check_topic(will.topic)
        self._backoff = backoff or Backoff()
        self._settings = ConnectionSettings(url, client_id, tls_context(url, tls), will, keepalive_s, self._backoff)
        self._rng = rng or random.Random()
        self._mqtt5 = mqtt5
        self._wakeup = Wakeup()
        self._queue = SendQueue(self._wakeup.wake)
        self._thread = threading.Thread(target=self._run, name=f"link {client_id}", daemon=True)
        self._start_stop_lock = threading.Lock()
        self._started = False
        self._stop_by_s: float | None = None  # monotonic; set by stop
        self._sink_lock = threading.RLock()  # the sink may call stop
        self._sink: Sink | None = sink

    def start(self) -> None:
        with self._start_stop_lock:
            if not self._started and self._stop_by_s is None:
                self._started = True
                self._thread.start()

    def stop(self) -> None:
        """Send what is queued, for at most 2 s, and disconnect without last will.

        No event follows its return; what has no receipt by then may not be delivered.
        """
        with self._start_stop_lock:
            if self._stop_by_s is None:
                self._stop_by_s = time.monotonic() + self._backoff.flush_timeout_s
                if not self._started:
                    self._wakeup.close()
            self._wakeup.wake()
        if self._started and self._thread is not threading.current_thread():
            self._thread.join(self._backoff.flush_timeout_s + 1.0)  # a name look-up may block it: it is a daemon
        with self._sink_lock:
            self._sink = None

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, correlation: bytes = b"") -> int:
        """At QoS 1 the message is sent until it is Delivered or Refused, once.

        At QoS 0 no event follows. Raises BadName or BadInput for what brokers would
        refuse each time.
        """
        _check_topic(topic)
        if packet_size_bytes(topic, payload, correlation) > PACKET_MAX_BYTES:
            raise BadInput(f"a message of {len(payload)} bytes for {topic}; a packet has at most {PACKET_MAX_BYTES}")
        assert qos in (0, 1), qos
        return self._queue.publish(topic, bytes(payload), qos, retain, bytes(correlation))

    def subscribe(self, topics: Sequence[str], *, qos: int) -> None:
        self._queue.request("subscribe", tuple(topics), qos)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        self._queue.request("unsubscribe", tuple(topics))

    def sweep(self, topics: Sequence[str]) -> None:
        self._queue.request("sweep", tuple(topics))

    # --- the thread

    def _run(self) -> None:
        failures = 0
        try:
            while self._stop_by_s is None or (failures == 0 and len(self._queue)):
                started_s = time.monotonic()
                end, accepted = self._connect_once()
                if self._stop_by_s is not None:
                    return
                self._emit(Disconnected(end.reason, end.final))
                failures = failures_after(failures, accepted=accepted, lasted_s=time.monotonic() - started_s)
                self._wait(failures, final=end.final)
        finally:
            self._wakeup.close()

    def _wait(self, failures: int, *, final: bool) -> None:
        until_s = time.monotonic() + self._backoff.wait_s(failures, self._rng, final=final)
        while self._stop_by_s is None and (left_s := until_s - time.monotonic()) > 0:
            self._wakeup.wait(left_s)  # a publish wakes it too, and does not shorten the wait
            self._wakeup.clear()

    def _connect_once(self) -> tuple[ConnectionEnd, bool]:
        """Run one connection, by MQTT 3.1.1 if the broker does not speak 5."""
        if self._mqtt5:
            end, accepted = self._run_connection(mqtt5=True)
            self._mqtt5 = not end.bad_version
            if not (end.no_answer or end.bad_version) or self._stop_by_s is not None:
                return end, accepted
        return self._run_connection(mqtt5=False)

    def _run_connection(self, *, mqtt5: bool) -> tuple[ConnectionEnd, bool]:
        connection = PahoConnection(self._settings, mqtt5=mqtt5, queue=self._queue, emit=self._emit)
        return connection.run(self._wakeup, lambda: self._stop_by_s), connection.accepted

    def _emit(self, event: LinkEvent) -> None:
        with self._sink_lock:
            if self._sink:
                self._sink(event)


def _check_topic(topic: str) -> None:
    if not topic or "+" in topic or "#" in topic or "\0" in topic or len(topic.encode()) > 65_535:
        raise BadName(f"nothing can be published to the topic {topic[:80]!r}", hint="no '+', no '#', not empty")

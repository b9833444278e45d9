"""QoS 1 is never lost, the rest is bounded; calls keep their order in the window."""

from __future__ import annotations

from protocol.mqtt.send_queue import REQUESTS_MAX, QueuedRequest, SendQueue
from protocol.mqtt.unacknowledged import Outgoing

WOKEN: list[None] = []


def a_queue(*, online: bool = True) -> SendQueue:
    queue = SendQueue(lambda: WOKEN.append(None))
    if online:
        queue.came_online()
    return queue


def drained(queue: SendQueue, window: int = 20) -> list[QueuedRequest | Outgoing]:
    taken = []
    while (item := queue.next(window)) is not None:
        taken.append(item)
    return taken


def receipts(items: list[QueuedRequest | Outgoing]) -> list[int]:
    return [item.receipt for item in items if isinstance(item, Outgoing)]


def test_what_is_unacknowledged_goes_again_in_its_order_on_the_next_connection() -> None:
    queue = a_queue(online=False)
    receipts_of = [queue.publish("a", b"", 1, False) for _ in range(5)]
    queue.came_online()
    assert receipts(drained(queue, window=3)) == receipts_of[:3]
    assert queue.settle(receipts_of[1])
    queue.went_offline()
    queue.came_online()
    assert receipts(drained(queue)) == [receipts_of[0], *receipts_of[2:]]


def test_a_message_is_settled_once() -> None:
    queue = a_queue()
    receipt = queue.publish("a", b"", 1, False)
    drained(queue)
    assert queue.settle(receipt)
    assert not queue.settle(receipt)
    assert len(queue) == 0


def test_what_is_requested_while_offline_is_dropped_but_for_qos_1() -> None:
    queue = a_queue(online=False)
    queue.request("subscribe", ("a",), 1)
    queue.publish("a", b"", 0, False)
    receipt = queue.publish("a", b"", 1, False)
    queue.came_online()
    assert receipts(drained(queue)) == [receipt]


def test_a_lost_connection_drops_its_requests() -> None:
    queue = a_queue()
    queue.request("sweep", ("a",))
    queue.went_offline()
    queue.came_online()
    assert drained(queue) == []


def test_calls_keep_their_order_until_publishes_have_to_wait() -> None:
    queue = a_queue()
    first = queue.publish("a", b"", 1, False)
    queue.request("subscribe", ("a",), 1)
    second = queue.publish("a", b"", 1, False)
    queue.publish("a", b"", 0, False)
    kinds = [item.action if isinstance(item, QueuedRequest) else item.qos for item in drained(queue, window=1)]
    assert kinds == [1, "subscribe", 0]
    assert queue.settle(first)
    assert receipts(drained(queue, window=1)) == [second]


def test_a_broker_that_reads_nothing_costs_the_connection_and_no_memory() -> None:
    queue = a_queue()
    for _ in range(REQUESTS_MAX):
        queue.publish("a", b"", 0, False)
    queue.publish("a", b"", 0, False)
    assert not queue.overflowed()  # a publish at QoS 0 may be lost
    assert len(queue) == REQUESTS_MAX
    queue.request("subscribe", ("a",), 1)
    assert queue.overflowed()  # a subscription may not
    queue.went_offline()
    assert not queue.overflowed()


def test_every_call_wakes_the_thread() -> None:
    queue = a_queue()
    WOKEN.clear()
    queue.publish("a", b"", 1, False)
    queue.request("unsubscribe", ("a",))
    assert len(WOKEN) == 2

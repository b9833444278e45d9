"""The device as a whole: presence, routing, outbox, read-back and the loop itself."""

from __future__ import annotations

import errno
import queue
import threading
from collections.abc import Sequence

import pytest

from device_client.core.conditions.readings import Unknown
from device_client.core.outbox_entry import OutboxEntry
from device_client.core.state import Phase
from device_client.feedback.window import FeedbackWindow
from device_client.ports.context import LinkOutput
from device_client.reporting.feedback_reporter import FeedbackReporter
from device_client.reporting.outbox import UNACKNOWLEDGED_MAX
from device_client.service.event_loop import EventLoop, Inbound, Posted, drive
from device_client.service.presence import READ_BACK_WITHIN_S, Identity, ReadBack, RoundTrip
from protocol.errors import NoRoom
from protocol.feedback.aggregation import FeedbackSums
from protocol.messages.device import Feedback, Outcome, Presence, Status
from protocol.mqtt.link import Connected, Delivered, Disconnected, Received, Refused, SweepCompleted
from tests.builders import a_hash, a_presence
from tests.engine_harness import DiaryJournal, EngineHarness, StandingClock
from tests.simulation.device import Disk

PRESENCE = "fleet/v1/devices/pi-1/presence"
STATUS = "fleet/v1/devices/pi-1/digits/status"
FULL = NoRoom("the disk is full", hint="remove files")


class RecordingLink:
    """The Link port: records calls; a test plays the broker's part."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, bool]] = []
        self.subscribed: dict[str, int] = {}
        self.swept: list[str] = []
        self.unsubscribed: list[str] = []
        self.running = False

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, correlation: bytes = b"") -> int:  # noqa: ARG002 - the port's
        """The receipt is the number of publishes so far."""
        assert qos == 1
        assert self.running
        self.published.append((topic, payload, retain))
        return len(self.published)

    def subscribe(self, topics: Sequence[str], *, qos: int) -> None:
        self.subscribed |= dict.fromkeys(topics, qos)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        self.unsubscribed += topics

    def sweep(self, topics: Sequence[str]) -> None:
        self.swept += topics

    def said(self, ending: str) -> list[bytes]:
        """The payloads on topics that end so."""
        return [payload for topic, payload, _ in self.published if topic.endswith(ending)]

    def receipts(self, ending: str) -> list[int]:
        """Of the publishes on topics that end so."""
        return [number for number, (topic, _, _) in enumerate(self.published, 1) if topic.endswith(ending)]


class DeviceRoom:
    """A loop over real engines, one room per model, and one outbox."""

    def __init__(self, *models: str, every_s: float = 3_600.0) -> None:
        self.time, self.disk, self.diary = StandingClock(), Disk(), list[str]()
        self.round_trip, self.link = RoundTrip(), RecordingLink()
        self.identity = Identity("pi-1", "s2", "edgeferry 0", "test runtime 0")
        self.journal = DiaryJournal(self.disk, self.diary)
        self.rooms: dict[str, EngineHarness] = {}
        output = LinkOutput(
            lambda topic, payload, retained: self.loop.publish(topic, payload, retained),
            lambda topics: self.loop.sweep(topics),
            lambda: self.loop.outbox_filled(),
            lambda: self.round_trip.latest_ms,
        )
        for model in models or ("digits",):
            self.rooms[model] = EngineHarness(model=model, output=output, clock=self.time)
        first = next(iter(self.rooms.values()))
        if len(self.rooms) == 1:
            self.disk, self.journal = first.disk, first.journal
        clock, topics = self.time.clock(), first.topics
        reporter = FeedbackReporter("pi-1", "s2", topics, self.journal, clock, every_s=every_s)
        self.loop = EventLoop(self.identity, topics, clock, self.round_trip, reporter, self.journal)
        self.loop.attach(
            self.link,
            {model: room.engine for model, room in self.rooms.items()},
            {model: room.serving for model, room in self.rooms.items()},
        )

    @property
    def one(self) -> EngineHarness:
        return next(iter(self.rooms.values()))

    def starts(self) -> None:
        """Start and connect."""
        self.loop.start()
        self.loop.handle(Connected())

    def hears(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        self.loop.handle(Received(topic, payload, retained))

    def serves_chunks(self) -> None:
        """Deliver every requested chunk."""
        while self.link.swept:
            topic = self.link.swept.pop(0)
            for room in self.rooms.values():
                if (payload := room.registry.chunks.get(topic.rsplit("/", 1)[1])) is not None:
                    self.hears(topic, payload)
                    break
            self.loop.handle(SweepCompleted((topic,)))

    def waits(self, seconds: float) -> None:
        self.time.now_s += seconds
        self.loop.tick()


@pytest.fixture
def device() -> DeviceRoom:
    """One model, connected."""
    device = DeviceRoom()
    device.starts()
    return device


def reports(device: DeviceRoom, count: int) -> list[OutboxEntry]:
    """Put so many reports in the outbox."""
    entries = [
        OutboxEntry(f"id-{number}", "fleet/v1/devices/pi-1/digits/event", b"%d" % number, 0.0, "event")
        for number in range(count)
    ]
    device.journal.enqueue(entries)
    return entries


# presence


def test_every_connection_begins_with_presence_in_this_session(device: DeviceRoom) -> None:
    [said] = device.link.said("/presence")
    presence = Presence.from_line(said)
    assert (presence.online, presence.session, presence.models) == (True, "s2", ("digits",))
    assert (presence.client, presence.runtime) == ("edgeferry 0", "test runtime 0")
    assert device.link.published[0][2], "retained"
    device.loop.handle(Disconnected("a tree"))
    device.loop.handle(Connected())
    assert len(device.link.said("/presence")) == 2


def test_a_late_will_of_an_old_session_is_contradicted(device: DeviceRoom) -> None:
    will = a_presence("pi-1", online=False, session="s1", at=None).to_line()
    for retained in (False, True):
        before = len(device.link.said("/presence"))
        device.hears(PRESENCE, will, retained=retained)
        assert len(device.link.said("/presence")) == before + 1
        assert Presence.from_line(device.link.said("/presence")[-1]).online


def test_our_own_will_kept_from_before_this_connection_is_not_contradicted(device: DeviceRoom) -> None:
    device.hears(PRESENCE, device.identity.presence(online=False, clock=None), retained=True)
    assert len(device.link.said("/presence")) == 1  # what was said on connecting stands behind it


def test_our_own_will_that_is_sent_while_we_are_here_is_contradicted(device: DeviceRoom) -> None:
    device.hears(PRESENCE, device.identity.presence(online=False, clock=None))
    assert len(device.link.said("/presence")) == 2


@pytest.mark.parametrize("payload", [b"", b"{", b'{"online": false}'])
def test_what_is_no_presence_is_not_answered(device: DeviceRoom, payload: bytes) -> None:
    device.hears(PRESENCE, payload)
    assert len(device.link.said("/presence")) == 1


def test_news_of_ourselves_being_online_needs_no_answer(device: DeviceRoom) -> None:
    device.hears(PRESENCE, a_presence("pi-1", session="s1").to_line())
    assert len(device.link.said("/presence")) == 1


# subscriptions and routing


def test_a_connection_subscribes_to_what_is_ours_and_to_no_wildcard(device: DeviceRoom) -> None:
    assert device.link.subscribed == {"fleet/v1/models/digits/desired": 1, PRESENCE: 0, STATUS: 0}


def test_a_release_travels_from_topic_to_topic(device: DeviceRoom) -> None:
    device.hears("fleet/v1/models/digits/desired", b"1.0.0 1", retained=True)
    device.serves_chunks()
    assert device.one.phase is Phase.PROVING


def test_each_model_gets_its_own_announcement_and_only_its_own_chunks() -> None:
    device = DeviceRoom("digits", "letters")
    device.starts()
    device.hears("fleet/v1/models/letters/desired", b"1.0.0 1", retained=True)
    device.serves_chunks()
    assert device.rooms["letters"].phase is Phase.PROVING
    assert device.rooms["digits"].phase is Phase.IDLE
    assert {Status.from_line(said).model for said in device.link.said("/letters/status")} == {"letters"}


def test_two_models_may_fetch_at_once() -> None:
    device = DeviceRoom("digits", "letters")
    device.starts()
    for model in device.rooms:
        device.hears(f"fleet/v1/models/{model}/desired", b"2.0.0 1")
    device.serves_chunks()
    assert [room.phase for room in device.rooms.values()] == [Phase.PROVING, Phase.PROVING]


def test_an_event_from_another_thread_reaches_its_model() -> None:
    device = DeviceRoom("digits", "letters")
    device.rooms["letters"].post = lambda event: device.loop.handle(Posted("letters", event))  # type: ignore[method-assign]  # as the station wires it
    device.starts()
    device.hears("fleet/v1/models/letters/desired", b"1.0.0 1")
    device.serves_chunks()
    device.rooms["letters"].prover.ends()
    assert [room.phase for room in device.rooms.values()] == [Phase.IDLE, Phase.PROBATION]


@pytest.mark.parametrize(
    "topic",
    ["elsewhere/v1/x", "fleet/v1/models/strangers/desired", "fleet/v1/devices/pi-1/digits/input", "fleet/v9/chunks/x"],
)
def test_what_is_not_ours_is_passed_over(device: DeviceRoom, topic: str) -> None:
    before = device.one.engine.state
    device.hears(topic, b"1.0.0 1")
    assert device.one.engine.state == before


def test_a_cut_link_is_told_to_every_engine_and_nothing_is_said_until_it_is_back(device: DeviceRoom) -> None:
    device.loop.handle(Disconnected("a tree"))
    said = len(device.link.published)
    device.hears("fleet/v1/models/digits/desired", b"1.0.0 1")
    assert len(device.link.published) == said
    device.loop.handle(Connected())
    assert device.one.engine.state.moment.link.up
    assert Status.from_line(device.link.said("/status")[-1]).state == "fetching"


# the outbox


def test_a_report_stays_until_the_broker_has_it(device: DeviceRoom) -> None:
    [entry] = reports(device, 1)
    device.loop.outbox_filled()
    assert device.link.said("/event") == [entry.payload]
    assert device.journal.waiting() == [entry]
    device.loop.handle(Delivered(device.link.receipts("/event")[0]))
    assert device.journal.waiting() == []


def test_a_report_under_way_is_not_sent_twice_by_us(device: DeviceRoom) -> None:
    reports(device, 1)
    for _ in range(3):
        device.loop.outbox_filled()
    device.loop.handle(Disconnected("a tree"))
    device.loop.handle(Connected())  # the link sends again what it has under way
    assert len(device.link.said("/event")) == 1


def test_reports_that_piled_up_go_out_a_bounded_number_at_a_time_in_order(device: DeviceRoom) -> None:
    entries = reports(device, 3 * UNACKNOWLEDGED_MAX)
    device.loop.outbox_filled()
    assert len(device.link.said("/event")) == UNACKNOWLEDGED_MAX
    while device.journal.waiting():
        for receipt in device.link.receipts("/event"):
            device.loop.handle(Delivered(receipt))
    assert device.link.said("/event") == [entry.payload for entry in entries]


def test_nothing_is_sent_without_a_link(device: DeviceRoom) -> None:
    device.loop.handle(Disconnected("a tree"))
    reports(device, 1)
    device.loop.outbox_filled()
    assert device.link.said("/event") == []
    device.loop.handle(Connected())
    assert len(device.link.said("/event")) == 1


def test_a_refused_report_is_kept_and_tried_at_the_next_connection_not_before(device: DeviceRoom) -> None:
    reports(device, 2)
    device.loop.outbox_filled()
    device.loop.handle(Refused(device.link.receipts("/event")[0], "not authorised"))
    device.loop.handle(Delivered(device.link.receipts("/event")[1]))
    device.loop.outbox_filled()
    assert len(device.link.said("/event")) == 2
    device.loop.handle(Disconnected("a tree"))
    device.loop.handle(Connected())
    assert device.link.said("/event")[2] == b"0"
    device.loop.handle(Delivered(device.link.receipts("/event")[-1]))
    assert device.journal.waiting() == []


def test_a_full_disk_delays_the_forgetting_and_sends_nothing_twice(device: DeviceRoom) -> None:
    reports(device, 2)
    device.loop.outbox_filled()
    device.journal.failure = FULL
    device.loop.handle(Delivered(device.link.receipts("/event")[0]))
    device.loop.outbox_filled()
    assert len(device.link.said("/event")) == 2
    assert len(device.journal.waiting()) == 2
    device.journal.failure = None
    device.loop.handle(Delivered(device.link.receipts("/event")[1]))
    assert device.journal.waiting() == []
    assert len(device.link.said("/event")) == 2


def test_an_adoption_is_heard_at_least_once_over_a_link_that_is_cut_again_and_again(device: DeviceRoom) -> None:
    device.hears("fleet/v1/models/digits/desired", b"1.0.0 1")
    device.serves_chunks()
    device.one.prover.ends()
    device.loop.handle(Disconnected("a tree"))
    device.waits(4_000.0)
    assert device.one.phase is Phase.COMMITTED
    for _ in range(3):
        device.loop.handle(Connected())
        device.loop.handle(Disconnected("another tree"))
    assert {Outcome.from_line(said).outcome for said in device.link.said("/event")} == {"adopted"}


# the link's own time


def test_the_round_trip_is_measured_on_what_is_said_anyway(device: DeviceRoom) -> None:
    device.round_trip.disconnected()
    device.loop.publish(STATUS, b"{}", True)
    receipt = len(device.link.published)
    device.time.now_s += 0.25
    device.loop.handle(Delivered(receipt))
    assert device.round_trip.latest_ms == 250.0


def test_a_link_slower_than_we_speak_is_measured_too() -> None:
    round_trip = RoundTrip()
    for second in range(5):
        round_trip.sent(second, float(second))
    round_trip.answered(0, 5.0)
    assert round_trip.latest_ms == 5_000.0


def test_a_time_that_spans_a_reconnect_is_not_a_round_trip() -> None:
    round_trip = RoundTrip()
    round_trip.sent(1, 0.0)
    round_trip.disconnected()
    round_trip.answered(1, 300.0)
    assert isinstance(round_trip.latest_ms, Unknown)


def test_a_refusal_is_an_answer_too(device: DeviceRoom) -> None:
    device.round_trip.disconnected()
    device.loop.publish(STATUS, b"{}", True)
    device.time.now_s += 0.1
    device.loop.handle(Refused(len(device.link.published), "not authorised"))
    assert device.round_trip.latest_ms == pytest.approx(100.0)


# the read-back


def test_our_own_status_is_read_back_once_a_connection(device: DeviceRoom, caplog: pytest.LogCaptureFixture) -> None:
    device.hears(STATUS, device.link.said("/status")[-1])
    assert device.link.unsubscribed == [STATUS]
    device.waits(READ_BACK_WITHIN_S)
    assert "does not return" not in caplog.text


def test_a_broker_that_does_not_show_us_our_own_words_is_reported_once(
    device: DeviceRoom, caplog: pytest.LogCaptureFixture
) -> None:
    device.hears(STATUS, device.link.said("/status")[-1], retained=True)  # from before: it proves nothing
    device.waits(READ_BACK_WITHIN_S - 1)
    assert "does not return" not in caplog.text
    device.waits(1.0)
    device.waits(READ_BACK_WITHIN_S)
    assert caplog.text.count(f"does not return what is published on {STATUS}; check its access rules") == 1


def test_a_cut_link_can_show_nothing() -> None:
    read_back = ReadBack()
    read_back.expect([STATUS], 0.0)
    read_back.disconnected()
    assert read_back.overdue(1_000.0) == []
    assert not read_back.seen(STATUS, retained=False)


# feedback


def a_window(inferences: int = 5, version: str = "1.0.0") -> FeedbackWindow:
    return FeedbackWindow(version, "float32", 0.0, 60.0, FeedbackSums(inferences=inferences))


def test_feedback_is_reported_every_so_often() -> None:
    device = DeviceRoom(every_s=60.0)
    device.starts()
    device.one.serving.windows = [a_window(5), a_window(7, "0.9.0")]
    device.waits(59.0)
    assert device.link.said("/feedback") == []
    assert device.loop.wake_s() == device.time.now_s + 1.0
    device.waits(1.0)
    told = [Feedback.from_line(said) for said in device.link.said("/feedback")]
    assert [(window.version, window.inferences) for window in told] == [("1.0.0", 5), ("0.9.0", 7)]
    assert len({window.event_id for window in told}) == 2


def test_a_window_without_inferences_is_not_worth_a_message() -> None:
    device = DeviceRoom(every_s=60.0)
    device.starts()
    device.waits(60.0)
    assert device.link.said("/feedback") == []


def test_stopping_closes_the_feedback_windows_and_says_goodbye(device: DeviceRoom) -> None:
    device.one.serving.windows = [a_window()]
    device.loop.stop()
    assert len(device.link.said("/feedback")) == 1
    topic, payload, retained = device.link.published[-1]
    assert (topic, retained) == (PRESENCE, True)
    assert not Presence.from_line(payload).online
    assert not device.link.running


def test_feedback_that_finds_no_room_adds_up_and_is_told_once_there_is_some(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device = DeviceRoom(every_s=60.0)
    device.starts()
    device.journal.failure = FULL
    for _ in range(100):
        device.one.serving.windows = [a_window(5), a_window(7, "0.9.0")]
        device.waits(60.0)
    assert device.link.said("/feedback") == []
    assert caplog.text.count("feedback cannot be kept yet") == 1
    device.journal.failure = None
    device.waits(60.0)
    told = [Feedback.from_line(payload) for payload in device.link.said("/feedback")]
    assert [(window.version, window.inferences) for window in told] == [("1.0.0", 500), ("0.9.0", 700)]
    device.waits(60.0)
    assert len(device.link.said("/feedback")) == 2, "told once"


def test_reports_that_cannot_be_read_wait_and_the_device_lives_on() -> None:
    device = DeviceRoom(every_s=60.0)
    device.one.serving.windows = [a_window(5)]
    device.starts()
    device.journal.unreadable = OSError(errno.EIO, "Input/output error")
    device.waits(60.0)
    device.loop.handle(Disconnected("a tree"))
    device.loop.handle(Connected())
    assert device.link.said("/feedback") == []
    device.journal.unreadable = None
    device.loop.outbox_filled()
    assert len(device.link.said("/feedback")) == 1


def test_feedback_that_finds_no_room_to_the_very_end_is_lost_and_nothing_else(
    device: DeviceRoom, caplog: pytest.LogCaptureFixture
) -> None:
    device.journal.failure = FULL
    device.one.serving.windows = [a_window()]
    device.loop.stop()
    assert "1 windows of feedback are lost" in caplog.text
    assert not device.link.running


# the loop


def test_the_loop_takes_what_comes_until_it_is_stopped_and_then_says_goodbye(device: DeviceRoom) -> None:
    inbox: queue.Queue[Inbound] = queue.Queue()
    stop = threading.Event()
    thread = threading.Thread(target=drive, args=(device.loop, inbox, stop, device.time.clock()))
    thread.start()
    try:
        inbox.put(Connected())
        inbox.put(Received("fleet/v1/models/digits/desired", b"1.0.0 1", False))
        inbox.put(Received(f"fleet/v1/chunks/{a_hash('stranger')}", b"stranger", False))
    finally:
        inbox.put(Disconnected("the test is over"))
        while not inbox.empty():
            thread.join(0.01)
        stop.set()
        thread.join(60.0)
    assert not thread.is_alive()
    assert device.one.engine.state.device.plan is not None
    assert not Presence.from_line(device.link.said("/presence")[-1]).online

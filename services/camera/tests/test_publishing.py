import threading
from datetime import timedelta

import pytest
from services.camera.tests.doubles import FakeSender

from camera.adapters.kafka_publisher import KafkaPublisher, PublisherSettings
from camera.domain.epoch import Epoch
from camera.domain.ring import RingLimits
from camera.domain.statistics import Statistics
from mesh.clock import ManualClock, SystemClock
from mesh.errors import ConfigurationError, RejectedRecordError, TransientError
from mesh.events import CameraStatus, FrameCaptured, Lane, LedgerEntry, LogEvent, StreamState
from mesh.metrics import StageMetrics
from mesh.testing import CAMERA_ID, NOON, a_frame_captured, a_frame_header
from mesh.topics import Topics
from mesh.tracing import context_of

FRAMES, LEDGER = "sightline.frames.live", "sightline.ledger"
STATUS, EVENTS = "sightline.camera-status", "sightline.events"


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def publisher(sender: FakeSender, clock: ManualClock) -> KafkaPublisher:
    settings = PublisherSettings(topics=Topics(), instance_id="camera-0")
    return KafkaPublisher(sender, settings, clock, StageMetrics())


def frame(sequence: int) -> FrameCaptured:
    return a_frame_captured(frame=a_frame_header(sequence_number=sequence))


def an_epoch(count: int = 0, lane: Lane = Lane.LIVE) -> Epoch:
    epoch = Epoch(CAMERA_ID, 7, lane, limits=RingLimits(), statistics=Statistics())
    for _ in range(count):
        epoch.offer(frame)
    return epoch


def a_status(state: StreamState = StreamState.LIVE) -> CameraStatus:
    return CameraStatus(
        camera_id=CAMERA_ID,
        camera_name="Front door",
        instance_id="camera-0",
        state=state,
        updated_at=NOON,
    )


def an_event() -> LogEvent:
    return LogEvent(
        event_id="evt_1",
        event_type="camera_connection",
        occurred_at=NOON,
        severity="info",
        service="camera",
        instance_id="camera-0",
        camera_id=CAMERA_ID,
        message="connected",
    )


@pytest.mark.parametrize(
    ("lane", "topic"),
    [(Lane.LIVE, FRAMES), (Lane.URGENT, "sightline.frames.urgent")],
)
def test_frames_go_to_their_lane_by_camera_each_with_a_trace_of_its_own(
    publisher: KafkaPublisher, sender: FakeSender, lane: Lane, topic: str
) -> None:
    publisher.attach(an_epoch(2, lane))
    publisher.turn()
    sent = [output for output in sender.sent if output.topic == topic]
    assert [output.key for output in sent] == [CAMERA_ID, CAMERA_ID]
    assert len({context_of(output.headers).trace_id for output in sent}) == 2


def test_the_ledger_hears_of_a_frame_after_the_broker_has_it(
    publisher: KafkaPublisher, sender: FakeSender, clock: ManualClock
) -> None:
    publisher.attach(an_epoch(3))
    publisher.turn()
    assert not sender.events(LEDGER)
    clock.advance(2)
    publisher.turn()
    (entry,) = sender.events(LEDGER)
    assert isinstance(entry, LedgerEntry)
    assert (entry.outcome, entry.ranges[0].first, entry.ranges[0].last) == ("captured", 0, 2)
    clock.advance(2)
    publisher.turn()
    assert len(sender.events(LEDGER)) == 1


def test_every_camera_has_its_turn(publisher: KafkaPublisher, sender: FakeSender) -> None:
    for _ in range(3):
        publisher.attach(an_epoch(10))
    publisher.turn()
    assert len(sender.events(FRAMES)) == 30


def test_while_the_broker_is_silent_rings_drop_the_oldest_and_nothing_blocks(
    publisher: KafkaPublisher, sender: FakeSender, clock: ManualClock
) -> None:
    sender.silent = True
    epoch = an_epoch(10)
    publisher.attach(epoch)
    for _ in range(5):
        publisher.turn()
        for _ in range(10):
            epoch.offer(frame)
    clock.advance(6)
    assert "has not acknowledged anything for 6 s" in (publisher.check() or "")
    sender.silent = False
    for _ in range(3):
        publisher.turn()
        clock.advance(2)
    assert publisher.check() is None
    published = {
        event.frame.sequence_number
        for event in sender.events(FRAMES)
        if isinstance(event, FrameCaptured)
    }
    entries = [entry for entry in sender.events(LEDGER) if isinstance(entry, LedgerEntry)]
    shed = {
        number
        for entry in entries
        if entry.outcome == "shed"
        for each in entry.ranges
        for number in range(each.first, each.last + 1)
    }
    assert published == {*range(10), *range(50, 60)}
    assert shed == set(range(10, 50))


def test_what_the_broker_refuses_for_now_is_sent_again_in_order(
    publisher: KafkaPublisher, sender: FakeSender, clock: ManualClock
) -> None:
    sender.error = TransientError("no leader")
    publisher.attach(an_epoch(3))
    publisher.status(a_status())
    publisher.event(an_event())
    publisher.turn()
    assert not sender.sent
    clock.advance(6)
    assert publisher.check() is not None
    sender.error = None
    publisher.turn()
    sent = [event for event in sender.events(FRAMES) if isinstance(event, FrameCaptured)]
    numbers = [event.frame.sequence_number for event in sent]
    assert numbers == [0, 1, 2]
    assert sender.events(STATUS) == [a_status()]
    assert sender.events(EVENTS) == [an_event()]
    assert publisher.check() is None


def test_an_unreachable_registry_pauses_everything_and_loses_nothing(
    publisher: KafkaPublisher, sender: FakeSender, clock: ManualClock
) -> None:
    sender.refusal = TransientError("the registry cannot be reached")
    publisher.attach(an_epoch(3))
    publisher.event(an_event())
    publisher.turn()
    sender.refusal = None
    publisher.turn()
    assert not sender.sent
    clock.advance(1)
    publisher.turn()
    assert len(sender.events(FRAMES)) == 3
    assert len(sender.events(EVENTS)) == 1


def test_a_frame_that_no_broker_takes_is_shed(
    publisher: KafkaPublisher, sender: FakeSender, clock: ManualClock
) -> None:
    sender.refusal = RejectedRecordError("too large")
    publisher.attach(an_epoch(1))
    publisher.turn()
    sender.refusal = None
    clock.advance(2)
    publisher.turn()
    shed, captured = sender.events(LEDGER)
    assert isinstance(shed, LedgerEntry)
    assert isinstance(captured, LedgerEntry)
    assert (shed.outcome, shed.reason) == ("shed", "too_large")
    assert captured.outcome == "captured"


def test_ledger_entries_that_were_not_taken_are_told_later(
    publisher: KafkaPublisher, sender: FakeSender, clock: ManualClock
) -> None:
    epoch = an_epoch(1)
    epoch.close()
    publisher.attach(epoch)
    publisher.turn()
    clock.advance(2)
    sender.error = TransientError("no leader")
    publisher.turn()
    sender.error = None
    clock.advance(2)
    publisher.turn()
    (entry,) = sender.events(LEDGER)
    assert isinstance(entry, LedgerEntry)
    assert entry.closes_epoch
    assert not publisher.pending()


def test_only_the_newest_status_is_sent_and_a_deletion_is_a_tombstone(
    publisher: KafkaPublisher, sender: FakeSender
) -> None:
    publisher.status(a_status(StreamState.CONNECTING))
    publisher.status(a_status(StreamState.LIVE))
    publisher.turn()
    publisher.forget(CAMERA_ID)
    publisher.turn()
    assert sender.events(STATUS) == [a_status(StreamState.LIVE), None]


def test_a_newer_status_wins_over_one_that_came_back(
    publisher: KafkaPublisher, sender: FakeSender
) -> None:
    sender.silent = True
    publisher.status(a_status(StreamState.CONNECTING))
    publisher.turn()
    publisher.status(a_status(StreamState.LIVE))
    sender.silent, sender.error = False, TransientError("no leader")
    publisher.turn()
    sender.error = None
    publisher.turn()
    assert sender.events(STATUS)[-1] == a_status(StreamState.LIVE)


def test_a_broker_that_refuses_for_good_ends_the_publisher(
    publisher: KafkaPublisher, sender: FakeSender
) -> None:
    sender.error = ConfigurationError("unknown topic")
    publisher.event(an_event())
    with pytest.raises(ConfigurationError):
        publisher.turn()


def test_at_the_end_everything_goes_out_and_every_epoch_is_closed(
    publisher: KafkaPublisher, sender: FakeSender
) -> None:
    epoch = an_epoch(5)
    publisher.attach(epoch)
    epoch.close()
    publisher.status(a_status(StreamState.STOPPED))
    stop = threading.Event()
    stop.set()
    publisher.wake()
    publisher.run(stop, timedelta(seconds=5))
    assert len(sender.events(FRAMES)) == 5
    last = sender.events(LEDGER)[-1]
    assert isinstance(last, LedgerEntry)
    assert last.closes_epoch
    assert not publisher.pending()


def test_the_end_does_not_wait_for_a_broker_that_is_gone(
    publisher: KafkaPublisher, sender: FakeSender, clock: ManualClock
) -> None:
    sender.silent = True
    publisher.attach(an_epoch(5))
    stop = threading.Event()
    stop.set()
    publisher.run(stop, timedelta(seconds=5))
    assert publisher.pending()
    assert 5 <= clock.monotonic() < 6


def test_frames_are_published_as_soon_as_it_is_woken(sender: FakeSender) -> None:
    settings = PublisherSettings(topics=Topics(), instance_id="camera-0")
    publisher = KafkaPublisher(sender, settings, SystemClock(), StageMetrics())
    stop = threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop, timedelta(seconds=2)), daemon=True)
    thread.start()
    epoch = an_epoch(1)
    publisher.attach(epoch)
    epoch.close()
    publisher.wake()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert len(sender.events(FRAMES)) == 1

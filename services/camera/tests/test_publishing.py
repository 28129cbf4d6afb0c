import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from services.camera.tests.doubles import FakeGauges, FakeSender
from services.camera.tests.patience import PATIENT
from structlog.testing import capture_logs

from camera.adapters.kafka_publisher import KafkaPublisher, PublisherSettings
from camera.adapters.refusals import Refusals
from camera.adapters.report_queue import ReportQueue
from mesh.clock import ManualClock, SystemClock
from mesh.errors import ConfigurationError, RejectedRecordError, TransientError
from mesh.events import CameraStatus, FrameCaptured, Lane, LedgerEntry, LogEvent, StreamState
from mesh.metrics import StageMetrics
from mesh.retry import RetryPolicy
from mesh.source.epoch import Epoch
from mesh.source.ring import RingLimits
from mesh.source.statistics import Statistics
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
def gauges() -> FakeGauges:
    return FakeGauges()


@pytest.fixture
def publisher(sender: FakeSender, clock: ManualClock, gauges: FakeGauges) -> KafkaPublisher:
    settings = PublisherSettings(topics=Topics(), instance_id="camera-0")
    return KafkaPublisher(sender, settings, clock, metrics=StageMetrics(), gauges=gauges)


def frame(sequence: int) -> FrameCaptured:
    return a_frame_captured(frame=a_frame_header(sequence_number=sequence))


def an_epoch(count: int = 0, lane: Lane = Lane.LIVE, camera_id: str = CAMERA_ID) -> Epoch:
    epoch = Epoch(camera_id, 7, lane, limits=RingLimits(), statistics=Statistics())
    for _ in range(count):
        epoch.offer(frame)
    return epoch


def frames_of(sender: FakeSender) -> list[FrameCaptured]:
    return [event for event in sender.events(FRAMES) if isinstance(event, FrameCaptured)]


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
    for number in range(3):
        publisher.attach(an_epoch(10, camera_id=f"cam_{number}"))
    publisher.turn()
    assert len(sender.events(FRAMES)) == 30


def test_an_earlier_epoch_of_a_camera_goes_out_before_a_later_one(
    publisher: KafkaPublisher, sender: FakeSender
) -> None:
    earlier, later = an_epoch(10), an_epoch(1, Lane.EVIDENCE)
    publisher.attach(earlier)
    publisher.attach(later)
    sender.silent = True
    publisher.turn()
    earlier.close()
    sender.silent = False
    publisher.turn()
    assert not sender.events("sightline.frames.evidence")
    publisher.turn()
    assert len(sender.events("sightline.frames.evidence")) == 1


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
    assert publisher.check() == "kafka has not acknowledged anything for more than 5 s"
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
    publisher.turn()
    assert publisher.check() is not None
    sender.error = None
    publisher.turn()
    sent = [event for event in sender.events(FRAMES) if isinstance(event, FrameCaptured)]
    numbers = [event.frame.sequence_number for event in sent]
    assert numbers == [0, 1, 2]
    assert sender.events(STATUS) == [a_status()]
    assert sender.events(EVENTS) == [an_event()]
    assert publisher.check() is None


def test_a_topic_whose_schema_cannot_be_looked_up_waits_and_stops_no_other(
    publisher: KafkaPublisher, sender: FakeSender, clock: ManualClock
) -> None:
    sender.refused = {FRAMES}
    sender.refusal = TransientError("schema registry unreachable: no route")
    publisher.attach(an_epoch(3))
    publisher.event(an_event())
    publisher.turn()
    assert len(sender.events(EVENTS)) == 1
    assert publisher.check() is None
    clock.advance(6)
    assert publisher.check() == "schema registry unreachable: no route"
    publisher.turn()
    sender.refusal = None
    clock.advance(6)
    publisher.turn()
    assert [event.frame.sequence_number for event in frames_of(sender)] == [0, 1, 2]
    assert publisher.check() is None


@pytest.mark.parametrize("topic", [FRAMES, STATUS, EVENTS, LEDGER])
def test_reports_that_cannot_be_encoded_are_told_later(
    publisher: KafkaPublisher, sender: FakeSender, clock: ManualClock, topic: str
) -> None:
    sender.refused, sender.refusal = {topic}, TransientError("schema registry unreachable")
    epoch = an_epoch(1)
    epoch.close()
    publisher.attach(epoch)
    for _ in range(3):
        publisher.status(a_status())
        publisher.event(an_event())
        publisher.turn()
        publisher.turn()
        clock.advance(3)
    assert publisher.pending()
    sender.refusal = None
    while publisher.pending():
        clock.advance(6)
        publisher.turn()
    assert sender.events(topic)


def test_topics_wait_ever_longer_at_random_and_at_most_the_maximum(clock: ManualClock) -> None:
    retry = RetryPolicy(maximum=timedelta(seconds=4), attempts=1, random=lambda: 1.0)
    refusals = Refusals(clock, retry)
    error = TransientError("the registry is away")
    refusals.refused(FRAMES, error)
    clock.advance(3.9)
    assert refusals.present(FRAMES) is error
    clock.advance(0.2)
    assert not refusals.waits(FRAMES)
    refusals.refused(FRAMES, error)
    assert refusals.lasting(4) == "the registry is away"
    refusals.taken(FRAMES)
    assert refusals.lasting(0) is None


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


def test_a_closing_entry_that_fails_long_after_it_was_sent_is_told_again(
    publisher: KafkaPublisher, sender: FakeSender, clock: ManualClock
) -> None:
    epoch = an_epoch(1)
    epoch.close()
    publisher.attach(epoch)
    publisher.turn()
    clock.advance(2)
    sender.silent = True
    publisher.turn()
    for _ in range(5):
        clock.advance(6)
        publisher.turn()
    sender.silent, sender.error = False, TransientError("timed out")
    publisher.turn()
    sender.error = None
    clock.advance(2)
    publisher.turn()
    (entry,) = sender.events(LEDGER)
    assert isinstance(entry, LedgerEntry)
    assert entry.closes_epoch
    assert not publisher.pending()


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
    with capture_logs() as logs:
        publisher.run(stop, timedelta(seconds=5))
    assert publisher.pending()
    assert 5 <= clock.monotonic() < 6
    (left,) = logs
    assert (left["event"], left["frames"], left["cameras"]) == ("frames_abandoned", 5, [CAMERA_ID])


def test_an_event_that_comes_back_to_a_full_queue_is_the_oldest_and_goes() -> None:
    queue, oldest = ReportQueue(), an_event()
    for _ in range(1000):
        queue.event(replace(oldest, event_id="evt_2"))
    queue.give_back(oldest)
    assert {event.event_id for event in queue.take_events()} == {"evt_2"}
    queue.give_back(oldest)
    assert queue.take_events() == [oldest]
    assert not queue


def test_what_waits_is_shown_by_lane(
    publisher: KafkaPublisher, sender: FakeSender, gauges: FakeGauges
) -> None:
    sender.silent = True
    publisher.attach(an_epoch(12, Lane.EVIDENCE))
    publisher.attach(an_epoch(2, camera_id="cam_other"))
    publisher.turn()
    size = len(frame(0).image or b"")
    assert gauges.frames == {"evidence": 10, "live": 2}
    assert gauges.size == {"evidence": 10 * size, "live": 2 * size}


def test_frames_are_published_as_soon_as_it_is_woken(sender: FakeSender) -> None:
    settings = PublisherSettings(topics=Topics(), instance_id="camera-0")
    publisher = KafkaPublisher(
        sender, settings, SystemClock(), metrics=StageMetrics(), gauges=FakeGauges()
    )
    stop = threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop, timedelta(seconds=2)), daemon=True)
    thread.start()
    epoch = an_epoch(1)
    publisher.attach(epoch)
    epoch.close()
    publisher.wake()
    stop.set()
    thread.join(PATIENT)
    assert not thread.is_alive()
    assert len(sender.events(FRAMES)) == 1

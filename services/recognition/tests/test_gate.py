"""What waits while the gallery is away, and what does not."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from services.recognition.tests.arranging import a_face_of, a_frame, a_photo

from mesh.events import FrameDetected, Lane, Purpose
from mesh.record import Record, TopicPartition
from mesh.scheduler import Scheduled
from mesh.testing import NOON, a_frame_header, a_request
from recognition.stage import GalleryGate

SECOND = timedelta(seconds=1)


@dataclass
class Queue:
    """First come, first served."""

    records: list[Record[Any]] = field(default_factory=list)

    def add(self, lane: str, record: Record[Any]) -> None:
        del lane
        self.records.append(record)

    def next_batch(self, now: datetime, capacity: int) -> Scheduled:
        del now
        taken, self.records = self.records[:capacity], self.records[capacity:]
        return Scheduled(taken)

    def waiting(self, lane: str) -> int:
        del lane
        return len(self.records)

    def drop(self, partitions: Any) -> int:
        before = len(self.records)
        self.records = [each for each in self.records if each.source not in partitions]
        return before - len(self.records)


@dataclass
class Arranged:
    """A gate, and what its gallery and database say."""

    gallery: str | None = None
    database: str | None = None

    def __post_init__(self) -> None:
        self.gate = GalleryGate(
            Queue(), gallery=lambda: self.gallery, database=lambda: self.database
        )

    def add(self, *records: Record[FrameDetected]) -> None:
        for record in records:
            self.gate.add("detections", record)

    def take(self, after: timedelta = timedelta(0), capacity: int = 8) -> Scheduled:
        return self.gate.next_batch(NOON + after, capacity)


@pytest.fixture
def arranged() -> Arranged:
    return Arranged()


def live(sequence: int = 0, received: datetime = NOON) -> Record[FrameDetected]:
    header = a_frame_header(sequence_number=sequence, lane=Lane.LIVE, received_timestamp=received)
    return a_frame(a_face_of(1.0), frame=header)


def urgent(sequence: int = 50) -> Record[FrameDetected]:
    header = a_frame_header(sequence_number=sequence, lane=Lane.URGENT, received_timestamp=NOON)
    return a_frame(a_face_of(1.0), frame=header)


def evidence(sequence: int = 100) -> Record[FrameDetected]:
    header = a_frame_header(sequence_number=sequence, lane=Lane.EVIDENCE)
    return a_frame(a_face_of(1.0), frame=header)


def request(deadline: datetime | None) -> Record[FrameDetected]:
    header = a_frame_header(
        sequence_number=200, lane=Lane.REQUEST, purpose=Purpose.PROCESS_FRAME, deadline=deadline
    )
    return a_frame(a_face_of(1.0), frame=header, request=a_request())


def reasons(scheduled: Scheduled) -> list[tuple[Any, str]]:
    return [(shed.record, shed.reason) for shed in scheduled.shed]


def test_an_open_gate_lets_everything_pass_in_order(arranged: Arranged) -> None:
    records = [live(0), evidence(), a_photo(a_face_of(1.0))]
    arranged.add(*records)
    assert arranged.take(60 * SECOND, capacity=2).batch == records[:2]
    assert arranged.take(60 * SECOND).batch == records[2:]


def test_everything_waits_while_the_gallery_is_stale(arranged: Arranged) -> None:
    arranged.gallery = "stale"
    records = [live(0), evidence(), request(None), a_photo(a_face_of(1.0))]
    arranged.add(*records)
    assert arranged.take() == Scheduled([], [])
    assert arranged.gate.waiting("detections") == 4
    arranged.gallery = None
    assert arranged.take(SECOND, capacity=3).batch == records[:3]
    assert arranged.take(SECOND).batch == records[3:]


def test_live_frames_age_out_and_requests_end_at_their_deadline(arranged: Arranged) -> None:
    arranged.gallery = "stale"
    old, pressing, kept = live(0), urgent(), evidence()
    late = request(NOON + 5 * SECOND)
    arranged.add(old, pressing, kept, late)
    assert reasons(arranged.take(3 * SECOND)) == [(old, "gallery"), (pressing, "gallery")]
    assert reasons(arranged.take(5 * SECOND)) == [(late, "deadline")]
    assert arranged.take(timedelta(days=1)) == Scheduled([], [])
    assert arranged.gate.waiting("detections") == 1


def test_what_was_received_before_the_gate_opened_is_still_its_victim(arranged: Arranged) -> None:
    arranged.gallery = "stale"
    arranged.take()
    arranged.gallery = None
    arranged.take(10 * SECOND)
    before, after = live(0), live(1, NOON + 11 * SECOND)
    arranged.add(before, after)
    scheduled = arranged.take(20 * SECOND)
    assert reasons(scheduled) == [(before, "gallery")]
    assert scheduled.batch == [after]


def test_photos_alone_wait_for_the_database(arranged: Arranged) -> None:
    arranged.database = "away"
    photo, frame = a_photo(a_face_of(1.0)), live(0)
    arranged.add(photo, frame)
    assert arranged.take(SECOND).batch == [frame]
    arranged.database = None
    assert arranged.take(2 * SECOND).batch == [photo]


def test_frames_of_lost_partitions_are_forgotten(arranged: Arranged) -> None:
    arranged.gallery = "stale"
    record = evidence()
    arranged.add(record)
    arranged.take()
    arranged.add(evidence(101))
    place = TopicPartition(record.topic, record.partition)
    assert arranged.gate.drop({place}) == 2
    assert arranged.gate.waiting("detections") == 0

"""What becomes of frames that wait in their lane."""

from datetime import timedelta
from typing import Any

import pytest

from detection.adapters.lanes import lanes_of
from mesh.events import Lane, Purpose
from mesh.record import Record
from mesh.round_robin import DeficitRoundRobin
from mesh.scheduler import Scheduled
from mesh.testing import (
    NOON,
    a_detection_config,
    a_frame_captured,
    a_frame_header,
    a_record,
    a_request,
)
from mesh.topics import Topics

OLD = NOON + timedelta(seconds=3)
TWO_SECONDS = a_detection_config(max_age_ms=2000)


def of_a_camera(lane: Lane, number: int, camera_id: str = "cam_busy") -> Record[Any]:
    header = a_frame_header(
        camera_id=camera_id, lane=lane, sequence_number=number, received_timestamp=NOON
    )
    event = a_frame_captured(frame=header, detection=TWO_SECONDS)
    return a_record(event, key=camera_id, offset=number)


def pushed(lane: Lane, number: int, camera_id: str = "cam_busy") -> Record[Any]:
    header = a_frame_header(
        camera_id=camera_id, lane=lane, purpose=Purpose.PROCESS_FRAME, received_timestamp=NOON
    )
    event = a_frame_captured(frame=header, detection=TWO_SECONDS, request=a_request())
    return a_record(event, key=camera_id, offset=number)


def waiting(lane: Lane, *records: Record[Any]) -> DeficitRoundRobin:
    scheduler = DeficitRoundRobin(lanes_of(Topics()))
    for record in records:
        scheduler.add(lane, record)
    return scheduler


def reasons(scheduled: Scheduled) -> list[tuple[int, str]]:
    return [(shed.record.offset, shed.reason) for shed in scheduled.shed]


@pytest.mark.parametrize("lane", [Lane.LIVE, Lane.URGENT])
def test_a_newer_frame_of_its_camera_overtakes_one_that_waits(lane: Lane) -> None:
    scheduler = waiting(lane, *(of_a_camera(lane, number) for number in range(3)))

    found = scheduler.next_batch(NOON, 8)

    assert [record.offset for record in found.batch] == [2]
    assert reasons(found) == [(0, "superseded"), (1, "superseded")]


@pytest.mark.parametrize("lane", [Lane.LIVE, Lane.URGENT])
def test_a_frame_that_is_too_old_is_shed(lane: Lane) -> None:
    found = waiting(lane, of_a_camera(lane, 0)).next_batch(OLD, 8)

    assert (found.batch, reasons(found)) == ([], [(0, "max_age")])


def test_pictures_that_clients_wait_for_are_neither_overtaken_nor_too_old() -> None:
    records = [pushed(Lane.URGENT, 0), of_a_camera(Lane.URGENT, 1), pushed(Lane.URGENT, 2)]

    found = waiting(Lane.URGENT, *records, of_a_camera(Lane.URGENT, 3)).next_batch(OLD, 8)

    assert [record.offset for record in found.batch] == [0, 2]
    assert reasons(found) == [(1, "superseded"), (3, "max_age")]


def test_an_urgent_camera_leaves_room_for_what_clients_push() -> None:
    flood = [of_a_camera(Lane.URGENT, number) for number in range(500)]
    scheduler = waiting(Lane.URGENT, *flood, pushed(Lane.URGENT, 500, "cam_other"))

    assert scheduler.waiting(Lane.URGENT) == 2
    assert 500 in [record.offset for record in scheduler.next_batch(NOON, 2).batch]


def test_nothing_of_the_evidence_is_given_up() -> None:
    records = [of_a_camera(Lane.EVIDENCE, number) for number in range(3)]

    found = waiting(Lane.EVIDENCE, *records).next_batch(OLD, 8)

    assert (len(found.batch), found.shed) == (3, [])

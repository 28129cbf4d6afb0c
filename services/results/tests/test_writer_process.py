"""The writer as a process on the real broker and database, kills included."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from mesh.crypto import Cipher
from mesh.deadletters import DeadLetters, read_dead_letter
from mesh.events import SequenceRange
from mesh.kafka import KafkaProducer
from mesh.testing import (
    CAMERA_ID,
    PERSON_ID,
    a_frame_captured,
    a_frame_header,
    a_person,
    a_record,
    a_sighting,
)

from .running import SECRET, Installation, eventually
from .stored_events import a_result, a_snapshot, an_entry

pytestmark = [pytest.mark.integration, pytest.mark.slow]

OTHER_CAMERA = "cam_00000000-0000-4000-8000-000000000002"


def results(numbers: Iterator[int] | range, camera: str = CAMERA_ID) -> list[tuple[str, str, Any]]:
    return [("results", camera, a_result(n, frame={"camera_id": camera})) for n in numbers]


def count(installation: Installation, table: str = "detections") -> int:
    found: int = installation.rows(f"SELECT count(*) FROM results.{table}")[0][0]
    return found


def more_than(installation: Installation, rows: int) -> bool:
    return count(installation) > rows


def test_everything_is_stored_and_replaying_every_topic_changes_nothing(
    installation: Installation,
) -> None:
    first = a_result(0)
    with installation.role("writer"):
        installation.publish(
            *results(range(20)),
            *results(range(10)),
            *results(range(20), OTHER_CAMERA),
            ("sightings", CAMERA_ID, a_sighting()),
            ("snapshots", CAMERA_ID, a_snapshot(first)),
            ("persons", PERSON_ID, a_person()),
            ("ledger", CAMERA_ID, an_entry()),
        )
        tables = {"detections": 40, "sightings": 1, "snapshots": 1, "persons": 1}
        eventually(lambda: all(count(installation, t) == n for t, n in tables.items()))
        eventually(lambda: count(installation, "ledger") == 3)
    picture = Path(installation.environment["SIGHTLINE_OBJECTS_URL"].removeprefix("file://"))
    name = a_snapshot(first).sha256
    assert (picture / "snapshots" / name[:2] / name).read_bytes() == a_snapshot(first).image

    query = "SELECT * FROM results.detections ORDER BY detection_id"
    before = installation.rows(query)
    ends = installation.rows("SELECT topic, partition, next_offset FROM results.writer_offsets")
    with psycopg.connect(installation.database) as connection:
        connection.execute("UPDATE results.writer_offsets SET next_offset = 0")
    offsets = "SELECT topic, partition, next_offset FROM results.writer_offsets"
    with installation.role("writer"):
        eventually(lambda: set(installation.rows(offsets)) == set(ends))
    assert installation.rows(query) == before
    assert count(installation, "ledger") == 3


def test_kill_9_loses_and_doubles_nothing(installation: Installation) -> None:
    for attempt in range(3):
        with installation.role("writer", ready=attempt == 0) as process:
            numbers = range(attempt * 300, attempt * 300 + 300)
            installation.publish(*results(numbers), *results(numbers, OTHER_CAMERA))
            eventually(partial(more_than, installation, count(installation)))
            process.kill()
            process.wait()
    with installation.role("writer"):
        eventually(lambda: count(installation) == 1800)
    stored = installation.rows(
        "SELECT camera_id, count(*), count(DISTINCT sequence_number), max(sequence_number)"
        " FROM results.detections GROUP BY 1"
    )
    assert {row[1:] for row in stored} == {(900, 900, 899)}
    ledger = installation.rows("SELECT numbers::text FROM results.ledger")
    assert ledger == [("{[0,900)}",)] * 2


def test_a_poison_record_is_a_dead_letter_and_the_partition_moves_on(
    installation: Installation,
) -> None:
    settings = installation.settings
    producer = KafkaProducer(settings.kafka_bootstrap, instance_id="test")
    poison = a_result(1, frame={"frame_key": "no-uuid"})
    with installation.role("writer"):
        installation.publish(*results(range(1)))
        producer.produce(settings.topics("results"), CAMERA_ID, b"no avro")
        producer.flush(timedelta(seconds=60))
        installation.publish(("results", CAMERA_ID, poison), *results(range(2, 5)))
        eventually(lambda: count(installation) == 4)
    cipher = Cipher(SecretStr(SECRET))
    letters = [read_dead_letter(raw, cipher) for raw in installation.read("dead-letters", 2)]
    assert letters[0].value == b"no avro"
    assert letters[1].reason.startswith("unstorable")
    failed = "SELECT reason, numbers::text FROM results.ledger WHERE outcome = 'failed'"
    assert installation.rows(failed) == [("unstorable", "{[1,2)}")]


def test_a_frame_that_never_came_through_is_lost_and_a_dead_letter_is_a_failure(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_LEDGER_GRACE_SECONDS", "1")
    monkeypatch.setenv("SIGHTLINE_LEDGER_SWEEP_SECONDS", "0.5")
    settings = installation.settings
    producer = KafkaProducer(settings.kafka_bootstrap, instance_id="test")
    letters = DeadLetters(
        producer, Cipher(SecretStr(SECRET)), topic=settings.topics("dead-letters"),
        service="recognition", version="1",
    )  # fmt: skip
    dead = a_record(a_frame_captured(frame=a_frame_header(sequence_number=5)))
    letters.write(dead, b"", "poison: ended its process 2 times")
    producer.flush(timedelta(seconds=60))
    ranges = (SequenceRange(first=0, last=9),)
    captured = an_entry(outcome="captured", reason=None, ranges=ranges)
    with installation.role("writer"), installation.role("keeper"):
        numbers = (0, 1, 2, 3, 6, 7, 8, 9)
        installation.publish(*results(iter(numbers)), ("ledger", CAMERA_ID, captured))
        lost = "SELECT outcome, reason, numbers::text FROM results.ledger WHERE reason <> ''"
        eventually(
            lambda: set(installation.rows(lost))
            == {("failed", "poison", "{[5,6)}"), ("lost", "crash", "{[4,5)}")}
        )
        told = "SELECT attributes ->> 'crash' FROM results.events WHERE event_type = 'frames_lost'"
        eventually(lambda: bool(installation.rows(told)))
        assert installation.rows(told) == [("1",)]

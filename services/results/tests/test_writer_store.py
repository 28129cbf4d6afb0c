"""A batch is one transaction behind a fence, and a batch again changes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from mesh.errors import TransientError
from mesh.events import (
    Activity,
    FaceAttributes,
    Outcome,
    Person,
    Point,
    SequenceRange,
)
from mesh.identity import detection_id, new_id
from mesh.record import Record, TopicPartition
from mesh.testing import (
    EPOCH,
    NOON,
    PERSON_ID,
    a_decision,
    a_frame_header,
    a_person,
    a_record,
    a_result_detection,
    a_sighting,
)
from results.adapters.writer_store import FencedError, Move, PostgresStore, UnstorableError
from results.domain.changes import Changes, changes_of

from .person_records import after_tombstone, newest_of, with_stale_copies
from .stored_events import (
    a_log_event,
    a_mark,
    a_result,
    a_snapshot,
    an_alert,
    an_audit_entry,
    an_entry,
)

pytestmark = pytest.mark.integration

SOURCE = TopicPartition("sightline.results", 0)


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    made = PostgresStore(database)
    yield made
    made.close()


def changes(*events: tuple[str, Any], key: str | None = None, offset: int = 0) -> Changes:
    records: list[tuple[str, Record[Any]]] = [
        (topic, a_record(event, key=key, offset=offset + number))
        for number, (topic, event) in enumerate(events)
    ]
    return changes_of(records)


def results(*frames: Any) -> Changes:
    return changes(*(("results", frame) for frame in frames))


def write(store: PostgresStore, batch: Changes) -> None:
    start = store.positions([SOURCE])[SOURCE]
    store.apply([Move(SOURCE, start, start + 1)], batch)


def rows(database: str, query: str, *arguments: Any) -> Sequence[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query, arguments or None).fetchall()


def everything(database: str) -> dict[str, Any]:
    tables = [
        name
        for (name,) in rows(
            database,
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'results'"
            " AND table_name NOT IN ('writer_offsets', 'schema_version')",
        )
    ]
    return {
        table: rows(
            database,
            "SELECT to_jsonb(t) - 'updated_at' - 'created_at' - 'stored_at' - 'erased_at'"
            f" FROM results.{table} t ORDER BY 1",
        )
        for table in tables
    }


def a_full_batch() -> Changes:
    first = a_result(0)
    corrected = a_result(1)
    return changes(
        ("results", first),
        ("results", corrected),
        ("results", a_result(2, outcome=Outcome.FAILED, reason="unreadable_image")),
        ("results", replace(corrected, revision=1, detections=())),
        ("sightings", a_sighting()),
        ("sightings", a_sighting(revision=1, frame_count=2)),
        ("alerts", an_alert()),
        ("events", a_log_event()),
        ("audit", an_audit_entry()),
        ("snapshots", a_snapshot(first)),
        ("ledger", an_entry()),
        ("ledger", an_entry(outcome="captured", reason=None, closes_epoch=True)),
    )


def test_a_batch_written_twice_changes_nothing(store: PostgresStore, database: str) -> None:
    write(store, a_full_batch())
    write(store, changes(("attendance", a_mark()), ("persons", a_person()), key=PERSON_ID))
    once = everything(database)
    assert all(once[table] for table in once if table in ("detections", "attendance", "persons"))
    write(store, a_full_batch())
    write(store, changes(("attendance", a_mark()), ("persons", a_person()), key=PERSON_ID))
    assert everything(database) == once


def test_a_stale_writer_writes_nothing(store: PostgresStore, database: str) -> None:
    zombie = PostgresStore(database)
    start = zombie.positions([SOURCE])[SOURCE]
    write(store, results(a_result(0)))
    other = TopicPartition("sightline.sightings", 1)
    zombie.positions([other])
    before = everything(database)
    with pytest.raises(FencedError) as fenced:
        zombie.apply([Move(other, 0, 7), Move(SOURCE, start, start + 9)], results(a_result(5)))
    zombie.close()
    assert fenced.value.partitions == {SOURCE}
    assert everything(database) == before
    assert store.positions([other, SOURCE]) == {other: 0, SOURCE: 1}


def test_the_first_result_of_a_frame_wins(store: PostgresStore, database: str) -> None:
    write(store, results(a_result(0)))
    other = replace(a_result(0), detections=())
    again = replace(
        a_result(0), detections=(a_result_detection(detection_id="det_other", index=1),)
    )
    write(store, results(other, again))
    write(store, results(replace(a_result(1), detections=())))
    write(store, results(a_result(1)))
    found = rows(database, "SELECT sequence_number, index FROM results.detections")
    assert found == [(0, 0)]


def test_attributes_are_stored_without_their_contours(store: PostgresStore, database: str) -> None:
    attributes = FaceAttributes(mouth_openness=0.5, mouth_contour=(Point(x=1.0, y=2.0),))
    fall = Activity(name="fall", score=0.8, model_id="fall-heuristic")
    result = a_result(0)
    item = replace(result.detections[0], attributes=attributes, activity=fall)
    write(store, results(replace(result, detections=(item,))))
    found = rows(database, "SELECT attributes, activity ->> 'name' FROM results.detections")
    assert found == [({"mouth_openness": 0.5}, "fall")]


def test_a_processed_result_overrides_what_was_shed(store: PostgresStore, database: str) -> None:
    shed = an_entry(ranges=(SequenceRange(first=0, last=3),))
    write(store, changes(("ledger", shed)))
    write(store, results(a_result(2)))
    assert rows(database, "SELECT sequence_number FROM results.detections") == [(2,)]
    found = rows(
        database, "SELECT outcome, reason, numbers::text FROM results.ledger ORDER BY outcome"
    )
    assert found == [("processed", "", "{[2,3)}"), ("shed", "stale", "{[0,4)}")]


def test_a_correction_replaces_and_an_older_one_does_not(
    store: PostgresStore, database: str
) -> None:
    write(store, results(a_result(0)))
    face = a_result_detection(
        detection_id=detection_id(a_frame_header().frame_key, 0), confidence=0.5
    )
    write(store, results(replace(a_result(0), revision=2, detections=(face,))))
    write(store, results(replace(a_result(0), revision=1, detections=()), a_result(0)))
    assert rows(database, "SELECT revision, confidence FROM results.detections") == [(2, 0.5)]


def test_the_turn_of_a_month_has_two_partitions(store: PostgresStore, database: str) -> None:
    last = datetime(2026, 1, 31, 23, 59, 59, 999999, tzinfo=UTC)
    frames = [
        a_result(number, frame={"received_timestamp": last + timedelta(microseconds=number)})
        for number in range(2)
    ]
    write(store, results(*frames))
    found = rows(
        database,
        "SELECT tableoid::regclass::text, received_at FROM results.detections ORDER BY received_at",
    )
    assert [name for name, _ in found] == [
        "results.detections_2026_01",
        "results.detections_2026_02",
    ]
    assert found[0][1] == last


def test_an_erased_person_is_forgotten_and_stays_so(store: PostgresStore, database: str) -> None:
    unknown = a_result_detection(
        detection_id="det_unknown", decision=a_decision(identified=False, person_id=None)
    )
    before = a_result(0)
    write(store, changes(("persons", a_person()), key=PERSON_ID, offset=3))
    write(store, changes(("attendance", a_mark()), ("alerts", an_alert())))
    write(store, changes(("results", before), ("sightings", a_sighting())))
    write(store, changes(("persons", None), key=PERSON_ID, offset=4))
    late = replace(a_result(1), detections=(a_result(1).detections[0], unknown))
    write(store, results(late))
    write(store, changes(("sightings", a_sighting(revision=9)), ("attendance", a_mark())))
    write(store, changes(("alerts", an_alert(revision=9))))
    write(store, changes(("persons", a_person()), key=PERSON_ID, offset=3))
    found = everything(database)
    assert [row for row in found["detections"] if PERSON_ID in str(row)] == []
    assert len(found["detections"]) == 3
    for table in ("sightings", "alerts"):
        assert len(found[table]) == 1
        assert PERSON_ID not in str(found[table])
    assert found["attendance"] == found["persons"] == []


def test_a_record_that_outlived_the_tombstone_is_buried_again(
    store: PostgresStore, database: str
) -> None:
    for offset, person in ((3, a_person()), (4, None), (3, a_person()), (5, a_person())):
        write(store, changes(("persons", person), key=PERSON_ID, offset=offset))
    assert rows(database, "SELECT FROM results.persons") == []
    outbox = rows(database, "SELECT topic, key, payload FROM results.outbox")
    assert outbox == [("persons", PERSON_ID, None)]


@given(sequence=with_stale_copies(PERSON_ID))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_stale_record_of_a_person_changes_what_is_stored(
    store: PostgresStore, database: str, sequence: Sequence[Person | None]
) -> None:
    person_id = new_id("per")
    for offset, person in enumerate(sequence):
        event = replace(person, person_id=person_id) if person else None
        write(store, changes(("persons", event), key=person_id, offset=offset))
    found = rows(
        database, "SELECT revision, name FROM results.persons WHERE person_id = %s", person_id
    )
    assert found == ([] if None in sequence else [newest_of(sequence)])
    buried = rows(database, "SELECT count(*) FROM results.outbox WHERE key = %s", person_id)
    assert buried == [(len(after_tombstone(sequence)),)]


def test_a_topic_created_anew_starts_again(store: PostgresStore, database: str) -> None:
    persons = TopicPartition("sightline.persons", 0)
    store.positions([persons])
    store.apply([Move(persons, 0, 9)], changes(("persons", a_person()), key=PERSON_ID, offset=8))
    store.rewind(Move(persons, 9, 0))
    newer = changes(("persons", a_person(name="Ada King")), key=PERSON_ID, offset=0)
    store.apply([Move(persons, 0, 1)], newer)
    assert rows(database, "SELECT name, record_offset FROM results.persons") == [("Ada King", 0)]


@pytest.mark.parametrize(
    "bad",
    [
        a_result(0, frame={"camera_name": "nul \x00"}),
        a_result(0, frame={"frame_key": "no-uuid"}),
        a_result(0, frame={"width": 1 << 40}),
        replace(a_result(0), detections=(a_result_detection(confidence=float("nan")),)),
        a_result(0, frame={"epoch": 1 << 70}),
    ],
)
def test_data_that_the_database_refuses_are_named_unstorable(
    store: PostgresStore, database: str, bad: Any
) -> None:
    with pytest.raises(UnstorableError):
        write(store, results(bad, a_result(7)))
    assert rows(database, "SELECT count(*) FROM results.detections") == [(0,)]
    write(store, results(a_result(7)))


def test_a_lost_connection_is_transient_and_mended(store: PostgresStore, database: str) -> None:
    write(store, results(a_result(0)))
    rows(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'results-writer' AND datname = current_database()",
    )
    with pytest.raises(TransientError):
        write(store, results(a_result(1)))
    write(store, results(a_result(1)))
    assert rows(database, "SELECT count(*) FROM results.detections") == [(2,)]


def test_a_month_that_was_dropped_comes_back(store: PostgresStore, database: str) -> None:
    write(store, results(a_result(0)))
    with psycopg.connect(database) as connection:
        connection.execute("DROP TABLE results.detections_2026_01")
    with pytest.raises(TransientError):
        write(store, results(a_result(1)))
    write(store, results(a_result(1)))
    assert rows(database, "SELECT sequence_number FROM results.detections") == [(1,)]


def test_sessions_remember_their_bounds(store: PostgresStore, database: str) -> None:
    write(store, changes(("ledger", an_entry(ranges=(SequenceRange(first=5, last=5000),)))))
    write(store, changes(("ledger", an_entry(ranges=(), closes_epoch=True))))
    assert rows(database, "SELECT epoch, highest, closed_at FROM results.epochs") == [
        (EPOCH, 5000, NOON)
    ]
    assert rows(database, "SELECT block, numbers::text FROM results.ledger ORDER BY block") == [
        (0, "{[5,4096)}"),
        (1, "{[4096,5001)}"),
    ]

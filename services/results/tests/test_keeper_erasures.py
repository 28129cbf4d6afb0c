"""Each erasure is reported once per store, when rows and pictures are gone, with what went."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mesh.clock import ManualClock
from mesh.codec import AvroCodec
from mesh.events import ErasureReport, ErasureRequested
from mesh.record import TopicPartition
from mesh.testing import CAMERA_ID, NOON, PERSON_ID, a_person, a_record, a_sighting
from mesh.topics import Topics
from results.adapters.keeper_erasures import report_erasures
from results.adapters.keeper_jobs import sweep_erased
from results.adapters.keeper_pictures import erase_pictures
from results.adapters.objects import ObjectStore
from results.adapters.writer_store import Move, PostgresStore
from results.domain.changes import changes_of
from results.domain.rows import snapshot_row

from .running import Installation, eventually
from .stored_events import a_mark, a_result, a_snapshot

pytestmark = pytest.mark.integration
SOURCE = TopicPartition("everything", 0)
TOPICS = Topics()
CODEC = AvroCodec.in_memory(TOPICS)
REQUESTED = ErasureRequested(
    person_id=PERSON_ID, request_id="req_1", requested_by="admin", requested_at=NOON
)


class Bench:
    """Writer and keeper on one database, step by step."""

    def __init__(self, database: str, folder: Path) -> None:
        self.connection = psycopg.connect(database, autocommit=True)
        self.clock = ManualClock(NOON)
        self.store = PostgresStore(database)
        self.objects = ObjectStore(f"file://{folder / 'objects'}")

    def write(self, *events: tuple[str, Any], offset: int = 0) -> None:
        records = [(t, a_record(event, key=PERSON_ID, offset=offset)) for t, event in events]
        start = self.store.positions([SOURCE])[SOURCE]
        self.store.apply([Move(SOURCE, start, start + 1)], changes_of(records))

    def picture(self, frame: Any) -> None:
        snapshot = a_snapshot(frame)
        self.objects.write(snapshot.sha256, snapshot.image)
        start = self.store.positions([SOURCE])[SOURCE]
        made = changes_of([])
        made.snapshots.append(snapshot_row(snapshot))
        self.store.apply([Move(SOURCE, start, start + 1)], made)

    def keep(self, *, pictures: bool = True) -> int:
        self.connection.execute("UPDATE results.erased_persons SET erased_at = '2020-01-01'")
        sweep_erased(self.clock)(self.connection)
        if pictures:
            erase_pictures(self.objects)(self.connection)

        def encode(report: ErasureReport) -> bytes:
            return CODEC.encode(TOPICS("erasures"), report)

        return report_erasures(encode, TOPICS, self.clock)(self.connection)

    def reports(self) -> list[ErasureReport]:
        found = self.connection.execute(
            "SELECT payload FROM results.outbox WHERE topic = 'erasures' AND key = %s ORDER BY id",
            (PERSON_ID,),
        ).fetchall()
        return [CODEC.decode(TOPICS("erasures"), payload) for (payload,) in found]


@pytest.fixture
def bench(database: str, tmp_path: Path) -> Any:
    made = Bench(database, tmp_path)
    yield made
    made.store.close()
    made.connection.close()


@pytest.mark.parametrize("order", [("persons", "erasures"), ("erasures", "persons")])
def test_a_report_per_store_tells_what_went(bench: Bench, order: tuple[str, str]) -> None:
    frame = a_result(0)
    bench.write(("persons", a_person()), ("results", frame), ("attendance", a_mark()))
    bench.write(("sightings", a_sighting()))
    bench.picture(frame)
    erasing = {"persons": None, "erasures": REQUESTED}
    for topic in order:
        bench.write((topic, erasing[topic]), offset=1)
    assert bench.keep() == 1
    assert bench.keep() == 0
    database, objects = bench.reports()
    assert (database.request_id, database.service, database.store) == (
        "req_1", "results", "database",
    )  # fmt: skip
    assert database.counts == {"persons": 1, "detections": 1, "attendance": 1, "sightings": 1}
    assert database.unreadable_after == NOON + timedelta(days=30)
    assert (objects.store, objects.counts) == ("objects", {"pictures": 1})
    assert objects.unreadable_after == NOON + timedelta(days=1)


def test_nothing_is_reported_before_request_and_pictures_are_known(bench: Bench) -> None:
    frame = a_result(0)
    bench.write(("persons", a_person()), ("results", frame))
    bench.picture(frame)
    bench.write(("persons", None), offset=1)
    assert bench.keep() == 0
    bench.picture(frame)
    bench.write(("erasures", REQUESTED))
    assert bench.keep(pictures=False) == 0
    assert bench.keep() == 1
    assert [report.counts for report in bench.reports()][1] == {"pictures": 2}


def test_an_erased_entry_that_comes_behind_the_request_alone_is_no_late_one(bench: Bench) -> None:
    bench.write(("erasures", REQUESTED))
    bench.write(("persons", a_person()), offset=3)
    rows = bench.connection.execute(
        "SELECT (SELECT count(*) FROM results.persons), (SELECT count(*) FROM results.outbox)"
    ).fetchone()
    assert rows == (0, 0)


@pytest.mark.slow
def test_the_reports_arrive_on_the_topic(installation: Installation) -> None:
    with installation.role("writer"):
        installation.publish(
            ("persons", PERSON_ID, a_person()),
            ("results", CAMERA_ID, a_result(0)),
        )
        eventually(lambda: len(installation.rows("SELECT FROM results.detections")) == 1)
        eventually(lambda: len(installation.rows("SELECT FROM results.persons")) == 1)
        installation.publish(
            ("persons", PERSON_ID, None),
            ("erasures", PERSON_ID, REQUESTED),
        )
        known = (
            "SELECT FROM results.erased_persons"
            " WHERE request_id IS NOT NULL AND tombstone_offset IS NOT NULL"
        )
        eventually(lambda: len(installation.rows(known)) == 1)
    with psycopg.connect(installation.database) as connection:
        connection.execute("UPDATE results.erased_persons SET erased_at = '2020-01-01'")
    with installation.role("keeper"):
        records = installation.read("erasures", 3)
    topic = installation.settings.topics("erasures")
    events = [installation.codec.decode(topic, record.event or b"") for record in records]
    assert events[0] == REQUESTED
    assert [event.store for event in events[1:]] == ["database", "objects"]
    assert events[1].counts == {"persons": 1, "detections": 1}

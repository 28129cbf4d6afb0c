from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from threading import Event

import psycopg
import pytest
from psycopg import Connection
from services.recognition.tests.arranging import (
    MODEL_ID,
    TOPICS,
    Bench,
    a_face_of,
    a_photo,
    per,
    vector,
)
from services.recognition.tests.test_commands import answer_to, erase
from typing_extensions import override

from mesh.clock import ManualClock
from mesh.codec import AvroCodec
from mesh.errors import ConfigurationError, TransientError
from mesh.events import AuditEntry, Person
from mesh.record import Headers
from mesh.testing import NOON
from recognition.adapters.database import Database, migrate, until_up
from recognition.adapters.outbox import OutboxRelay
from recognition.adapters.pgvector_gallery import PgVectorGallery
from recognition.adapters.postgres_registry import PostgresRegistry
from recognition.ports import Gallery, GalleryPolicy

pytestmark = pytest.mark.integration
CODEC = AvroCodec.in_memory(TOPICS)
PERSONS, AUDIT, ERASURES = map(TOPICS, ("persons", "audit", "erasures"))


class RecordingProducer:
    """Remembers what was produced; refuses to acknowledge while `away`."""

    def __init__(self) -> None:
        self.away = False
        self.sent: list[tuple[str, str | None, bytes | None]] = []

    def produce(
        self, topic: str, key: str | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        self.sent.append((topic, key, value))

    def flush(self, timeout: timedelta) -> None:
        if self.away:
            raise TransientError("the broker is away")


@pytest.fixture
def bench(database: Database) -> Bench:
    clock = ManualClock(NOON)
    gallery = PgVectorGallery(database, MODEL_ID, GalleryPolicy(), clock)
    registry = PostgresRegistry(database, CODEC, TOPICS, changing=gallery.changing)
    return Bench(registry, gallery, clock)


@pytest.fixture
def producer() -> RecordingProducer:
    return RecordingProducer()


@pytest.fixture
def relay(database: Database, producer: RecordingProducer) -> OutboxRelay:
    return OutboxRelay(database, producer)


def found_by(gallery: Gallery) -> list[str]:
    """Who comes up for the face of person 1."""
    (matches,) = gallery.search(vector(1.0)[None, :], [None], 5).matches
    return [hit.person_id for hit in matches.hits]


def publish(database: Database, relay: OutboxRelay) -> int:
    count = 0
    with database.session() as session:
        while found := relay.publish_batch(session):
            count += found
    return count


class TestOutbox:
    def test_events_leave_in_order_and_once(
        self, bench: Bench, database: Database, relay: OutboxRelay, producer: RecordingProducer
    ) -> None:
        bench.enroll(1, 1.0, sequence=1)
        answer_to(bench, erase())
        publish(database, relay)
        topics = [topic for topic, _, _ in producer.sent]
        assert topics == [PERSONS, AUDIT, AUDIT, PERSONS, ERASURES, ERASURES, AUDIT]
        person = CODEC.decode(PERSONS, producer.sent[0][2] or b"")
        assert isinstance(person, Person)
        assert producer.sent[3] == (PERSONS, per(1), None)
        assert isinstance(CODEC.decode(AUDIT, producer.sent[1][2] or b""), AuditEntry)

    def test_a_process_that_dies_before_publishing_loses_nothing(
        self, bench: Bench, database: Database, producer: RecordingProducer
    ) -> None:
        photo = a_photo(a_face_of(1.0))
        before = bench.outputs(photo)[1].event
        # The process is gone here: committed, but neither outbox nor answer were published.
        successor = Bench(bench.registry, bench.gallery, bench.clock)
        assert successor.outputs(photo)[1].event == before
        assert publish(database, OutboxRelay(database, producer)) == 3
        assert [topic for topic, _, _ in producer.sent] == [PERSONS, AUDIT, AUDIT]

    def test_a_broker_that_does_not_acknowledge_gets_everything_again_from_the_same_relay(
        self, bench: Bench, database: Database, relay: OutboxRelay, producer: RecordingProducer
    ) -> None:
        bench.enroll(1, 1.0)
        producer.away = True
        with database.session() as session:
            with pytest.raises(TransientError):
                relay.publish_batch(session)
            assert publish(database, OutboxRelay(database, RecordingProducer())) == 0
            producer.away = False
            assert relay.publish_batch(session) == 3
            assert producer.sent[:3] == producer.sent[3:]
            assert relay.publish_batch(session) == 0

    def test_a_relay_that_loses_its_session_while_it_publishes_begins_a_new_one(
        self, bench: Bench, database: Database
    ) -> None:
        bench.enroll(1, 1.0)
        stop, warnings = Event(), list[str]()

        class Cut(RecordingProducer):
            flushes = 0

            @override
            def flush(self, timeout: timedelta) -> None:
                self.flushes += 1
                if self.flushes > 1:
                    stop.set()
                    return
                with database.transaction() as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_locks"
                        " WHERE locktype = 'advisory' AND database ="
                        " (SELECT oid FROM pg_database WHERE datname = current_database())"
                    )

        producer = Cut()
        OutboxRelay(database, producer).run(stop, warnings.append)
        assert len(warnings) == 1
        assert producer.sent[:3] == producer.sent[3:]
        assert publish(database, OutboxRelay(database, producer)) == 0

    def test_one_of_several_relays_works_at_a_time(
        self, bench: Bench, database: Database, relay: OutboxRelay
    ) -> None:
        bench.enroll(1, 1.0)

        class Nosy(RecordingProducer):
            @override
            def flush(self, timeout: timedelta) -> None:
                assert publish(database, relay) == 0

        nosy = Nosy()
        assert publish(database, OutboxRelay(database, nosy)) == 3

    def test_it_runs_until_it_is_stopped_and_says_what_is_wrong(
        self, bench: Bench, relay: OutboxRelay, producer: RecordingProducer
    ) -> None:
        bench.enroll(1, 1.0)
        stop, warnings = Event(), list[str]()
        producer.away = True

        def warn(message: str) -> None:
            warnings.append(message)
            producer.away = False
            relay.wake()
            stop.set()

        relay.run(stop, warn)
        assert warnings == ["the broker is away"]
        assert len(producer.sent) == 6

    def test_old_answers_and_superseded_changes_are_forgotten(
        self, bench: Bench, database: Database, relay: OutboxRelay
    ) -> None:
        bench.enroll(1, 1.0, sequence=1)
        bench.enroll(1, 0.9, 0.1, sequence=2)
        with database.transaction() as connection:
            connection.execute("UPDATE gallery.answers SET answered_at = now() - interval '9 days'")
        relay.prune()
        with database.transaction() as connection:
            left = connection.execute(
                "SELECT (SELECT count(*) FROM gallery.answers), max(version), count(*) "
                "FROM gallery.changes"
            ).fetchone()
        assert left == (0, 2, 1)


class TestMirror:
    def test_a_replica_follows_what_another_changed(self, bench: Bench, database: Database) -> None:
        replica = PgVectorGallery(database, MODEL_ID, GalleryPolicy(), bench.clock)
        replica.refresh()
        bench.enroll(1, 1.0, sequence=1)
        bench.enroll(2, 0.0, 1.0, sequence=2)
        replica.refresh()
        answer_to(bench, erase())
        replica.refresh()
        found = replica.search(vector(1.0)[None, :], [None], 5)
        assert [hit.person_id for hit in found.matches[0].hits] == [per(2)]
        assert found.version == 3

    def test_a_change_counts_from_its_commit_not_from_when_its_thread_goes_on(
        self, bench: Bench, database: Database
    ) -> None:
        bench.enroll(1, 1.0)
        assert found_by(bench.gallery) == [per(1)]
        assert isinstance(bench.gallery, PgVectorGallery)
        unheard = Bench(PostgresRegistry(database, CODEC, TOPICS), bench.gallery, bench.clock)
        with bench.gallery.changing():
            answer_to(unheard, erase())
            assert found_by(bench.gallery) == []

    def test_a_change_counts_that_is_made_while_the_gallery_is_being_read(
        self, bench: Bench, database: Database, dsn: str
    ) -> None:
        bench.enroll(1, 1.0)

        class Interrupted(Database):
            """Somebody is erased between the end of the first read and its use."""

            @override
            @contextmanager
            def transaction(self, session: Connection | None = None) -> Iterator[Connection]:
                with super().transaction(session) as connection:
                    yield connection
                if interruptions:
                    interruptions.pop()()

        with closing(Interrupted(dsn)) as interrupted:
            interrupted.open()
            gallery = PgVectorGallery(interrupted, MODEL_ID, GalleryPolicy(), bench.clock)
            registry = PostgresRegistry(database, CODEC, TOPICS, changing=gallery.changing)
            same_process = Bench(registry, gallery, bench.clock)
            interruptions = [lambda: answer_to(same_process, erase())]
            gallery.refresh()
            assert gallery.check() is None
            assert found_by(gallery) == []

    def test_nobody_is_searched_in_a_mirror_that_stood_still(
        self, bench: Bench, database: Database
    ) -> None:
        gallery = PgVectorGallery(database, MODEL_ID, GalleryPolicy(), bench.clock)
        assert gallery.check() == "the gallery has not been read yet"
        assert (gallery.version(), gallery.size()) == (0, 0)
        gallery.refresh()
        assert gallery.check() is None
        database.close()
        gallery.search(vector(1.0)[None, :], [None], 1)
        assert isinstance(bench.clock, ManualClock)
        bench.clock.advance(6)
        assert gallery.check() == "the gallery was last read 6.0 s ago, limit 5 s"
        with pytest.raises(TransientError):
            gallery.search(vector(1.0)[None, :], [None], 1)

    def test_the_index_of_a_model_is_used(self, bench: Bench, database: Database) -> None:
        bench.enroll(1, 1.0)
        with database.transaction() as connection:
            rows = connection.execute(
                "SELECT indexdef FROM pg_indexes WHERE tablename = 'templates' "
                "AND indexdef LIKE '%%hnsw%%'"
            ).fetchall()
        assert len(rows) == 1
        assert "halfvec(8)" in rows[0][0]
        assert MODEL_ID in rows[0][0]


class TestDatabase:
    def test_several_processes_may_migrate_at_once(self, dsn: str) -> None:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(migrate, [dsn] * 3))
        with psycopg.connect(dsn) as connection:
            row = connection.execute("SELECT version_num FROM gallery.schema_version").fetchone()
        assert row == ("gallery_0001",)

    def test_a_database_that_is_away_is_transient(self) -> None:
        with pytest.raises(TransientError, match="database"):
            migrate("postgresql://nobody@127.0.0.1:1/none")
        with closing(Database("postgresql://nobody@127.0.0.1:1/none", wait_seconds=0.5)) as away:
            away.open()
            with pytest.raises(TransientError), away.transaction():
                pass
            assert away.check() is not None

    def test_a_server_that_never_answers_is_left_after_a_while(self, dsn: str) -> None:
        migrate(dsn)
        with closing(Database(dsn, wait_seconds=60.0, limit_seconds=2.0)) as database:
            database.open()
            with pytest.raises(TransientError), database.transaction() as connection:
                connection.execute("SELECT pg_sleep(600)")
            assert database.check() is not None
            with database.transaction() as connection:
                connection.execute("SELECT 1")
            assert database.check() is None

    def test_what_a_start_needs_is_waited_for_until_it_is_told_to_stop(self) -> None:
        stop, tries = Event(), 0

        def action() -> None:
            nonlocal tries
            tries += 1
            if tries == 3:
                stop.set()
            raise TransientError("away")

        until_up(action, stop)
        assert tries == 3

    def test_a_wrong_address_is_refused_by_name(self) -> None:
        with pytest.raises(ConfigurationError, match="SIGHTLINE_DATABASE_URL"):
            migrate("mysql://somewhere")

"""The stored pictures of erased persons go, however late they come and whatever fails meanwhile."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typing_extensions import override

from mesh.errors import TransientError
from mesh.events import Snapshot
from mesh.record import TopicPartition
from mesh.testing import PERSON_ID
from results.adapters.keeper_pictures import erase_pictures
from results.adapters.objects import ObjectStore
from results.adapters.writer_store import Move, PostgresStore
from results.domain.changes import Changes, PersonChange
from results.domain.rows import snapshot_row

from .stored_events import a_result, a_snapshot

pytestmark = pytest.mark.integration
SOURCE = TopicPartition("everything", 0)


class Store:
    """The writer's side, one offset after the other, with its uploads."""

    def __init__(self, database: str, objects: ObjectStore) -> None:
        self._store = PostgresStore(database)
        self._objects = objects
        self._offset = 0
        self._store.positions([SOURCE])

    def apply(self, changes: Changes) -> None:
        self._store.apply([Move(SOURCE, self._offset, self._offset + 1)], changes)
        self._offset += 1

    def picture(self, snapshot: Snapshot) -> None:
        self._objects.write(snapshot.sha256, snapshot.image)
        self.apply(Changes(snapshots=[snapshot_row(snapshot)]))

    def erase(self) -> None:
        self.apply(Changes(persons=[PersonChange(PERSON_ID, 100, None)]))

    def close(self) -> None:
        self._store.close()


class Flaky(ObjectStore):
    """Deletes, but the keeper never hears of it the first time."""

    failures = 1

    @override
    def delete(self, sha256: str) -> None:
        super().delete(sha256)
        if self.failures:
            self.failures -= 1
            raise TransientError("the object store is away")


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as made:
        yield made


@pytest.fixture
def objects(tmp_path: Path) -> Flaky:
    return Flaky(f"file://{tmp_path / 'objects'}")


@pytest.fixture
def store(database: str, objects: Flaky) -> Iterator[Store]:
    made = Store(database, objects)
    yield made
    made.close()


def snapshots(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT count(*) FROM results.snapshots").fetchone()
    return int(row[0]) if row else 0


def counted(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pictures FROM results.erased_persons").fetchone()
    return int(row[0]) if row else 0


def test_a_crash_between_row_and_object_leaves_neither(
    connection: psycopg.Connection[Any], store: Store, objects: Flaky
) -> None:
    frame = a_result(0)
    store.apply(Changes(results=[frame]))
    store.picture(a_snapshot(frame))
    store.erase()
    job = erase_pictures(objects)
    with pytest.raises(TransientError):
        job(connection)
    assert snapshots(connection) == 0
    assert job(connection) == 1
    assert list(objects) == []
    assert counted(connection) == 1
    assert job(connection) == 0


def test_pictures_and_frames_that_come_late_go_too(
    connection: psycopg.Connection[Any], store: Store, objects: Flaky
) -> None:
    objects.failures = 0
    just_now = {"received_timestamp": datetime.now(UTC)}
    before, after = a_result(0, frame=just_now), a_result(1, frame=just_now)
    store.apply(Changes(results=[before]))
    store.erase()
    store.picture(a_snapshot(before))
    store.apply(Changes(results=[after]))
    store.picture(a_snapshot(after))
    assert erase_pictures(objects)(connection) == 1
    assert snapshots(connection) == 0
    assert list(objects) == []


def test_a_picture_that_another_detection_shows_stays(
    connection: psycopg.Connection[Any], store: Store, objects: Flaky
) -> None:
    objects.failures = 0
    frame = a_result(0)
    store.apply(Changes(results=[frame]))
    store.picture(a_snapshot(frame))
    store.picture(replace(a_snapshot(frame), detection_id="det_other", sighting_id=None))
    store.erase()
    erase_pictures(objects)(connection)
    assert snapshots(connection) == 1
    assert len(list(objects)) == 1

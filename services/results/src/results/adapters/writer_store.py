"""One transaction per batch: the offsets move with the rows, or nothing does."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from mesh.errors import MeshError, TransientError
from mesh.events import FrameResult
from mesh.record import TopicPartition
from results.adapters import writer_sql as statements
from results.adapters import writer_statistics as statistics
from results.adapters.writer_jobs import complete_jobs
from results.domain.changes import PERSONS, Changes
from results.domain.ledger import first_results, fold
from results.domain.rows import Row, detection_rows, without_persons

_CONNECT_SECONDS = 5
_STATEMENT_MS = 60_000


class UnstorableError(MeshError):
    """The database refuses the data themselves: the same batch would fail for ever."""


class FencedError(MeshError):
    """Another writer moved these partitions on: what this one holds of them is void."""

    def __init__(self, partitions: Collection[TopicPartition]) -> None:
        super().__init__(f"another writer has moved on: {sorted(partitions)}")
        self.partitions = frozenset(partitions)


@dataclass(frozen=True, slots=True)
class Move:
    """A partition goes from one offset to the next in the same transaction as its rows."""

    partition: TopicPartition
    start: int
    end: int


class PostgresStore:
    """The writer's side of the database; one connection, used from one thread.

    Every method raises `TransientError` when the database is away; the next call connects again.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection[Any] | None = None
        self._months: set[tuple[int, int]] = set()

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The next offset of each partition; 0 for one that is new."""
        topics, numbers = [list(c) for c in zip(*sorted(partitions), strict=True)]
        with self._transaction() as cursor:
            cursor.execute(
                "INSERT INTO results.writer_offsets (topic, partition, next_offset)"
                " SELECT t, p, 0 FROM unnest(%s::text[], %s::int[]) AS k(t, p)"
                " ON CONFLICT DO NOTHING",
                (topics, numbers),
            )
            cursor.execute(
                "SELECT topic, partition, next_offset FROM results.writer_offsets"
                " JOIN unnest(%s::text[], %s::int[]) AS k(topic, partition)"
                " USING (topic, partition)",
                (topics, numbers),
            )
            return {TopicPartition(t, p): offset for t, p, offset in cursor}

    def rewind(self, move: Move) -> None:
        """Start a partition again whose topic was created anew.

        Raises:
            FencedError: another writer moved it.
        """
        with self._transaction() as cursor:
            _fence(cursor, [move])
            if move.partition.topic.endswith(PERSONS):
                cursor.execute("UPDATE results.persons SET record_offset = -1")
                cursor.execute("UPDATE results.erased_persons SET tombstone_offset = -1")

    def apply(self, moves: Sequence[Move], changes: Changes) -> None:
        """Write a batch and move its partitions on; all of it or nothing.

        Raises:
            FencedError: a partition is not where the batch starts; nothing was written.
            UnstorableError: the data are refused; nothing was written.
            TransientError: the database is away; nobody knows whether it was written.
        """
        self._ensure_months(changes)
        with self._transaction() as cursor:
            _fence(cursor, moves)
            _write(cursor, changes)

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ensure_months(self, changes: Changes) -> None:
        moments = {r.frame.received_timestamp.astimezone(UTC) for r in changes.results}
        months = {(moment.year, moment.month) for moment in moments} - self._months
        for year, month in sorted(months):
            with self._transaction() as cursor:
                first = datetime(year, month, 1, tzinfo=UTC)
                cursor.execute("SELECT results.ensure_month('detections', %s)", (first,))
        self._months |= months

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Cursor[Any]]:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(
                    self._dsn,
                    autocommit=True,
                    connect_timeout=_CONNECT_SECONDS,
                    options=f"-c statement_timeout={_STATEMENT_MS} -c timezone=UTC",
                    application_name="results-writer",
                )
            with self._connection.transaction(), self._connection.cursor() as cursor:
                yield cursor
        except psycopg.errors.CheckViolation as error:
            self._months.clear()  # the keeper dropped a month that a late record needs
            raise TransientError(f"the database refused a row: {error}") from error
        except (psycopg.DataError, psycopg.IntegrityError, ValueError, OverflowError) as error:
            raise UnstorableError(str(error)) from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self.close()
            raise TransientError(f"the database is away: {error}") from error


def _fence(cursor: psycopg.Cursor[Any], moves: Sequence[Move]) -> None:
    rows = [(*m.partition, m.start, m.end) for m in sorted(moves, key=lambda m: m.partition)]
    cursor.execute(
        "UPDATE results.writer_offsets AS o SET next_offset = m.ends, updated_at = now()"
        " FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[])"
        " AS m(topic, partition, starts, ends)"
        " WHERE o.topic = m.topic AND o.partition = m.partition AND o.next_offset = m.starts"
        " RETURNING o.topic, o.partition",
        [list(column) for column in zip(*rows, strict=True)],
    )
    moved = {TopicPartition(topic, partition) for topic, partition in cursor}
    fenced = {move.partition for move in moves} - moved
    if fenced:
        raise FencedError(fenced)


def _write(cursor: psycopg.Cursor[Any], changes: Changes) -> None:
    for person in changes.persons:
        statements.change_person(cursor, person)
    winners = _write_results(cursor, changes)
    erased = statements.erased_among(cursor, changes.rows)
    for table in sorted(changes.rows):
        rows: Sequence[Row] = changes.rows[table]
        keep = [r for r in rows if table != "attendance" or r["person_id"] not in erased]
        redact = _REDACTORS.get(table, _as_is)
        statements.upsert(cursor, table, redact(keep, erased))
    statements.link_snapshots(cursor, changes.snapshots)
    book = fold(changes.entries)
    statistics.count(cursor, winners, book)
    statements.write_book(cursor, book)
    complete_jobs(cursor, changes.answers)


def _write_results(cursor: psycopg.Cursor[Any], changes: Changes) -> Sequence[FrameResult]:
    """Write what is new; returns the results that are the first of their frame."""
    if not changes.results:
        return ()
    winners = first_results(changes.results, statements.claimed(cursor, changes.results))
    rows = [row for result in winners for row in detection_rows(result)]
    erased = statements.erased_among(cursor, {"detections": rows})
    statements.insert_detections(cursor, without_persons(rows, erased))
    for result in changes.results:
        if result.revision > 0:
            statements.correct(cursor, result)
    return winners


def _as_is(rows: Sequence[Row], _erased: Collection[str]) -> Sequence[Row]:
    return rows


_REDACTORS: Mapping[str, Callable[[Sequence[Row], Collection[str]], Sequence[Row]]] = {
    "sightings": without_persons,
    "alerts": without_persons,
}

"""The statements of the writer; every one of them may run again without another effect."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from psycopg import Cursor, sql
from psycopg.types.multirange import Int8Multirange
from psycopg.types.range import Int8Range

from mesh.events import FrameResult
from results.adapters.forgetting import forget
from results.adapters.outbox_sql import LEAVE, outbox_row
from results.domain.changes import UPSERTS, PersonChange
from results.domain.ledger import BLOCK, Book, EpochKey
from results.domain.numbers import NumberSet
from results.domain.rows import Row, detection_rows, persons_in, without_persons

SqlCursor = Cursor[Any]


def upsert(cursor: SqlCursor, table: str, rows: Sequence[Row]) -> None:
    """Store rows of a table of `UPSERTS`: the highest revision stays, else the first."""
    if not rows:
        return
    key, revision = UPSERTS[table]
    columns = list(rows[0])
    conflict: sql.Composable = sql.SQL("DO NOTHING")
    if revision is not None:
        conflict = sql.SQL("DO UPDATE SET {changes} WHERE {table}.{rev} < excluded.{rev}").format(
            changes=sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(c)) for c in columns if c != key
            ),
            table=sql.Identifier(table),
            rev=sql.Identifier(revision),
        )
    ordered = sorted(rows, key=lambda row: str(row[key]))
    _insert(cursor, table, ordered, sql.SQL("({}) ").format(sql.Identifier(key)) + conflict)


def insert_detections(cursor: SqlCursor, rows: Sequence[Row]) -> None:
    """Store detections; those that are there stay as they are."""
    _insert(cursor, "detections", rows, sql.SQL("DO NOTHING"))


def link_snapshots(cursor: SqlCursor, rows: Sequence[Row]) -> None:
    """Link detections to pictures; the first link of a detection stays."""
    _insert(cursor, "snapshots", rows, sql.SQL("DO NOTHING"))


def _insert(cursor: SqlCursor, table: str, rows: Sequence[Row], conflict: sql.Composable) -> None:
    if not rows:
        return
    columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    name = sql.Identifier("results", table)
    statement = sql.SQL(
        "INSERT INTO {name} AS {table} ({columns}) SELECT {columns}"
        " FROM jsonb_populate_recordset(NULL::{name}, %s::jsonb) ON CONFLICT {conflict}"
    ).format(name=name, table=sql.Identifier(table), columns=columns, conflict=conflict)
    cursor.execute(statement, (json.dumps(rows, allow_nan=False),))


def claimed(cursor: SqlCursor, results: Collection[FrameResult]) -> dict[EpochKey, NumberSet]:
    """Which numbers of these frames are processed already; the database compares them in place."""
    frames = [r.frame for r in results]
    keys = sorted({(f.camera_id, f.epoch, f.sequence_number) for f in frames})
    cursor.execute(
        "SELECT k.camera_id, k.epoch, k.number FROM results.ledger AS l"
        " JOIN unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[])"
        " AS k(camera_id, epoch, block, number) USING (camera_id, epoch, block)"
        " WHERE l.outcome = 'processed' AND l.numbers @> k.number",
        [list(c) for c in zip(*((c, e, n // BLOCK, n) for c, e, n in keys), strict=True)],
    )
    found: dict[EpochKey, list[tuple[int, int]]] = {}
    for camera_id, epoch, number in cursor:
        found.setdefault(EpochKey(camera_id, epoch), []).append((number, number + 1))
    return {key: NumberSet.of(ranges) for key, ranges in found.items()}


def write_book(cursor: SqlCursor, book: Book) -> None:
    """Add what the book holds to the ledger: unions, so that nothing counts twice."""
    cells = [
        (
            *key,
            Int8Multirange([Int8Range(*r) for r in cell.numbers.ranges]),
            cell.lane,
            cell.first_at,
            cell.last_at,
        )
        for key, cell in sorted(book.cells.items(), key=lambda item: item[0])
    ]
    if cells:
        cursor.execute(_WRITE_CELLS, [list(column) for column in zip(*cells, strict=True)])
    sessions = [
        (*key, s.lane, s.first_at, s.last_at, s.closed_at, s.highest, s.through, s.through_at)
        for key, s in sorted(book.sessions.items(), key=lambda item: item[0])
    ]
    if sessions:
        cursor.execute(_WRITE_SESSIONS, [list(column) for column in zip(*sessions, strict=True)])


_WRITE_CELLS = """
INSERT INTO results.ledger AS l
    (camera_id, epoch, block, outcome, reason, numbers, lane, first_at, last_at)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::text[],
    %s::int8multirange[], %s::text[], %s::timestamptz[], %s::timestamptz[])
ON CONFLICT (camera_id, epoch, block, outcome, reason) DO UPDATE SET
    numbers = l.numbers + excluded.numbers,
    size = CASE WHEN l.numbers @> excluded.numbers THEN l.size END,
    lane = least(l.lane, excluded.lane),
    first_at = least(l.first_at, excluded.first_at),
    last_at = greatest(l.last_at, excluded.last_at),
    updated_at = now()
WHERE NOT l.numbers @> excluded.numbers
    OR l.first_at > excluded.first_at OR l.last_at < excluded.last_at
"""

_WRITE_SESSIONS = """
INSERT INTO results.epochs AS e (camera_id, epoch, lane, opened_at, seen_at, closed_at, highest,
    through, through_at)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::timestamptz[], %s::timestamptz[],
    %s::timestamptz[], %s::bigint[], %s::bigint[], %s::timestamptz[])
ON CONFLICT (camera_id, epoch) DO UPDATE SET
    lane = least(e.lane, excluded.lane),
    opened_at = least(e.opened_at, excluded.opened_at),
    seen_at = greatest(e.seen_at, excluded.seen_at),
    closed_at = least(e.closed_at, excluded.closed_at),
    highest = greatest(e.highest, excluded.highest),
    through = greatest(e.through, excluded.through),
    through_at = greatest(e.through_at, excluded.through_at),
    ended_at = CASE WHEN excluded.highest > e.highest THEN NULL ELSE e.ended_at END,
    settled_at = CASE WHEN excluded.highest > e.highest THEN NULL ELSE e.settled_at END
"""


def correct(cursor: SqlCursor, result: FrameResult) -> None:
    """Put a deliberate correction in the place of a frame's detections, unless a newer one did."""
    frame = result.frame
    cursor.execute(
        "INSERT INTO results.corrections AS c (frame_key, revision, received_at)"
        " VALUES (%s, %s, %s) ON CONFLICT (frame_key) DO UPDATE SET revision = excluded.revision"
        " WHERE c.revision < excluded.revision RETURNING 1",
        (frame.frame_key, result.revision, frame.received_timestamp),
    )
    if cursor.fetchone() is not None:
        cursor.execute(
            "DELETE FROM results.detections WHERE frame_key = %s AND received_at = %s",
            (frame.frame_key, frame.received_timestamp),
        )
        rows = detection_rows(result)
        erased = erased_among(cursor, {"detections": rows})
        insert_detections(cursor, without_persons(rows, erased))


def erased_among(cursor: SqlCursor, rows: Mapping[str, Sequence[Row]]) -> set[str]:
    """The persons named in these rows, by table, that were erased; their pictures are noted."""
    named = {person for found in rows.values() for person in persons_in(found)}
    if not named:
        return set()
    cursor.execute(
        "SELECT person_id FROM results.erased_persons WHERE person_id = ANY(%s)", (list(named),)
    )
    erased = {person_id for (person_id,) in cursor}
    pictures = [
        (row[key], row["person_id"])
        for table, key in _SHOWN_BY.items()
        for row in rows.get(table, ())
        if row["person_id"] in erased
    ]
    if pictures:
        cursor.execute(_NOTE_PICTURES, [list(column) for column in zip(*pictures, strict=True)])
    return erased


_SHOWN_BY = {"detections": "detection_id", "sightings": "sighting_id"}
_NOTE_PICTURES = """
INSERT INTO results.erased_pictures (shown_by, person_id)
SELECT * FROM unnest(%s::text[], %s::text[]) ON CONFLICT DO NOTHING
"""


def change_person(cursor: SqlCursor, change: PersonChange) -> None:
    """Store a person's highest revision, or erase the person and every link to them for good."""
    if change.row is None:
        _erase_person(cursor, change)
        return
    cursor.execute(
        "SELECT tombstone_offset < %s FROM results.erased_persons WHERE person_id = %s",
        (change.offset, change.person_id),
    )
    erased = cursor.fetchone()
    if erased is None:
        _store_person(cursor, change, change.row)
    elif erased[0]:
        # A late record outlived the tombstone: compaction would keep it, so bury it again.
        cursor.execute(LEAVE, outbox_row("persons", change.person_id))


def _store_person(cursor: SqlCursor, change: PersonChange, row: Row) -> None:
    stored = {**row, "record_offset": change.offset}
    changes = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in stored
    )
    _insert(
        cursor,
        "persons",
        [stored],
        sql.SQL("(person_id) DO UPDATE SET {} ").format(changes)
        + sql.SQL("WHERE persons.revision < excluded.revision OR persons.record_offset < 0"),
    )


def _erase_person(cursor: SqlCursor, change: PersonChange) -> None:
    cursor.execute(
        "INSERT INTO results.erased_persons AS e (person_id, tombstone_offset, request_id)"
        " VALUES (%s, %s, %s) ON CONFLICT (person_id) DO UPDATE SET"
        " tombstone_offset = greatest(e.tombstone_offset, excluded.tombstone_offset),"
        " request_id = coalesce(e.request_id, excluded.request_id)",
        (change.person_id, change.offset, change.request_id),
    )
    forget(cursor, change.person_id)

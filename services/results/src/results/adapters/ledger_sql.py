"""The statements of the ledger's sweep; every one of them may run again without harm."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection, Cursor

from mesh.record import TopicPartition
from mesh.topics import Topics
from results.adapters.outbox_sql import LEAVE, outbox_row
from results.domain.gaps import OFFSET_GAP, OffsetGap, gap_of
from results.domain.ledger import BLOCK, EpochKey, Session
from results.domain.numbers import NumberSet, Range
from results.domain.sweep import BlockSpan, Remainder, Verdict, Watch


def read_barrier(connection: Connection[Any]) -> dict[TopicPartition, tuple[int, int, datetime]]:
    """By partition: its end when the barrier was taken, how far the writer is, and when."""
    rows = connection.execute(
        "SELECT b.topic, b.partition, b.ends, coalesce(o.next_offset, 0), b.taken_at"
        " FROM results.ledger_barrier AS b"
        " LEFT JOIN results.writer_offsets AS o USING (topic, partition)"
    )
    return {TopicPartition(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}


def take_barrier(
    connection: Connection[Any], ends: Mapping[TopicPartition, int], at: datetime
) -> None:
    """Replace the barrier."""
    rows = [(*partition, end) for partition, end in sorted(ends.items())]
    with connection.transaction():
        connection.execute("DELETE FROM results.ledger_barrier")
        connection.execute(
            "INSERT INTO results.ledger_barrier (topic, partition, ends, taken_at)"
            " SELECT t, p, e, %s FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS k(t, p, e)",
            (at, *([list(column) for column in zip(*rows, strict=True)])),
        )


def watches(connection: Connection[Any]) -> dict[EpochKey, Watch]:
    """Every epoch that is not settled."""
    found = {}
    for row in connection.execute(_WATCHES):
        key = EpochKey(row[0], row[1])
        session = Session(row[2], row[3], row[4], row[5], row[6], row[7], row[8])
        found[key] = Watch(
            key=key,
            session=session,
            balanced_below=row[9],
            mark=row[10],
            marked_at=row[11],
            ended_at=row[12],
            stream_at=row[13],
            next_opened_at=row[14],
        )
    return found


# The newest epochs tell how far a stream came; a lower answer would only delay a proof.
_WATCHES = """
SELECT e.camera_id, e.epoch, e.highest, e.lane, e.opened_at, e.seen_at, e.closed_at,
    e.through, e.through_at, e.balanced_below, e.mark, e.marked_at, e.ended_at,
    (SELECT max(s.through_at) FROM (
        SELECT through_at FROM results.epochs AS n
        WHERE n.camera_id = e.camera_id AND n.lane = e.lane
        ORDER BY n.epoch DESC LIMIT 10) AS s),
    (SELECT n.opened_at FROM results.epochs AS n
        WHERE n.camera_id = e.camera_id AND n.lane = e.lane AND n.epoch > e.epoch
        ORDER BY n.epoch LIMIT 1)
FROM results.epochs AS e WHERE e.settled_at IS NULL
ORDER BY e.camera_id, e.epoch
"""


def remainders(connection: Connection[Any], watched: Sequence[Watch]) -> dict[EpochKey, Remainder]:
    """What is left of these epochs; the database subtracts, so that few numbers travel."""
    spans: dict[EpochKey, list[BlockSpan]] = {each.key: [] for each in watched}
    left: dict[EpochKey, list[Range]] = {each.key: [] for each in watched}
    for row in connection.execute(_REMAINDERS, _bounds(watched), binary=True):
        key = EpochKey(row[0], row[1])
        spans[key].append(BlockSpan(*row[2:6]))
        left[key] += zip(row[6], row[7], strict=True)
    for each in watched:
        known = NumberSet.of((s.block * BLOCK, s.block * BLOCK + BLOCK) for s in spans[each.key])
        whole = NumberSet.of([(each.balanced_below, each.session.highest + 1)])
        left[each.key] += (whole - known).ranges  # blocks of which the book has no row at all
    return {key: Remainder(NumberSet.of(left[key]), spans[key]) for key in left}


_REMAINDERS = """
SELECT camera_id, epoch, block, first_at, last_at, newest_at,
    ARRAY(SELECT lower(r) FROM unnest(open) AS r), ARRAY(SELECT upper(r) FROM unnest(open) AS r)
FROM (
    SELECT l.camera_id, l.epoch, l.block,
        coalesce(min(l.first_at) FILTER (WHERE l.outcome = 'captured'), min(l.first_at))
            AS first_at,
        coalesce(max(l.last_at) FILTER (WHERE l.outcome = 'captured'), max(l.last_at)) AS last_at,
        max(l.last_at) AS newest_at,
        int8multirange(int8range(greatest(k.low, l.block * %(block)s),
            greatest(k.low, least(k.up, l.block * %(block)s + %(block)s))))
        - coalesce(range_agg(l.numbers) FILTER (WHERE l.outcome <> 'captured'), '{}') AS open
    FROM results.ledger AS l
    JOIN unnest(%(cameras)s::text[], %(epochs)s::bigint[], %(lows)s::bigint[], %(ups)s::bigint[])
        AS k(camera_id, epoch, low, up)
        ON l.camera_id = k.camera_id AND l.epoch = k.epoch AND l.block >= k.low / %(block)s
    GROUP BY l.camera_id, l.epoch, l.block, k.low, k.up
) AS blocks
ORDER BY 1, 2, 3
"""


def measure(cursor: Cursor[Any], balanced: Sequence[Watch]) -> None:
    """Count the numbers of the rows of blocks that are balanced, so that readers need not.

    Rows are locked in the order in which writers lock them, and before those of `note`.
    """
    cursor.execute(_MEASURE, _bounds(balanced))


def _bounds(watched: Sequence[Watch]) -> dict[str, Any]:
    return {
        "block": BLOCK,
        "cameras": [each.key.camera_id for each in watched],
        "epochs": [each.key.epoch for each in watched],
        "lows": [each.balanced_below for each in watched],
        "ups": [each.session.highest + 1 for each in watched],
    }


_MEASURE = """
WITH locked AS MATERIALIZED (
    SELECT l.ctid FROM results.ledger AS l
    JOIN unnest(%(cameras)s::text[], %(epochs)s::bigint[], %(lows)s::bigint[], %(ups)s::bigint[])
        AS k(camera_id, epoch, below, up) USING (camera_id, epoch)
    WHERE l.size IS NULL AND l.outcome <> 'captured'
        AND least(k.up, l.block * %(block)s + %(block)s) <= k.below
    ORDER BY l.camera_id COLLATE "C", l.epoch, l.block, l.outcome COLLATE "C", l.reason COLLATE "C"
    FOR UPDATE OF l
)
UPDATE results.ledger AS l SET size = (
    SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest(l.numbers) AS r)
FROM locked WHERE l.ctid = locked.ctid
"""


def gaps(connection: Connection[Any], topics: Topics) -> list[OffsetGap]:
    """The gaps that consumers reported."""
    rows = connection.execute(
        "SELECT attributes, occurred_at FROM results.events WHERE event_type = %s", (OFFSET_GAP,)
    )
    found = (gap_of(attributes, at, topics.prefix) for attributes, at in rows)
    return [gap for gap in found if gap is not None]


def camera_name(connection: Connection[Any], camera_id: str) -> str | None:
    """The name of a camera of the registry."""
    row = connection.execute(
        "SELECT name FROM results.cameras WHERE camera_id = %s", (camera_id,)
    ).fetchone()
    return row[0] if row is not None else None


def note(cursor: Cursor[Any], verdicts: Sequence[Verdict], now: datetime) -> None:
    """Keep what a sweep found for the next one.

    What it says of an epoch's end holds only if the epoch has not grown meanwhile.
    """
    rows = [
        (
            *verdict.after.key,
            verdict.after.session.highest,
            verdict.after.balanced_below,
            verdict.after.mark,
            verdict.after.marked_at,
            verdict.after.ended_at,
            now if verdict.settled else None,
        )
        for verdict in verdicts
    ]
    keys = [[key.camera_id, key.epoch] for key in sorted(v.after.key for v in verdicts)]
    cursor.execute(_LOCK, [list(column) for column in zip(*keys, strict=True)])
    cursor.execute(_NOTE, [list(column) for column in zip(*rows, strict=True)])


# In the order of the writers.
_LOCK = """
SELECT FROM results.epochs AS e JOIN unnest(%s::text[], %s::bigint[]) AS k(camera_id, epoch)
    USING (camera_id, epoch)
ORDER BY camera_id COLLATE "C", epoch FOR UPDATE OF e
"""
_NOTE = """
UPDATE results.epochs AS e SET
    balanced_below = v.balanced_below,
    mark = v.mark,
    marked_at = v.marked_at,
    ended_at = CASE WHEN e.highest = v.highest THEN v.ended_at ELSE e.ended_at END,
    settled_at = CASE WHEN e.highest = v.highest THEN v.settled_at ELSE e.settled_at END
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    AS v(camera_id, epoch, highest, balanced_below, mark, marked_at, ended_at, settled_at)
WHERE e.camera_id = v.camera_id AND e.epoch = v.epoch
"""


def announce(cursor: Cursor[Any], camera_id: str, payload: bytes) -> None:
    """Let the outbox publish an event."""
    cursor.execute(LEAVE, outbox_row("events", camera_id, payload, event_type="LogEvent"))

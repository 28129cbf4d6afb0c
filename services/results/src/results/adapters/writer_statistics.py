"""The writer's part of the figures: one statement per batch, in the batch's transaction."""

from collections.abc import Collection, Iterable
from typing import Any

from psycopg import Cursor

from mesh.events import FrameResult
from results.domain.ledger import Book, EpochKey
from results.domain.numbers import NumberSet
from results.domain.statistics import has_drops, tally


def count(cursor: Cursor[Any], winners: Collection[FrameResult], book: Book) -> None:
    """Count what is new in this batch; call it before the book is written.

    A frame counts once: when it is first claimed as processed, or when its number first gets an
    outcome of another kind. The same records again change nothing.
    """
    known = _known(cursor, book) if has_drops(book) else {}
    counts = tally(winners, book, known)
    rows = [(*slot, number) for slot, number in sorted(counts.items())]
    if rows:
        cursor.execute(_ADD, [list(column) for column in zip(*rows, strict=True)])


def _known(cursor: Cursor[Any], book: Book) -> dict[EpochKey, NumberSet]:
    blocks = sorted({(key.camera_id, key.epoch, key.block) for key in book.cells})
    cursor.execute(_KNOWN, [list(column) for column in zip(*blocks, strict=True)])
    return {EpochKey(row[0], row[1]): NumberSet.of(_ranges(row[2])) for row in cursor}


def _ranges(numbers: Iterable[Any]) -> list[tuple[int, int]]:
    return [(each.lower, each.upper) for each in numbers]


_KNOWN = """
SELECT camera_id, epoch, range_agg(numbers) FROM results.ledger
JOIN unnest(%s::text[], %s::bigint[], %s::bigint[]) AS k(camera_id, epoch, block)
    USING (camera_id, epoch, block)
WHERE outcome <> 'captured' GROUP BY camera_id, epoch
"""

_ADD = """
INSERT INTO results.frame_statistics AS s (span, at, camera_id, measure, bucket, count)
SELECT * FROM unnest(
    %s::int[], %s::timestamptz[], %s::text[], %s::text[], %s::smallint[], %s::bigint[])
ON CONFLICT (span, at, camera_id, measure, bucket) DO UPDATE SET count = s.count + excluded.count
"""

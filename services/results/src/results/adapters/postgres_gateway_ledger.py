"""The frame ledger read back: what became of the frames of each camera."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from results.adapters.postgres_gateway import Database, Row
from results.domain.balance import GUESSED, Balance, CameraBalance, EpochBalance
from results.domain.ledger import BLOCK, PRECEDENCE
from results.domain.queries import LedgerQuery, Page


class PostgresLedger:
    """The book, counted in the database: the sets never travel."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def balances(self, query: LedgerQuery) -> Page[CameraBalance]:
        """The balance of every camera that was heard of in a time, by identifier.

        An epoch that goes on before or after that time counts in whole blocks of 4,096 numbers.
        """
        values: dict[str, Any] = {
            "camera_id": query.camera_id,
            "since": query.since,
            "until": query.until,
            "limit": query.paging.page_size + 1,
            "offset": query.paging.offset,
        }
        cameras = self._database.rows(_CAMERAS, values)
        page = Page.cut(cameras, query.paging)
        names = {row["camera_id"]: row["name"] for row in page.items}
        epochs = self._database.rows(_BALANCES, {**values, "cameras": list(names), **_FIXED})
        balances = {
            camera_id: list(_epochs(rows))
            for camera_id, rows in groupby(epochs, key=lambda row: row["camera_id"])
        }
        return Page(
            [
                CameraBalance(camera_id=key, camera_name=name, epochs=balances.get(key, []))
                for key, name in names.items()
            ],
            page.has_more,
        )


def _epochs(rows: Iterable[Row]) -> Iterable[EpochBalance]:
    for epoch, claims in groupby(rows, key=lambda row: row["epoch"]):
        found = list(claims)
        first = found[0]
        counts = {(row["outcome"], row["reason"]): row["count"] for row in found if row["outcome"]}
        yield EpochBalance(
            epoch=epoch,
            lane=first["lane"],
            opened_at=first["opened_at"],
            seen_at=first["seen_at"],
            closed_at=first["over_at"],
            settled=first["settled"],
            balance=Balance.counted(first["captured"], counts),
        )


_FIXED = {
    "block": BLOCK,
    "precedence": [str(outcome) for outcome in PRECEDENCE],
    "guessed": list(GUESSED),
}

_CAMERAS = """
SELECT e.camera_id, c.name
FROM (SELECT DISTINCT camera_id FROM results.epochs
      WHERE opened_at < %(until)s AND seen_at >= %(since)s
        AND (%(camera_id)s::text IS NULL OR camera_id = %(camera_id)s)) AS e
LEFT JOIN results.cameras AS c USING (camera_id)
ORDER BY e.camera_id LIMIT %(limit)s OFFSET %(offset)s
"""

# `asked`: which numbers of each epoch to account for. `rows`: the claims on them; where all of a
# block were measured and add up to it, none overlaps and sizes are enough. Of the others, `cells`
# takes from every outcome and reason what no row of a higher precedence has claimed.
_BALANCES = """
WITH epochs AS (
    SELECT e.*, b.first, b.last FROM results.epochs AS e LEFT JOIN LATERAL (
        SELECT min(block) AS first, max(block) AS last FROM results.ledger AS l
        WHERE l.camera_id = e.camera_id AND l.epoch = e.epoch
          AND l.last_at >= %(since)s AND l.first_at < %(until)s
          AND (e.opened_at < %(since)s OR e.seen_at >= %(until)s)) AS b ON true
    WHERE e.camera_id = ANY(%(cameras)s) AND e.opened_at < %(until)s AND e.seen_at >= %(since)s
), bounds AS (
    SELECT *,
        CASE WHEN opened_at >= %(since)s THEN 0 ELSE coalesce(first, 0) * %(block)s END AS low,
        CASE WHEN seen_at < %(until)s THEN highest + 1
             ELSE least(highest, coalesce(last, first, 0) * %(block)s + %(block)s - 1) + 1 END AS up
    FROM epochs
), asked AS (
    SELECT *, int8multirange(int8range(low, greatest(low, up))) AS numbers FROM bounds
), rows AS (
    SELECT l.camera_id, l.epoch, l.block, l.outcome, l.reason, l.numbers, l.size,
        a.numbers AS asked,
        coalesce(count(l.size) OVER block = count(*) OVER block
            AND sum(l.size) OVER block = least(a.up, l.block * %(block)s + %(block)s)
                - greatest(a.low, l.block * %(block)s), false) AS plain
    FROM results.ledger AS l JOIN asked AS a USING (camera_id, epoch)
    WHERE l.outcome <> 'captured'
      AND l.block BETWEEN a.low / %(block)s AND greatest(0, a.up - 1) / %(block)s
    WINDOW block AS (PARTITION BY l.camera_id, l.epoch, l.block)
), cells AS (
    SELECT camera_id, epoch, outcome, reason,
        (numbers * asked) - coalesce(range_agg(numbers) OVER (
            PARTITION BY camera_id, epoch, block
            ORDER BY array_position(%(precedence)s, outcome),
                coalesce(array_position(%(guessed)s, reason), 0), reason COLLATE "C"
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), '{}') AS mine
    FROM rows WHERE NOT plain
), counts AS (
    SELECT camera_id, epoch, outcome, reason, sum(count)::bigint AS count FROM (
        SELECT camera_id, epoch, outcome, reason, size AS count FROM rows WHERE plain
        UNION ALL
        SELECT camera_id, epoch, outcome, reason,
            (SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest(mine) AS r) FROM cells
    ) AS parts GROUP BY 1, 2, 3, 4
)
SELECT a.camera_id, a.epoch, a.lane, a.opened_at, a.seen_at,
    coalesce(a.closed_at, a.ended_at) AS over_at, a.settled_at IS NOT NULL AS settled,
    greatest(0, a.up - a.low) AS captured, c.outcome, c.reason, c.count
FROM asked AS a LEFT JOIN counts AS c USING (camera_id, epoch)
ORDER BY a.camera_id, a.epoch DESC
"""

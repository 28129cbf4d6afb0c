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

# `asked`: which numbers of each epoch to account for. `cells`: for every outcome and reason those
# of them that no row of a higher precedence has claimed.
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
), cells AS (
    SELECT l.camera_id, l.epoch, l.outcome, l.reason,
        (l.numbers * a.numbers) - coalesce(range_agg(l.numbers) OVER (
            PARTITION BY l.camera_id, l.epoch, l.block
            ORDER BY array_position(%(precedence)s, l.outcome),
                coalesce(array_position(%(guessed)s, l.reason), 0), l.reason COLLATE "C"
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), '{}') AS mine
    FROM results.ledger AS l JOIN asked AS a USING (camera_id, epoch)
    WHERE l.outcome <> 'captured'
      AND l.block BETWEEN a.low / %(block)s AND greatest(0, a.up - 1) / %(block)s
), counts AS (
    SELECT camera_id, epoch, outcome, reason, sum(n.count)::bigint AS count
    FROM cells, LATERAL (
        SELECT coalesce(sum(upper(r) - lower(r)), 0) AS count FROM unnest(mine) AS r) AS n
    GROUP BY 1, 2, 3, 4
)
SELECT a.camera_id, a.epoch, a.lane, a.opened_at, a.seen_at,
    coalesce(a.closed_at, a.ended_at) AS over_at, a.settled_at IS NOT NULL AS settled,
    greatest(0, a.up - a.low) AS captured, c.outcome, c.reason, c.count
FROM asked AS a LEFT JOIN counts AS c USING (camera_id, epoch)
ORDER BY a.camera_id, a.epoch DESC
"""

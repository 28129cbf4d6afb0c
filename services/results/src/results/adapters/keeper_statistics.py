"""Rolls the figures of frames up into days, and lets them expire."""

from datetime import timedelta
from typing import Any

import psycopg

from mesh.clock import Clock
from results.adapters.keeper import Job
from results.domain.slots import DAY, day_of
from results.domain.statistics import HOUR, MINUTE

KEPT = ((MINUTE, timedelta(hours=3)), (HOUR, timedelta(days=8)), (DAY, timedelta(days=8)))
"""Slots, and how long after their start they are kept; longer than any period goes back.

Not much longer: the planner reads the table as a whole where it is small enough.
"""
ROLLED_DAYS = 7
"""Days that are rolled up again; their hours are all there, which the eighth's are not."""


def roll_up(clock: Clock, *, days: int) -> Job:
    """Add the hours of the days before this one up, again and again: late frames count too.

    Args:
        clock: Tells which days are over.
        days: So many, at most `ROLLED_DAYS`.
    """

    def job(connection: psycopg.Connection[Any]) -> int:
        today = day_of(clock.now())
        return sum(
            connection.execute(
                _ROLL_UP, {"starts": today - number * DAY, "ends": today - (number - 1) * DAY}
            ).rowcount
            for number in range(1, days + 1)
        )

    return job


def expire_statistics(clock: Clock) -> Job:
    """Delete the slots that nobody can ask for any more."""

    def job(connection: psycopg.Connection[Any]) -> int:
        return sum(
            connection.execute(
                "DELETE FROM results.frame_statistics WHERE span = %s AND at < %s",
                (int(span.total_seconds()), clock.now() - age),
            ).rowcount
            for span, age in KEPT
        )

    return job


_ROLL_UP = """
INSERT INTO results.frame_statistics AS s (span, at, camera_id, measure, bucket, count)
SELECT 86400, %(starts)s::timestamptz, camera_id, measure, bucket, sum(count)
FROM results.frame_statistics WHERE span = 3600 AND at >= %(starts)s AND at < %(ends)s
GROUP BY camera_id, measure, bucket
ON CONFLICT (span, at, camera_id, measure, bucket) DO UPDATE SET count = excluded.count
WHERE s.count <> excluded.count
"""

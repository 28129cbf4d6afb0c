"""Lets the figures of frames expire: minutes after hours, hours after a week and a day."""

from datetime import timedelta
from typing import Any

import psycopg

from mesh.clock import Clock
from results.adapters.keeper import Job
from results.domain.statistics import HOUR, MINUTE

KEPT = ((MINUTE, timedelta(hours=3)), (HOUR, timedelta(days=8)))
"""Slots, and how long after their start they are kept; longer than any period goes back.

Not much longer: the planner reads the table as a whole where it is small enough.
"""


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

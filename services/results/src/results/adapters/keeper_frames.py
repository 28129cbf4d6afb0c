"""Deletes the large pictures of frames once no record can refer to them any more."""

from typing import Any

import psycopg

from mesh.claims import ClaimChecks
from mesh.clock import Clock
from results.adapters.keeper import Job


def expired_frames(objects_url: str, clock: Clock) -> tuple[str, Job]:
    """Delete what is older than the retention of its lane's topic; returns how many pictures."""
    claims = ClaimChecks(objects_url)

    def job(_: psycopg.Connection[Any]) -> int:
        return claims.expire(clock.now())

    return "expire_frames", job

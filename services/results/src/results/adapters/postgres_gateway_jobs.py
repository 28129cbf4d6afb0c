"""Jobs as the gateways see them."""

from datetime import datetime
from typing import Any

from results.adapters.postgres_gateway import Database, Row
from results.adapters.writer_jobs import finish
from results.domain.jobs import FINISHED, LIMIT, Callback, Ending, Job, JobState, overdue

_OPEN = """
INSERT INTO results.jobs AS known (job_id, request_id, kind, state, camera_id, frame_id,
    with_snapshots, created_at, deadline, callback_url, callback_state)
VALUES (%(job_id)s, %(request_id)s, %(kind)s, %(state)s, %(camera_id)s, %(frame_id)s,
    %(with_snapshots)s, %(created_at)s, %(deadline)s, %(callback_url)s, %(callback_state)s)
ON CONFLICT (job_id) DO UPDATE SET state = excluded.state, created_at = excluded.created_at,
    deadline = excluded.deadline, finished_at = NULL, http_status = NULL, body = NULL
WHERE known.request_id = excluded.request_id AND known.http_status >= 500
"""
_STARTED = """
UPDATE results.jobs SET state = 'processing' WHERE job_id = %(job_id)s AND state = 'queued'
"""
_DROP = """
DELETE FROM results.jobs WHERE job_id = %(job_id)s AND state IN ('queued', 'processing')
"""
COLUMNS = """
job_id, request_id, kind, state, camera_id, frame_id, with_snapshots, created_at, deadline,
finished_at, http_status, body, embeddings, person_ids, callback_url, callback_state,
callback_attempts, callback_error
"""
_FIND = f"""
SELECT {COLUMNS} FROM results.jobs
WHERE job_id = %(key)s OR request_id = %(key)s
"""  # noqa: S608 -- a constant of this module
_LOCK = """
SELECT FROM results.jobs
WHERE job_id = %(job_id)s AND state IN ('queued', 'processing') FOR UPDATE
"""


class PostgresJobs:
    """Jobs in the database that all gateways and writers share."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, job: Job) -> bool:
        """Write a job down, before its request is published; false if it is known.

        A job of the same request that failed on the server's side begins anew.
        """
        with self._database.transaction() as connection:
            return connection.execute(_OPEN, _row(job)).rowcount == 1

    def started(self, job_id: str) -> None:
        """The broker has its request."""
        with self._database.transaction() as connection:
            connection.execute(_STARTED, {"job_id": job_id})

    def drop(self, job_id: str) -> None:
        """Forget a job whose request the broker did not take; one that has ended stays."""
        with self._database.transaction() as connection:
            connection.execute(_DROP, {"job_id": job_id})

    def job(self, key: str, now: datetime) -> Job | None:
        """A job by its own identifier or its request's; one that is long overdue fails here."""
        with self._database.transaction() as connection:
            row = connection.execute(_FIND.encode(), {"key": key}).fetchone()
            if row is None:
                return None
            job = job_of(row)
            if job.state in FINISHED or now < job.deadline + LIMIT:
                return job
            if connection.execute(_LOCK, {"job_id": job.job_id}).fetchone() is not None:
                with connection.cursor() as cursor:
                    finish(cursor, job.job_id, overdue(job))
            row = connection.execute(_FIND.encode(), {"key": key}).fetchone()
        return None if row is None else job_of(row)


def job_of(row: Row) -> Job:
    """A row of `results.jobs`."""
    ended = row["http_status"] is not None
    url = row["callback_url"]
    return Job(
        job_id=row["job_id"],
        request_id=row["request_id"],
        kind=row["kind"],
        state=JobState(row["state"]),
        camera_id=row["camera_id"],
        frame_id=row["frame_id"],
        with_snapshots=row["with_snapshots"],
        created_at=row["created_at"],
        deadline=row["deadline"],
        finished_at=row["finished_at"],
        ending=Ending(
            http_status=row["http_status"],
            body=row["body"],
            embeddings=row["embeddings"] or {},
            person_ids=frozenset(row["person_ids"]),
        )
        if ended
        else None,
        callback=Callback(
            url=url,
            state=row["callback_state"],
            attempts=row["callback_attempts"],
            error=row["callback_error"],
        )
        if url
        else None,
    )


def _row(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "request_id": job.request_id,
        "kind": job.kind,
        "state": str(job.state),
        "camera_id": job.camera_id,
        "frame_id": job.frame_id,
        "with_snapshots": job.with_snapshots,
        "created_at": job.created_at,
        "deadline": job.deadline,
        "callback_url": job.callback.url if job.callback else None,
        "callback_state": job.callback.state if job.callback else None,
    }

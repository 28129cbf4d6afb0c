"""Answers complete the jobs that wait for them, in the writer's transaction."""

from collections.abc import Sequence
from typing import Any

from psycopg import Cursor
from psycopg.types.json import Jsonb

from mesh.events import Answer
from results.domain.jobs import Ending, ending_of

CHANNEL = "results_jobs"
"""Notified when a job with a callback has ended."""
CALLBACK_AGAIN = "callback"
"""Kind of an answer that ends no job: an operator brought back a callback that nobody took."""
FORGET_IN_JOBS = """
UPDATE results.jobs SET body = results.job_without_person(body, %(person)s), embeddings = NULL,
    person_ids = array_remove(person_ids, %(person)s)
WHERE person_ids @> ARRAY[%(person)s]
"""
_OPEN = """
SELECT job_id, request_id, with_snapshots FROM results.jobs
WHERE request_id = ANY(%s) AND state IN ('queued', 'processing') ORDER BY job_id FOR UPDATE
"""
_FINISH = """
UPDATE results.jobs SET state = %(state)s, finished_at = now(), http_status = %(http_status)s,
    body = %(body)s, embeddings = %(embeddings)s, person_ids = %(person_ids)s,
    callback_due_at = CASE WHEN callback_state = 'pending' THEN now() END
WHERE job_id = %(job_id)s
"""
_AGAIN = """
UPDATE results.jobs SET callback_state = 'pending', callback_attempts = 0,
    callback_due_at = now(), callback_error = NULL
WHERE request_id = ANY(%s) AND callback_state = 'failed'
"""
_ERASED = "SELECT person_id FROM results.erased_persons WHERE person_id = ANY(%s)"


def complete_jobs(cursor: Cursor[Any], answers: Sequence[Answer]) -> None:
    """End the open jobs that these answers belong to; the first answer of a job counts.

    What asks for a callback once more makes it due; without effect on one that was taken.
    """
    again = [answer.request_id for answer in answers if answer.kind == CALLBACK_AGAIN]
    if again:
        cursor.execute(_AGAIN, (again,))
        cursor.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
    ends = [answer for answer in answers if answer.kind != CALLBACK_AGAIN]
    if not ends:
        return
    first = {answer.request_id: answer for answer in reversed(ends)}
    for job_id, request_id, with_snapshots in cursor.execute(_OPEN, (list(first),)).fetchall():
        finish(cursor, job_id, ending_of(first[request_id], with_snapshots=with_snapshots))


def finish(cursor: Cursor[Any], job_id: str, ending: Ending) -> None:
    """Write how a job ended; whoever was erased meanwhile is left out."""
    values = {
        "job_id": job_id,
        "state": str(ending.state),
        "http_status": ending.http_status,
        "body": Jsonb(dict(ending.body)),
        "embeddings": Jsonb(dict(ending.embeddings)) if ending.embeddings else None,
        "person_ids": sorted(ending.person_ids),
    }
    cursor.execute(_FINISH, values)
    if ending.person_ids:
        erased = cursor.execute(_ERASED, (values["person_ids"],)).fetchall()
        for row in erased:
            cursor.execute(FORGET_IN_JOBS, {"person": row[0]})
    cursor.execute("SELECT pg_notify(%s, '')", (CHANNEL,))

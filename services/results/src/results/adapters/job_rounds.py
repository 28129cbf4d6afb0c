"""Ends jobs that nobody answered, and posts callbacks; one process at a time."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import psycopg
from psycopg.rows import dict_row

from mesh.errors import TransientError
from mesh.events import Person
from mesh.logs import get_logger
from mesh.ports import Heartbeat
from mesh.retry import RetryPolicy
from results.adapters.postgres_gateway import person_of
from results.adapters.postgres_gateway_jobs import COLUMNS, job_of
from results.adapters.writer_jobs import CHANNEL, finish
from results.domain.callbacks import retry_after
from results.domain.jobs import GRACE, LIMIT, Job, callback_body, overdue

Connection = psycopg.Connection[dict[str, Any]]
REASON = "callback_failed"
"""First word of the reason of a callback's dead letter."""
_LOCK = 0x51_67_68_74_00_05
"""Advisory lock of the one process that works; it falls with the connection that holds it."""
_BATCH = 200
_AT_ONCE = 16
_LEAD = """
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND pid = pg_backend_pid() AND (classid::bigint << 32 | objid::bigint) = %(lock)s)
    OR pg_try_advisory_lock(%(lock)s) AS leads
"""
_LATE = "SELECT min(deadline) AS deadline FROM results.jobs WHERE state IN ('queued', 'processing')"
_OVERDUE = f"""
SELECT {COLUMNS} FROM results.jobs
WHERE state IN ('queued', 'processing') AND deadline < %(before)s
ORDER BY job_id LIMIT {_BATCH} FOR UPDATE
"""  # noqa: S608 -- constants of this module
_DUE = f"""
SELECT {COLUMNS} FROM results.jobs
WHERE callback_state = 'pending' AND state IN ('completed', 'failed')
    AND callback_due_at <= now() AND job_id <> ALL(%(running)s)
ORDER BY callback_due_at LIMIT %(room)s
"""  # noqa: S608 -- a constant of this module
_PERSONS = "SELECT * FROM results.persons WHERE person_id = ANY(%s)"
_DELIVERED = """
UPDATE results.jobs SET callback_state = 'delivered', callback_due_at = NULL, callback_error = NULL
WHERE job_id = %(job_id)s AND callback_state = 'pending'
"""
_FAILED = """
UPDATE results.jobs SET callback_state = %(state)s, callback_attempts = %(attempts)s,
    callback_due_at = now() + %(delay)s::interval, callback_error = %(error)s
WHERE job_id = %(job_id)s AND callback_state = 'pending'
"""


class Post(Protocol):
    """Posts one callback; see `CallbackPost`."""

    def send(self, url: str, job_id: str, body: Mapping[str, Any]) -> None:
        """Return once it was taken; raises `TransientError`."""


class Letters(Protocol):
    """Where callbacks go that nobody takes."""

    def park(self, job: Job, reason: str) -> None:
        """Return once the broker has what brings the callback back; raises `TransientError`."""


class Metrics(Protocol):
    """See `JobMetrics`."""

    def overdue(self, count: int) -> None:
        """Jobs failed because nobody answered."""

    def callback(self, outcome: str) -> None:
        """A callback was tried."""


@dataclass(frozen=True, slots=True)
class _Sent:
    job: Job
    body: Mapping[str, Any]
    done: "Future[None]"


class JobRounds:
    """Works while it holds the advisory lock; what a killed process began is done again.

    A callback is due from the moment its job ends until somebody took it, so the death of this
    process costs at most a repetition.
    """

    def __init__(
        self,
        dsn: str,
        *,
        post: Post,
        letters: Letters,
        answered_until: Callable[[Connection], datetime | None],
        retry: RetryPolicy,
        heartbeat: Heartbeat,
        metrics: Metrics,
        idle: timedelta = timedelta(milliseconds=500),
    ) -> None:
        """Take the parts.

        Args:
            dsn: The database.
            post: Sends a callback.
            letters: Takes those that failed for good.
            answered_until: The moment up to which every answer is in the tables; nothing if
                some are not.
            retry: For a database or a broker that is away.
            heartbeat: Beaten every turn.
            metrics: Told what happens.
            idle: Between two looks at the table.
        """
        self._dsn = dsn
        self._post = post
        self._letters = letters
        self._answered_until = answered_until
        self._retry = retry
        self._heartbeat = heartbeat
        self._metrics = metrics
        self._idle = idle
        self._running: dict[str, _Sent] = {}
        self._failures = 0
        self._problem: str | None = None
        self._log = get_logger("jobs")

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; waits out a database or a broker that is away."""
        with ThreadPoolExecutor(_AT_ONCE, "callbacks") as pool:
            while not stop.is_set():
                try:
                    self._serve(pool, stop)
                except (psycopg.OperationalError, psycopg.InterfaceError, TransientError) as error:
                    self._wait(error, stop)

    def check(self) -> str | None:
        """What keeps jobs from being looked after, or nothing."""
        return self._problem

    def _wait(self, error: Exception, stop: threading.Event) -> None:
        self._failures += 1
        self._problem = f"jobs wait: {error}"
        self._log.warning("jobs_wait", message=str(error), failures=self._failures)
        self._heartbeat.beat()
        decision = self._retry.decide(self._failures)
        if decision is None:
            raise TransientError(self._problem) from error
        stop.wait(decision.delay.total_seconds())

    def _serve(self, pool: ThreadPoolExecutor, stop: threading.Event) -> None:
        with psycopg.Connection[dict[str, Any]].connect(
            self._dsn, autocommit=True, connect_timeout=5,
            application_name="results-jobs", row_factory=dict_row,
        ) as connection:  # fmt: skip
            connection.execute(f"LISTEN {CHANNEL}")
            while not stop.is_set():
                self._heartbeat.beat()
                if self._leads(connection):
                    self.turn(connection, pool)
                self._failures, self._problem = 0, None
                self._rest(connection)

    def turn(self, connection: Connection, pool: ThreadPoolExecutor) -> None:
        """Look after everything that is due."""
        self._settle(connection)
        self._sweep(connection)
        self._begin(connection, pool)

    def _leads(self, connection: Connection) -> bool:
        row = connection.execute(_LEAD, {"lock": _LOCK}).fetchone()
        return row is not None and bool(row["leads"])

    def _rest(self, connection: Connection) -> None:
        idle = timedelta(milliseconds=20) if self._running else self._idle
        for _ in connection.notifies(timeout=idle.total_seconds(), stop_after=1):
            pass

    def _sweep(self, connection: Connection) -> None:
        """Fail what nobody answered: at once if all answers are in, else after a while."""
        row = connection.execute(_LATE).fetchone()
        now = _now(connection)
        if row is None or row["deadline"] is None or row["deadline"] + GRACE > now:
            return
        known = self._answered_until(connection)
        before = max(now - LIMIT, known - GRACE) if known else now - LIMIT
        with connection.transaction(), connection.cursor() as cursor:
            late = cursor.execute(_OVERDUE.encode(), {"before": before}).fetchall()
            for found in late:
                job = job_of(found)
                finish(cursor, job.job_id, overdue(job))
        if late:
            self._metrics.overdue(len(late))
            self._log.warning("jobs_overdue", jobs=len(late))

    def _begin(self, connection: Connection, pool: ThreadPoolExecutor) -> None:
        values = {"running": list(self._running), "room": _AT_ONCE - len(self._running)}
        for row in connection.execute(_DUE.encode(), values).fetchall():
            job = job_of(row)
            if job.callback is not None:
                body = callback_body(job, self._names(connection, job))
                done = pool.submit(self._post.send, job.callback.url, job.job_id, body)
                self._running[job.job_id] = _Sent(job, body, done)

    def _names(self, connection: Connection, job: Job) -> dict[str, Person]:
        persons = sorted(job.ending.person_ids) if job.ending else []
        rows = connection.execute(_PERSONS, (persons,)).fetchall() if persons else []
        return {row["person_id"]: person_of(row) for row in rows}

    def _settle(self, connection: Connection) -> None:
        for sent in [sent for sent in self._running.values() if sent.done.done()]:
            try:
                sent.done.result()
            except TransientError as error:
                self._failed(connection, sent, str(error))
            else:
                connection.execute(_DELIVERED, {"job_id": sent.job.job_id})
                self._metrics.callback("delivered")
            del self._running[sent.job.job_id]

    def _failed(self, connection: Connection, sent: _Sent, error: str) -> None:
        job, callback = sent.job, sent.job.callback
        attempts = callback.attempts + 1 if callback else 1
        delay = retry_after(attempts)
        self._log.warning("callback_failed", job_id=job.job_id, attempts=attempts, message=error)
        if delay is None:
            self._letters.park(job, f"{REASON}: {error}")
        self._metrics.callback("failed" if delay is None else "retried")
        values = {
            "job_id": job.job_id,
            "state": "failed" if delay is None else "pending",
            "attempts": attempts,
            "delay": delay,
            "error": error[:500],
        }
        connection.execute(_FAILED, values)


def _now(connection: Connection) -> datetime:
    row = connection.execute("SELECT now() AS now").fetchone()
    if row is None:
        raise TransientError("the database does not tell the time")
    now: datetime = row["now"]
    return now

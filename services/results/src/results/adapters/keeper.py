"""The keeper: months ahead, retention, orphans; one active at a time."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg

from mesh.clock import Clock
from mesh.errors import TransientError
from mesh.logs import get_logger
from mesh.ports import Heartbeat
from mesh.retry import RetryPolicy

_AGAIN = timedelta(seconds=30)
"""The longest until jobs that found something away are tried again."""
_LOCK = 0x51_67_68_74_00_03
"""Advisory lock of the keeper; it falls with the connection that holds it."""

Job = Callable[[psycopg.Connection[Any]], int]
"""Keeps one thing in order on an autocommit connection; returns how many rows or objects moved."""


class Keeper:
    """Runs its jobs in turn, every round under the advisory lock.

    A job that fails because something is away is tried again in the next round, which comes within
    half a minute then; the others run. Readiness names what it waits for.
    """

    def __init__(
        self,
        dsn: str,
        jobs: Sequence[tuple[str, Job]],
        *,
        interval: timedelta,
        retry: RetryPolicy,
        clock: Clock,
        heartbeat: Heartbeat,
        lock: int = _LOCK,
    ) -> None:
        """Take the jobs; keepers with another `lock` run beside this one."""
        self._dsn = dsn
        self._jobs = jobs
        self._lock = lock
        self._interval = interval
        self._retry = retry
        self._clock = clock
        self._heartbeat = heartbeat
        self._problem: str | None = "no round finished yet"
        self._postponed: dict[str, str] = {}
        self._log = get_logger("keeper")

    def run(self, stop: threading.Event) -> None:
        """Keep order until `stop` is set.

        Raises:
            TransientError: the retry policy gave up on the database.
        """
        failures = 0
        while not stop.is_set():
            self._heartbeat.beat()
            try:
                self.round()
            except TransientError as error:
                failures += 1
                decision = self._retry.decide(failures)
                if decision is None:
                    raise
                self._problem = str(error)
                self._log.warning("round_failed", message=str(error), failures=failures)
                stop.wait(decision.delay.total_seconds())
            else:
                failures = 0
                self._problem = None
                self._wait(stop)

    def round(self) -> bool:
        """Every job once; false if another keeper is at it.

        Raises:
            TransientError: the database is away.
        """
        with self._leading() as connection:
            if connection is None:
                self._postponed.clear()
                return False
            for name, job in self._jobs:
                self._heartbeat.beat()
                self._run_job(connection, name, job)
            return True

    def check(self) -> str | None:
        """What keeps the keeper from its rounds or one of its jobs from its work, or nothing."""
        return self._problem or next(iter(list(self._postponed.values())), None)

    def _run_job(self, connection: psycopg.Connection[Any], name: str, job: Job) -> None:
        try:
            count = job(connection)
        except psycopg.errors.LockNotAvailable as error:
            self._log.warning("job_postponed", job=name, message=str(error))
        except TransientError as error:
            self._log.warning("job_postponed", job=name, message=str(error))
            self._postponed[name] = f"{name} waits: {error}"
        else:
            self._postponed.pop(name, None)
            if count:
                self._log.info("job_done", job=name, count=count)

    @contextmanager
    def _leading(self) -> Iterator[psycopg.Connection[Any] | None]:
        try:
            with psycopg.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=5,
                options="-c lock_timeout=2000 -c timezone=UTC",
                application_name="results-keeper",
            ) as connection:
                row = connection.execute(
                    "SELECT pg_try_advisory_lock(%s)", (self._lock,)
                ).fetchone()
                yield connection if row is not None and row[0] else None
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise TransientError(f"the database is away: {error}") from error

    def _wait(self, stop: threading.Event) -> None:
        interval = min(self._interval, _AGAIN) if self._postponed else self._interval
        until = self._clock.monotonic() + interval.total_seconds()
        while not stop.is_set() and self._clock.monotonic() < until:
            self._heartbeat.beat()
            stop.wait(min(1.0, interval.total_seconds()))

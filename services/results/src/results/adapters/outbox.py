"""Sends what the gateways left in the outbox, in order; one relay at a time."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import class_row

from mesh.errors import RejectedRecordError, TransientError
from mesh.logs import get_logger
from mesh.ports import Heartbeat, Producer, WorkerMetrics
from mesh.retry import RetryPolicy
from mesh.topics import Topics

CHANNEL = "results_outbox"
_LOCK = 0x51_67_68_74_00_02
"""Advisory lock of the relay; it falls with the connection that holds it."""
_BATCH = 200
_FLUSH = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Letter:
    """A row of the outbox."""

    id: int
    topic: str
    key: str
    payload: bytes | None
    headers: dict[str, str]


class OutboxRelay:
    """Publishes every row once it is committed, at least once, in the order of the rows.

    A notification wakes it, so that a change leaves within milliseconds. Several may run: the one
    that holds the advisory lock works, the others wait for it. The lock is the session's: a broker
    that is away does not pass it on, a session that is lost ends the turn.
    """

    def __init__(
        self,
        dsn: str,
        *,
        producer: Producer,
        topics: Topics,
        retry: RetryPolicy,
        heartbeat: Heartbeat,
        metrics: WorkerMetrics,
        idle: timedelta = timedelta(seconds=1),
    ) -> None:
        self._dsn = dsn
        self._producer = producer
        self._topics = topics
        self._retry = retry
        self._heartbeat = heartbeat
        self._metrics = metrics
        self._idle = idle
        self._failures = 0
        self._problem: str | None = "not connected yet"
        self._log = get_logger("outbox")

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop` is set; waits out a database or a broker that is away.

        Raises:
            TransientError: the retry policy gave up.
        """
        while not stop.is_set():
            try:
                self._serve(stop)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                self._wait_out(error, stop)

    def check(self) -> str | None:
        """What keeps the outbox from being sent, or nothing."""
        return self._problem

    def _serve(self, stop: threading.Event) -> None:
        with psycopg.connect(
            self._dsn, autocommit=True, connect_timeout=5, application_name="results-outbox"
        ) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            while not stop.is_set():
                self._heartbeat.beat()
                try:
                    sent = self.send_batch(connection) if self._lead(connection) else 0
                except TransientError as error:  # the lock stays: others must not overtake
                    self._wait_out(error, stop)
                    continue
                self._failures, self._problem = 0, None
                if sent < _BATCH:
                    self._rest(connection)

    def _wait_out(self, error: Exception, stop: threading.Event) -> None:
        self._failures += 1
        self._problem = f"the outbox waits: {error}"
        decision = self._retry.decide(self._failures)
        if decision is None:
            raise TransientError(self._problem) from error
        self._log.warning("outbox_waits", message=str(error), failures=self._failures)
        self._heartbeat.beat()
        stop.wait(decision.delay.total_seconds())

    def send_batch(self, connection: psycopg.Connection[Any]) -> int:
        """Publish the oldest unsent rows and mark them; returns how many there were.

        Raises:
            TransientError: the broker did not take them; they stay unsent.
        """
        with connection.cursor(row_factory=class_row(Letter)) as cursor:
            letters = cursor.execute(
                "SELECT id, topic, key, payload, headers FROM results.outbox"
                " WHERE sent_at IS NULL ORDER BY id LIMIT %s",
                (_BATCH,),
            ).fetchall()
        if letters:
            self._send(connection, letters)
        return len(letters)

    def _lead(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether this relay holds the lock; it is taken once per connection."""
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND pid = pg_backend_pid() AND (classid::bigint << 32 | objid::bigint) = %(lock)s)"
            " OR pg_try_advisory_lock(%(lock)s)",
            {"lock": _LOCK},
        ).fetchone()
        return row is not None and bool(row[0])

    def _rest(self, connection: psycopg.Connection[Any]) -> None:
        for _ in connection.notifies(timeout=self._idle.total_seconds(), stop_after=1):
            pass

    def _send(self, connection: psycopg.Connection[Any], letters: Sequence[Letter]) -> None:
        try:
            for letter in letters:
                headers = {name: value.encode() for name, value in letter.headers.items()}
                topic = self._topics(letter.topic)
                self._producer.produce(topic, letter.key, letter.payload, headers)
            self._producer.flush(_FLUSH)
        except RejectedRecordError as error:
            if len(letters) > 1:
                for letter in letters:
                    self._send(connection, [letter])
                return
            self._log.error("outbox_refused", message=str(error), row=letters[0].id)
            self._metrics.rejected("outbox_refused")
            _mark(connection, letters, str(error))
        else:
            _mark(connection, letters, None)
            for letter in letters:
                self._metrics.produced(self._topics(letter.topic), 1)


def _mark(
    connection: psycopg.Connection[Any], letters: Sequence[Letter], refused: str | None
) -> None:
    connection.execute(
        "UPDATE results.outbox SET sent_at = now(), refused = %s WHERE id = ANY(%s)",
        (refused, [letter.id for letter in letters]),
    )

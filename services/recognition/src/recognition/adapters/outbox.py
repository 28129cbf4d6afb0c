"""The outbox's relay: what transactions published goes to the broker, in order, at least once."""

from collections.abc import Callable
from datetime import timedelta
from threading import Event

from psycopg import Connection

from mesh.errors import TransientError
from mesh.ports import Producer
from recognition.adapters.database import Database

_LOCK = 0x51_67_74_6C_6F_75_74
"""Advisory lock of a session: of several processes one relays, so that the order holds."""
_LEAD = """
    SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted
                   AND pid = pg_backend_pid()
                   AND (classid::bigint << 32 | objid::bigint) = %(lock)s)
        OR pg_try_advisory_lock(%(lock)s)
"""
_BATCH = 200
_FLUSH = timedelta(seconds=15)
_POLL_SECONDS = 0.5
_PRUNE_EVERY = 3600.0
_PRUNE = (
    # Longer than any record that could ask again is kept.
    "DELETE FROM gallery.answers WHERE answered_at < now() - interval '8 days'",
    "DELETE FROM gallery.changes c USING gallery.changes newer "
    "WHERE newer.person_id = c.person_id AND newer.version > c.version",
)


class OutboxRelay:
    """Publishes committed events and removes them once they are acknowledged."""

    def __init__(self, database: Database, producer: Producer) -> None:
        self._database = database
        self._producer = producer
        self._wake = Event()

    def wake(self) -> None:
        """Something was committed."""
        self._wake.set()

    def run(self, stop: Event, warn: Callable[[str], None]) -> None:
        """Relay until `stop` is set, then once more; blocks.

        Args:
            stop: ends it within a poll.
            warn: told why broker or database could not be reached; it tries again.
        """
        while not stop.is_set():
            try:
                with self._database.session() as session:
                    self._serve(session, stop, warn)
            except TransientError as error:
                warn(str(error))
                stop.wait(_POLL_SECONDS)

    def _serve(self, session: Connection, stop: Event, warn: Callable[[str], None]) -> None:
        """Relay on one session: a broker that is away does not pass its lock on to another."""
        turns_until_prune = 0
        last = False
        while not last:
            last = stop.is_set()  # once more then: what is left goes out after the next start
            try:
                if turns_until_prune <= 0 and not last:
                    self.prune()
                    turns_until_prune = int(_PRUNE_EVERY / _POLL_SECONDS)
                while self.publish_batch(session):
                    pass
            except TransientError as error:
                if session.broken:
                    raise
                warn(str(error))
                stop.wait(_POLL_SECONDS)
            if not last:
                self._wake.wait(_POLL_SECONDS)
                self._wake.clear()
            turns_until_prune -= 1

    def publish_batch(self, session: Connection) -> int:
        """Publish the oldest events if this session leads; how many there were.

        Raises:
            TransientError: broker or database did not answer; what was sent may be sent again.
        """
        with self._database.transaction(session) as connection:
            locked = connection.execute(_LEAD, {"lock": _LOCK}).fetchone()
            if locked is None or not locked[0]:
                return 0
            rows = connection.execute(
                "SELECT outbox_id, topic, key, value FROM gallery.outbox "
                "ORDER BY outbox_id LIMIT %s",
                [_BATCH],
            ).fetchall()
            for _, topic, key, value in rows:
                self._producer.produce(topic, key, None if value is None else bytes(value))
            if rows:
                self._producer.flush(_FLUSH)
                ids = [row[0] for row in rows]
                connection.execute("DELETE FROM gallery.outbox WHERE outbox_id = ANY(%s)", [ids])
        return len(rows)

    def prune(self) -> None:
        """Forget answers that nobody can ask for again, and changes that newer ones replace.

        Raises:
            TransientError: the database does not answer.
        """
        with self._database.transaction() as connection:
            for statement in _PRUNE:
                connection.execute(statement)

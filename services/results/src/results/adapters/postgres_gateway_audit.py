"""Audit entries in the outbox, for as long as the broker is away."""

from collections.abc import Callable, Sequence

from mesh.events import AuditEntry
from results.adapters.audit_trail import key_of
from results.adapters.outbox_sql import LEAVE, outbox_row
from results.adapters.postgres_gateway import Database


class PostgresAuditOutbox:
    """Leaves entries to the relay; `encode` turns one into a record value."""

    def __init__(self, database: Database, encode: Callable[[AuditEntry], bytes]) -> None:
        self._database = database
        self._encode = encode

    def keep(self, entries: Sequence[AuditEntry]) -> None:
        """Store them all or none.

        Raises:
            TransientError: the database cannot be reached, or the registry for a first schema.
        """
        rows = [
            outbox_row("audit", key_of(each), self._encode(each), event_type="AuditEntry")
            for each in entries
        ]
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(LEAVE, rows)

"""Reads the ledger back: what became of a camera's frames."""

from datetime import datetime
from typing import Any

import psycopg

from mesh.errors import TransientError
from results.adapters.writer_sql import from_multirange
from results.domain.ledger import (
    Balance,
    Book,
    Cell,
    CellKey,
    EpochKey,
    Session,
    balance,
    captured_between,
)


class PostgresLedger:
    """The book of one database; every call connects."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def balance(self, camera_id: str, since: datetime, until: datetime) -> Balance:
        """What became of the frames that a camera captured in a time, to the nearest block.

        Raises:
            TransientError: the database is away.
        """
        try:
            with psycopg.connect(self._dsn, connect_timeout=5) as connection:
                book = _book(connection, camera_id, since, until)
        except psycopg.OperationalError as error:
            raise TransientError(f"the database is away: {error}") from error
        return balance(book, captured_between(book, since, until))


def _book(
    connection: psycopg.Connection[Any], camera_id: str, since: datetime, until: datetime
) -> Book:
    between = (camera_id, until, since)
    sessions = connection.execute(
        "SELECT camera_id, epoch, highest, lane, opened_at, seen_at, closed_at"
        " FROM results.epochs WHERE camera_id = %s AND opened_at < %s AND seen_at >= %s",
        between,
    )
    known = {EpochKey(*row[:2]): Session(*row[2:]) for row in sessions}
    cells = connection.execute(
        "SELECT camera_id, epoch, block, outcome, reason, numbers, lane, first_at, last_at"
        " FROM results.ledger WHERE camera_id = %s AND epoch = ANY(%s)",
        (camera_id, [key.epoch for key in known]),
    )
    return Book(
        {CellKey(*row[:5]): Cell(from_multirange(row[5]), *row[6:]) for row in cells}, known
    )

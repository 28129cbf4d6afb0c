"""Brings the schema `results` to this version of the code."""

import threading
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg import Connection

from mesh.errors import TransientError
from mesh.logs import get_logger
from mesh.retry import RetryPolicy

_PATIENT = RetryPolicy(maximum=timedelta(seconds=5), attempts=None)
_LOCK = 0x51_67_68_74_00_01
"""Advisory lock of the migrations: roles that start together migrate one after the other."""


def migrate(dsn: str) -> None:
    """Create or upgrade the schema; returns at once when it is current.

    Every role calls it at its start. Roles that start together wait for each other.

    Raises:
        TransientError: the database cannot be reached.
    """
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            # The lock ends with the connection.
            connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            connection.execute("CREATE SCHEMA IF NOT EXISTS results")
            if _revision(connection) != newest_revision():
                # Most starts have nothing to migrate, and Alembic takes 20 MB for ever.
                from results.adapters.alembic_upgrade import upgrade  # noqa: PLC0415 -- see above

                upgrade(dsn)
    except psycopg.OperationalError as error:
        raise TransientError(f"the database cannot be migrated: {error}") from error


def newest_revision() -> str:
    """The revision that this version of the code needs, from the names of its files."""
    versions = Path(__file__).parent / "migrations" / "versions"
    return max(path.stem.rpartition("_")[2] for path in versions.glob("*_[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    """The revision that the database has, if it has any."""
    known = connection.execute("SELECT to_regclass('results.schema_version')").fetchone()
    if known is None or known[0] is None:
        return None
    row = connection.execute("SELECT version_num FROM results.schema_version").fetchone()
    return None if row is None else str(row[0])


def migrate_when_up(dsn: str, stop: threading.Event) -> None:
    """Migrate, and wait for a database that is still starting; gives up only when told to stop."""
    failures = 0
    while not stop.is_set():
        try:
            migrate(dsn)
        except TransientError as error:
            failures += 1
            get_logger("migrate").warning("database_away", message=str(error), failures=failures)
            decision = _PATIENT.decide(failures)
            stop.wait(decision.delay.total_seconds() if decision else 0)
        else:
            return

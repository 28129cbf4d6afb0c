"""Brings the schema `results` to this version of the code.

`python -m results.adapters.migrate` does it for the database that `SIGHTLINE_DATABASE_URL` names.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg import Connection

from mesh.errors import MeshError, TransientError
from mesh.logs import get_logger
from mesh.retry import RetryPolicy

_PATIENT = RetryPolicy(maximum=timedelta(seconds=5), attempts=None)
_LOCK = 0x51_67_68_74_00_01
"""Advisory lock of the migrations: roles that start together migrate one after the other."""
_DSN = "SIGHTLINE_DATABASE_URL"
"""In the environment, since every user may read a command line."""


class MigrationError(MeshError):
    """The schema cannot be brought to this version; the message has what Alembic said."""


def main() -> None:
    """Migrate; exits with 75 if the database cannot be reached."""
    try:
        migrate(os.environ[_DSN])
    except TransientError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(os.EX_TEMPFAIL)


def migrate(dsn: str) -> None:
    """Create or upgrade the schema; returns at once when it is current.

    Those who do it together wait for each other.

    Raises:
        TransientError: the database cannot be reached.
    """
    with _connection(dsn) as connection:
        # The lock ends with the connection.
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        connection.execute("CREATE SCHEMA IF NOT EXISTS results")
        if not _is_current(connection):
            # Most starts have nothing to migrate, and Alembic takes a second to import.
            from results.adapters.alembic_upgrade import upgrade  # noqa: PLC0415 -- see above

            upgrade(dsn)


def migrate_apart(dsn: str) -> None:
    """The same by a process of its own, which ends with what Alembic takes: 20 MB.

    It has the lock itself: if it outlives its parent, nobody else begins before it is done.

    Raises:
        TransientError: the database cannot be reached.
        MigrationError: the migration failed.
    """
    with _connection(dsn) as connection:
        if _is_current(connection):
            return
    ran = subprocess.run(
        [sys.executable, "-m", "results.adapters.migrate"],
        env=os.environ | {_DSN: dsn},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ran.returncode == os.EX_TEMPFAIL:
        raise TransientError(ran.stderr.strip())
    if ran.returncode:
        raise MigrationError(f"the migration ended with {ran.returncode}: {ran.stderr.strip()}")


@contextmanager
def _connection(dsn: str) -> Iterator[Connection]:
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise TransientError(f"the database cannot be migrated: {error}") from error


def newest_revision() -> str:
    """The revision that this version of the code needs, from the names of its files."""
    versions = Path(__file__).parent / "migrations" / "versions"
    return max(path.stem.rpartition("_")[2] for path in versions.glob("*_[0-9]*.py"))


def _is_current(connection: Connection) -> bool:
    """Whether the database has the revision that this version of the code needs."""
    known = connection.execute("SELECT to_regclass('results.schema_version')").fetchone()
    if known is None or known[0] is None:
        return False
    row = connection.execute("SELECT version_num FROM results.schema_version").fetchone()
    return row is not None and str(row[0]) == newest_revision()


def migrate_when_up(dsn: str, stop: threading.Event) -> None:
    """Migrate, and wait for a database that is still starting; gives up only when told to stop.

    Every role calls it at its start.

    Raises:
        MigrationError: the migration failed.
    """
    failures = 0
    while not stop.is_set():
        try:
            migrate_apart(dsn)
        except TransientError as error:
            failures += 1
            get_logger("migrate").warning("database_away", message=str(error), failures=failures)
            decision = _PATIENT.decide(failures)
            stop.wait(decision.delay.total_seconds() if decision else 0)
        else:
            return


if __name__ == "__main__":
    main()

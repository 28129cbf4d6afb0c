"""The connection to PostgreSQL: a pool, the schema's migrations, errors translated."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from pgvector.psycopg import register_vector
from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolTimeout
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from mesh.errors import ConfigurationError, TransientError
from mesh.logs import get_logger
from mesh.retry import RetryPolicy

_MIGRATION_LOCK = 0x51_67_74_6C_67_61_6C
"""Advisory lock: one process migrates, the others wait; any number that nobody else uses."""
_PATIENT = RetryPolicy(maximum=timedelta(seconds=5), attempts=None)
_CONNECTION: dict[str, Any] = {"connect_timeout": 3, "keepalives_idle": 5, "keepalives_interval": 2}
_RECONNECT_SECONDS = 5.0
"""Longer pauses between attempts would outlast the outage."""


class Database:
    """A pool of connections to the schema `gallery`; safe to use from several threads."""

    def __init__(
        self,
        dsn: str,
        *,
        connections: int = 6,
        wait_seconds: float = 2.0,
        limit_seconds: float = 20.0,
    ) -> None:
        """Take the address; nothing is contacted yet.

        Args:
            dsn: Of PostgreSQL; the schema must be migrated before `open`.
            connections: The most at once.
            wait_seconds: For a connection.
            limit_seconds: For a transaction; a server that is suspended answers nothing, not even
                that it is.
        """
        self._dsn = dsn
        self._pool = ConnectionPool(
            dsn,
            min_size=1,
            max_size=connections,
            timeout=wait_seconds,
            reconnect_timeout=_RECONNECT_SECONDS,
            open=False,
            configure=_configure,
            kwargs=_CONNECTION,
        )
        self._limit_seconds = limit_seconds
        self._problem: str | None = "not connected yet"

    def open(self) -> None:
        """Begin to connect; who needs a connection waits for it."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def check(self) -> str | None:
        """What is wrong with the database as far as the last transaction shows, or nothing."""
        return self._problem

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A connection besides the pool, for what belongs to a session, such as its locks.

        Raises:
            TransientError: the database does not answer.
        """
        try:
            with psycopg.connect(self._dsn, autocommit=True, **_CONNECTION) as connection:
                yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise TransientError(f"database: {error}") from error

    @contextmanager
    def transaction(self, session: Connection | None = None) -> Iterator[Connection]:
        """A connection for one transaction, which commits unless the block raises.

        Args:
            session: Use this one; none takes one of the pool.

        Raises:
            TransientError: the database does not answer, or went away meanwhile.
        """
        try:
            with (
                nullcontext(session) if session else self._pool.connection() as connection,
                _cut_off(connection, self._limit_seconds),
                connection.transaction(),
            ):
                yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            self._problem = str(error).strip() or type(error).__name__
            raise TransientError(f"database: {self._problem}") from error
        self._problem = None


def migrate(dsn: str) -> None:
    """Bring the schema `gallery` to this version; of several processes one does the work.

    Raises:
        TransientError: the database does not answer.
        ConfigurationError: the address is not one of PostgreSQL.
    """
    scheme, separator, rest = dsn.partition("://")
    if not separator or not scheme.startswith("postgres"):
        raise ConfigurationError(
            "SIGHTLINE_DATABASE_URL must be postgresql://user:password@host:port/database"
        )
    engine = create_engine(f"postgresql+psycopg://{rest}", connect_args=_CONNECTION)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with engine.begin() as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            connection.execute(text("CREATE SCHEMA IF NOT EXISTS gallery"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OperationalError as error:
        raise TransientError(f"database: {error.orig}") from error
    finally:
        engine.dispose()


def until_up(action: Callable[[], object], stop: threading.Event) -> None:
    """Do it once what it needs is there; returns early only when told to stop."""
    failures = 0
    while not stop.is_set():
        try:
            action()
        except TransientError as error:
            failures += 1
            get_logger("start").warning("waiting", message=str(error), failures=failures)
            decision = _PATIENT.decide(failures)
            stop.wait(decision.delay.total_seconds() if decision else 0)
        else:
            return


def _configure(connection: Connection) -> None:
    register_vector(connection)
    connection.commit()


@contextmanager
def _cut_off(connection: Connection, seconds: float) -> Iterator[None]:
    """Cut the line of a connection that is still in use after so long; waiting on it fails then."""
    line = socket.socket(fileno=os.dup(connection.fileno()))

    def cut() -> None:
        with suppress(OSError):  # it broke by itself
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        line.close()

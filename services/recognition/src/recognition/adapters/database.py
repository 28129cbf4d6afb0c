"""The connection to PostgreSQL: a pool, the schema's migrations, errors translated."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from pgvector.psycopg import register_vector
from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolTimeout
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from mesh.errors import ConfigurationError, TransientError

_MIGRATION_LOCK = 0x51_67_74_6C_67_61_6C
"""Advisory lock: one process migrates, the others wait; any number that nobody else uses."""
_CONNECT_SECONDS = 10


class Database:
    """A pool of connections to the schema `gallery`; safe to use from several threads."""

    def __init__(self, dsn: str, *, connections: int = 6, wait_seconds: float = 5.0) -> None:
        self._pool = ConnectionPool(
            dsn,
            min_size=1,
            max_size=connections,
            timeout=wait_seconds,
            open=False,
            configure=_configure,
            kwargs={"connect_timeout": _CONNECT_SECONDS},
        )

    def open(self) -> None:
        """Connect; the schema must be there.

        Raises:
            TransientError: the database does not answer.
        """
        with _translated():
            self._pool.open(wait=True)

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection for one transaction, which commits unless the block raises.

        Raises:
            TransientError: the database does not answer, or went away meanwhile.
        """
        with _translated(), self._pool.connection() as connection:
            yield connection


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
    engine = create_engine(f"postgresql+psycopg://{rest}")
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


def _configure(connection: Connection) -> None:
    register_vector(connection)
    connection.commit()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (psycopg.OperationalError, PoolTimeout) as error:
        raise TransientError(f"database: {str(error).strip()}") from error

"""Brings the schema `results` to this version of the code."""

import threading
from datetime import timedelta
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

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
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool
    )
    try:
        with engine.connect() as connection:
            _migrate_locked(connection)
    except (OperationalError, psycopg.OperationalError) as error:
        raise TransientError(f"the database cannot be migrated: {error}") from error
    finally:
        engine.dispose()


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


def _migrate_locked(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
    try:
        connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS results")
        connection.commit()
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    finally:
        connection.rollback()
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK})")
        connection.commit()

"""Alembic's part of a migration; imported only when there is something to migrate."""

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from mesh.errors import TransientError


def upgrade(dsn: str) -> None:
    """Bring the schema to the newest revision; the caller sees to it that nobody else does.

    Raises:
        TransientError: the database cannot be reached.
    """
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool
    )
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    except OperationalError as error:
        raise TransientError(f"the database cannot be migrated: {error}") from error
    finally:
        engine.dispose()

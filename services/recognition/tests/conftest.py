"""Fixtures of the database: each test has one of its own."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from recognition.adapters.database import Database, migrate


@pytest.fixture
def dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database, removed at the end."""
    server: str = request.getfixturevalue("postgres")
    name = f"recognition_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        yield f"{server.rpartition('/')[0]}/{name}"
        admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    """The schema of this version, open."""
    migrate(dsn)
    database = Database(dsn, wait_seconds=60.0, limit_seconds=60.0)
    database.open()
    yield database
    database.close()

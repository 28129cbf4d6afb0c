"""A migrated database of its own for every test that asks for one."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from results.adapters.migrate import migrate

from .running import Installation, install


@contextmanager
def new_database(postgres: str) -> Iterator[str]:
    """A migrated database that is gone after the block."""
    name = f"results_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        dsn = make_conninfo(postgres, dbname=name)
        try:
            migrate(dsn)
            yield dsn
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    with new_database(postgres) as dsn:
        yield dsn


@pytest.fixture
def installation(
    kafka: str, registry: str, database: str, tmp_path: Path
) -> Iterator[Installation]:
    with install(kafka=kafka, registry=registry, database=database, folder=tmp_path) as made:
        yield made

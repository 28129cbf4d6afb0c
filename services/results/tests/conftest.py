"""A migrated database of its own for every test that asks for one."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from results.adapters.migrate import migrate

from .running import Installation, install


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
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
def installation(
    kafka: str, registry: str, database: str, tmp_path: Path
) -> Iterator[Installation]:
    with install(kafka=kafka, registry=registry, database=database, folder=tmp_path) as made:
        yield made

"""The schema is created once, by whoever comes first."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory

from mesh.errors import TransientError
from results.adapters import migrations
from results.adapters.migrate import (
    MigrationError,
    main,
    migrate,
    migrate_apart,
    newest_revision,
)

pytestmark = pytest.mark.integration

HEAD = max(sql.name[:4] for sql in (files(migrations) / "sql").iterdir())


def forget_all(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA results CASCADE")


def versions(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT version_num FROM results.schema_version").fetchall()
    return [version for (version,) in rows]


def test_roles_that_start_together_migrate_once(postgres: str, database: str) -> None:
    forget_all(database)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(migrate, [database] * 3))
    migrate(database)
    assert versions(database) == [HEAD]


def test_months_are_utc_and_created_once(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET timezone = 'Asia/Tokyo'")
        moment = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
        ensure = "SELECT results.ensure_month('detections', %s)"
        assert connection.execute(ensure, (moment,)).fetchone() == (True,)
        assert connection.execute(ensure, (moment,)).fetchone() == (False,)
        names = connection.execute(
            "SELECT relid::text FROM pg_partition_tree('results.detections') WHERE isleaf"
        ).fetchall()
    assert names == [("results.detections_2026_01",)]


def test_a_decision_forgets_a_person(database: str) -> None:
    decision = (
        '{"identified": true, "person_id": "per_a", "reason": "matched",'
        ' "candidates": [{"person_id": "per_a"}, {"person_id": "per_b"}]}'
    )
    with psycopg.connect(database) as connection:
        forget = "SELECT results.without_person(%s::jsonb, %s)"
        row = connection.execute(forget, (decision, "per_a")).fetchone()
        other = connection.execute(forget, (decision, "per_b")).fetchone()
    assert row is not None
    assert row[0] == {
        "identified": False,
        "person_id": None,
        "reason": "erased",
        "candidates": [{"person_id": "per_b"}],
    }
    assert other is not None
    assert other[0]["person_id"] == "per_a"
    assert other[0]["candidates"] == [{"person_id": "per_a"}]


def test_the_newest_revision_is_what_alembic_takes_for_the_head() -> None:
    folder = Path(migrations.__file__).parent

    assert newest_revision() == ScriptDirectory(str(folder)).get_current_head()


def test_a_role_migrates_without_alembic_in_its_own_process(database: str) -> None:
    forget_all(database)
    program = (
        "import sys; from threading import Event; from results.adapters import migrate; "
        "migrate.migrate_when_up(sys.argv[1], Event()); sys.exit('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, database], timeout=110, check=False)

    assert done.returncode == 0
    assert versions(database) == [HEAD]


def test_a_schema_of_a_later_version_is_told(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE results.schema_version SET version_num = '9999'")
    with pytest.raises(MigrationError, match="9999"):
        migrate_apart(database)


@pytest.mark.parametrize("do", [migrate, migrate_apart])
def test_an_unreachable_database_is_a_transient_failure(do: Callable[[str], None]) -> None:
    with pytest.raises(TransientError, match="cannot be migrated"):
        do("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")


def test_a_database_that_goes_before_the_migration_is_a_transient_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"
    monkeypatch.setenv("SIGHTLINE_DATABASE_URL", away)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == os.EX_TEMPFAIL


def test_a_current_schema_is_left_alone_without_alembic(database: str) -> None:
    program = (
        "import sys; from results.adapters.migrate import migrate; migrate(sys.argv[1]); "
        "sys.exit('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, database], timeout=110, check=False)

    assert done.returncode == 0

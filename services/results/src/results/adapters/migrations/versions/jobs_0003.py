"""Jobs: requests that are answered later, and their callbacks."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"

_SQL = Path(__file__).parent.parent / "sql" / "0003_jobs.sql"


def upgrade() -> None:
    """Create the table of jobs."""
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8").replace("%", "%%"))


def downgrade() -> None:
    """Drop it; meant for development only."""
    op.execute("DROP FUNCTION results.job_without_person")
    op.execute("DROP TABLE results.jobs")

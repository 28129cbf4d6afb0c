"""The tables of results as first released."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

_SQL = Path(__file__).parent.parent / "sql" / "0001_initial.sql"


def upgrade() -> None:
    """Create every table, index and function of the schema."""
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8").replace("%", "%%"))


def downgrade() -> None:
    """Drop everything; meant for development only."""
    op.execute("DROP SCHEMA results CASCADE")

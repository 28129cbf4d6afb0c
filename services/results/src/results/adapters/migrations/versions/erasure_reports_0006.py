"""Reports of erasures."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"

_SQL = Path(__file__).parent.parent / "sql" / "0006_erasure_reports.sql"


def upgrade() -> None:
    """Count what is erased, and remember who asked."""
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8").replace("%", "%%"))


def downgrade() -> None:
    """Forget it; meant for development only."""
    op.execute("DROP INDEX results.erased_persons_unreported")
    op.execute(
        "ALTER TABLE results.erased_persons DROP COLUMN request_id, DROP COLUMN counts,"
        " DROP COLUMN reported_at"
    )
    op.execute("UPDATE results.erased_persons SET tombstone_offset = coalesce(tombstone_offset, 0)")
    op.execute("ALTER TABLE results.erased_persons ALTER COLUMN tombstone_offset SET NOT NULL")

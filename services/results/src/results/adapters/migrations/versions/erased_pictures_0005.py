"""Pictures of erased persons."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"

_SQL = Path(__file__).parent.parent / "sql" / "0005_erased_pictures.sql"


def upgrade() -> None:
    """Remember which pictures are to be deleted."""
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8").replace("%", "%%"))


def downgrade() -> None:
    """Forget it; meant for development only."""
    op.execute("ALTER TABLE results.erased_persons DROP COLUMN pictures")
    op.execute("DROP TABLE results.doomed_objects, results.erased_pictures")

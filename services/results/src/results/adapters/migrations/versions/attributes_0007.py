"""What further models say of detections."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"

_SQL = Path(__file__).parent.parent / "sql" / "0007_attributes.sql"


def upgrade() -> None:
    """Keep attributes of faces and activities of persons."""
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8").replace("%", "%%"))


def downgrade() -> None:
    """Forget them; meant for development only."""
    op.execute("ALTER TABLE results.detections DROP COLUMN attributes, DROP COLUMN activity")

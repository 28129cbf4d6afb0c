"""Figures of frames."""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"

_SQL = Path(__file__).parent.parent / "sql" / "0004_statistics.sql"


def upgrade() -> None:
    """Count frames per minute and hour from now on."""
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8").replace("%", "%%"))


def downgrade() -> None:
    """Forget the figures; detections and ledger stay."""
    op.execute("DROP TABLE results.frame_statistics")

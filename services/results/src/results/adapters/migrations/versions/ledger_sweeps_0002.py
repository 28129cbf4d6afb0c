"""Sweeps of the frame ledger."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"

_SQL = Path(__file__).parent.parent / "sql" / "0002_ledger_sweeps.sql"


def upgrade() -> None:
    """Note at each epoch how far its frames went and what the last sweep made of it."""
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8").replace("%", "%%"))


def downgrade() -> None:
    """Forget the sweeps; the claims stay."""
    op.execute("DROP TABLE results.ledger_barrier")
    op.execute("DROP INDEX results.events_gaps")
    op.execute("ALTER TABLE results.ledger DROP COLUMN size")
    for column in (
        "through", "through_at", "balanced_below", "mark", "marked_at", "ended_at", "settled_at",
    ):  # fmt: skip
        op.execute(f"ALTER TABLE results.epochs DROP COLUMN {column}")

"""The gallery: persons, consent, samples, embeddings, templates, outbox."""

from pathlib import Path

from alembic import op

revision = "gallery_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove everything, persons included."""
    op.execute("DROP SCHEMA gallery CASCADE")

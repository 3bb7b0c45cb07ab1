"""Sealed pieces of streams, column by column, for long runs; the first values of metrics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "chunks",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_chunks_run_id_runs"),
        sa.PrimaryKeyConstraint("run_id", "first_seq", name="pk_chunks"),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        # Compressed already: the server need not try.
        op.execute("ALTER TABLE chunks ALTER COLUMN body SET STORAGE EXTERNAL")
    op.add_column("run_metrics", sa.Column("first", sa.Double))
    op.add_column("run_metrics", sa.Column("first_seq", sa.BigInteger))
    op.add_column("run_metrics", sa.Column("first_epoch", sa.BigInteger))
    for column in ("minimum", "maximum"):
        op.create_index(f"ix_run_metrics_metric_{column}", "run_metrics", ["metric", column])
    # Whoever migrates makes the projections of all runs again, from the first one on.
    op.execute("DELETE FROM rebuilds")
    op.execute("INSERT INTO rebuilds (began_at, reached) SELECT 1, 0 FROM runs LIMIT 1")


def downgrade() -> None:
    """Go back to 0003."""
    for column in ("minimum", "maximum"):
        op.drop_index(f"ix_run_metrics_metric_{column}", "run_metrics")
    for name in ("first", "first_seq", "first_epoch"):
        op.drop_column("run_metrics", name)
    op.drop_table("chunks")

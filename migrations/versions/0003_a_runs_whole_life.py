"""What a run's whole life needs: groups, notes, archives; pruning and purging; marks of events.

`open_calls` becomes `calls`, which also tells what a resumed run may repeat.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_HISTORY = ("events", "appends")

_COLUMNS = (
    "group_name", "rank", "note", "archived_at", "calls", "by_hand", "dropped", "oldest_version",
)  # fmt: skip


def upgrade() -> None:
    """Go to this revision."""
    for column in (
        sa.Column("group_name", sa.Text),
        sa.Column("rank", sa.Integer),
        sa.Column("note", sa.Text),
        sa.Column("archived_at", sa.BigInteger),
        sa.Column("calls", sa.Text, nullable=False, server_default="{}"),
        sa.Column("by_hand", sa.Integer, nullable=False, server_default="0"),
        sa.Column("dropped", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("oldest_version", sa.Integer, nullable=False, server_default="1"),
    ):
        op.add_column("runs", column)
    op.drop_column("runs", "open_calls")
    op.create_index("ix_runs_group_name", "runs", ["group_name"])
    op.add_column("appends", sa.Column("marks", sa.LargeBinary))
    op.create_table(
        "erasures",
        sa.Column("run_id", sa.Integer, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_erasures"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rebuilds",
        sa.Column("began_at", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("reached", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("began_at", name="pk_rebuilds"),
        sqlite_with_rowid=False,
    )
    # The new columns are projections: whoever migrates makes those of all runs again.
    op.execute("INSERT INTO rebuilds (began_at, reached) SELECT 1, 0 FROM runs LIMIT 1")
    if op.get_bind().dialect.name == "sqlite":
        for table in _HISTORY:
            op.execute(f"DROP TRIGGER {table}_no_delete")
            op.execute(
                f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
                "WHEN NOT EXISTS (SELECT 1 FROM erasures WHERE run_id = OLD.run_id) "
                f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
            )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION tracker_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN IF TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM erasures) THEN RETURN NULL; END IF; "
        "RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END $$"
    )


def downgrade() -> None:
    """Go back to 0002."""
    if op.get_bind().dialect.name == "sqlite":
        for table in _HISTORY:
            op.execute(f"DROP TRIGGER {table}_no_delete")
            op.execute(
                f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
            )
    else:
        op.execute(
            "CREATE OR REPLACE FUNCTION tracker_append_only() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END $$"
        )
    op.drop_table("rebuilds")
    op.drop_table("erasures")
    op.drop_column("appends", "marks")
    op.drop_index("ix_runs_group_name", "runs")
    op.add_column("runs", sa.Column("open_calls", sa.Text, nullable=False, server_default="{}"))
    for name in _COLUMNS:
        op.drop_column("runs", name)

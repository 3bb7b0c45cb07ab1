"""When a run's writer last told that it lives; events without a foreign key.

The key took nearly half of the time of an insert into PostgreSQL, and held nothing together: an
append writes the run's row in the same transaction.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = ("run_id", "seq", "at", "kind", "attempt", "call", "epoch", "batch", "logs")


def upgrade() -> None:
    """Go to this revision."""
    op.add_column("runs", sa.Column("heartbeat_at", sa.BigInteger))
    if op.get_bind().dialect.name == "sqlite":
        _copy_events(keyed=False)
    else:
        op.drop_constraint("fk_events_run_id_runs", "events")


def downgrade() -> None:
    """Go back to 0001."""
    op.drop_column("runs", "heartbeat_at")
    if op.get_bind().dialect.name == "sqlite":
        _copy_events(keyed=True)
    else:
        op.create_foreign_key("fk_events_run_id_runs", "events", "runs", ["run_id"], ["id"])


def _copy_events(*, keyed: bool) -> None:
    """SQLite cannot drop or add a constraint: the table is made again, with its index."""
    op.execute("ALTER TABLE events RENAME TO events_before")
    op.execute("DROP INDEX ix_events_coarse")
    keys = [sa.ForeignKey("runs.id", name="fk_events_run_id_runs")] if keyed else []
    op.create_table(
        "events",
        sa.Column("run_id", sa.Integer, *keys, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("call", sa.Integer),
        sa.Column("epoch", sa.BigInteger),
        sa.Column("batch", sa.BigInteger),
        sa.Column("logs", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", name="pk_events"),
        sqlite_with_rowid=False,
    )
    names = ", ".join(_COLUMNS)
    op.execute(f"INSERT INTO events ({names}) SELECT {names} FROM events_before")
    op.execute("DROP TABLE events_before")  # and its triggers with it
    op.create_index(
        "ix_events_coarse", "events", ["run_id", "seq"], sqlite_where=sa.text("batch IS NULL")
    )
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER events_no_{verb.lower()} BEFORE {verb} ON events "
            "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
        )

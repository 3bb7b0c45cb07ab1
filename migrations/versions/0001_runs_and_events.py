"""Runs, events, appends and the first projections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_JSON_TEXT = sa.Text().with_variant(postgresql.JSON(), "postgresql")


def _run_id(table: str) -> sa.Column[int]:
    key = sa.ForeignKey("runs.id", name=f"fk_{table}_run_id_runs")
    return sa.Column("run_id", sa.Integer, key, nullable=False)


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("uuid", sa.Text, nullable=False),
        sa.Column("given_name", sa.Text, nullable=False),
        sa.Column("writer", sa.Text, nullable=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("experiment", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("began_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("epochs", sa.Integer, nullable=False),
        sa.Column("open_calls", sa.Text, nullable=False),
        sa.Column("error_type", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("host", sa.Text),
        sa.Column("pid", sa.BigInteger),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("uuid", name="uq_runs_uuid"),
        sa.UniqueConstraint("name", name="uq_runs_name"),
    )
    op.create_index("ix_runs_experiment", "runs", ["experiment"])
    op.create_index("ix_runs_began_at", "runs", ["began_at"])
    op.create_table(
        "events",
        _run_id("events"),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("call", sa.Integer),
        sa.Column("epoch", sa.BigInteger),
        sa.Column("batch", sa.BigInteger),
        sa.Column("logs", _JSON_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", name="pk_events"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_events_coarse",
        "events",
        ["run_id", "seq"],
        sqlite_where=sa.text("batch IS NULL"),
        postgresql_where=sa.text("batch IS NULL"),
    )
    op.create_table(
        "appends",
        _run_id("appends"),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("prev_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "first_seq", name="pk_appends"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_params",
        _run_id("run_params"),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("number", sa.Double),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_run_params"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_params_key_number", "run_params", ["key", "number"])
    op.create_table(
        "run_tags",
        _run_id("run_tags"),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_run_tags"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_tags_key_value", "run_tags", ["key", "value"])
    op.create_table(
        "run_metrics",
        _run_id("run_metrics"),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("last", sa.Double),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("last_epoch", sa.BigInteger),
        sa.Column("minimum", sa.Double),
        sa.Column("minimum_seq", sa.BigInteger),
        sa.Column("minimum_epoch", sa.BigInteger),
        sa.Column("maximum", sa.Double),
        sa.Column("maximum_seq", sa.BigInteger),
        sa.Column("maximum_epoch", sa.BigInteger),
        sa.PrimaryKeyConstraint("run_id", "phase", "metric", name="pk_run_metrics"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_metrics_metric_last", "run_metrics", ["metric", "last"])
    for statement in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    """Go back to an empty database."""
    for table in ("run_metrics", "run_tags", "run_params", "appends", "events", "runs"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION tracker_append_only()")


# Written out, not taken from the schema module: a migration never changes again.
_TRIGGERS = {
    "sqlite": [
        "CREATE TRIGGER events_no_update BEFORE UPDATE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END",
        "CREATE TRIGGER events_no_delete BEFORE DELETE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END",
        "CREATE TRIGGER appends_no_update BEFORE UPDATE ON appends "
        "BEGIN SELECT RAISE(ABORT, 'appends are append-only'); END",
        "CREATE TRIGGER appends_no_delete BEFORE DELETE ON appends "
        "BEGIN SELECT RAISE(ABORT, 'appends are append-only'); END",
    ],
    "postgresql": [
        "CREATE FUNCTION tracker_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END $$",
        "CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION tracker_append_only()",
        "CREATE TRIGGER appends_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON appends "
        "FOR EACH STATEMENT EXECUTE FUNCTION tracker_append_only()",
    ],
}

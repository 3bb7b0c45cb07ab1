"""The tables, as data. Migrations make the same; a test holds the two together."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    cast,
    event,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeDecorator, TypeEngine

#: The Alembic revision that these tables correspond to.
REVISION = "0004"

#: The table that holds it: of our own name, so that other programs' migrations may live beside.
REVISION_TABLE = "tracker_revision"

#: Earlier revisions, oldest first: what `tracker db upgrade` can start from.
EARLIER: tuple[str, ...] = ("0001", "0002", "0003")


class JSONText(TypeDecorator[str]):
    """JSON kept and returned as the text that it was written as.

    TEXT in SQLite, `json` in PostgreSQL: not `jsonb`, which loses -0.0, key order and the
    text of numbers.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use the engine's own type."""
        if dialect.name == "postgresql":
            from sqlalchemy.dialects import postgresql  # 20 ms, which SQLite need not wait for

            return dialect.type_descriptor(postgresql.JSON())
        return dialect.type_descriptor(Text())

    def bind_processor(self, dialect: Dialect) -> None:  # noqa: ARG002 - SQLAlchemy's signature
        """Pass text as it is, where SQLAlchemy's JSON type would encode it again."""
        return

    def result_processor(self, dialect: Dialect, coltype: object) -> None:  # noqa: ARG002
        """Return text as it is."""
        return

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Select text, so that no driver parses the JSON."""
        return cast(column, Text)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _run_id() -> Column[int]:
    return Column("run_id", Integer, ForeignKey("runs.id"), primary_key=True)


#: One row a run. `id`, `uuid`, `given_name`, `writer` and `head` are its identity; when its
#: writer last told that it lives is in `heartbeat_at`, by the database's clock; every other
#: column is a projection of its events.
runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", Text, nullable=False, unique=True),
    Column("given_name", Text, nullable=False),
    Column("writer", Text, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("last_at", BigInteger),
    Column("name", Text, nullable=False, unique=True),
    Column("experiment", Text),
    Column("status", Text, nullable=False),
    Column("began_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("host", Text),
    Column("pid", BigInteger),
    Column("version", Integer, nullable=False),
    Column("heartbeat_at", BigInteger),
    Column("group_name", Text),  # GROUP is a word of SQL's
    Column("rank", Integer),
    Column("note", Text),
    Column("archived_at", BigInteger),
    Column("calls", Text, nullable=False, server_default="{}"),
    Column("by_hand", Integer, nullable=False, server_default="0"),
    Column("dropped", BigInteger, nullable=False, server_default="0"),
    Column("oldest_version", Integer, nullable=False, server_default="1"),
    Index(None, "experiment"),
    Index(None, "began_at"),
    Index(None, "group_name"),
)

#: One row an event: the truth. Without a foreign key, which would take nearly half of the time
#: of an insert into PostgreSQL: an append writes the run's row in the same transaction.
events = Table(
    "events",
    metadata,
    Column("run_id", Integer, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("call", Integer),
    Column("epoch", BigInteger),
    Column("batch", BigInteger),
    Column("logs", JSONText, nullable=False),
    sqlite_with_rowid=False,
)

#: Epoch-level reads of a million-event run use this one: 0.5 ms instead of 73.
COARSE = "ix_events_coarse"
_coarse = Index(COARSE, events.c.run_id, events.c.seq, sqlite_where=events.c.batch.is_(None))


@event.listens_for(events, "before_create")
def _make_coarse_partial(_table: Table, connection: Connection, **_: Any) -> None:
    # An option of PostgreSQL's above would load its dialect for SQLite, too: 20 ms.
    if connection.dialect.name == "postgresql":
        _coarse.dialect_options["postgresql"]["where"] = events.c.batch.is_(None)


#: One row a batch of events that was appended: event version and hash chain. `marks` tells which
#: event of the batch was changed, should its hash not be right any more.
appends = Table(
    "appends",
    metadata,
    _run_id(),
    Column("first_seq", BigInteger, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("marks", LargeBinary),
    sqlite_with_rowid=False,
)

#: Parameters, nested ones with dotted keys; `number` where the value is one.
run_params = Table(
    "run_params",
    metadata,
    _run_id(),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("number", Double),
    Index(None, "key", "number"),
    sqlite_with_rowid=False,
)

run_tags = Table(
    "run_tags",
    metadata,
    _run_id(),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index(None, "key", "value"),
    sqlite_with_rowid=False,
)

#: Last, least, greatest and first value of each metric. SQLite has no NaN: a NULL `last` or
#: `first` is one.
run_metrics = Table(
    "run_metrics",
    metadata,
    _run_id(),
    Column("phase", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("last", Double),
    Column("last_seq", BigInteger, nullable=False),
    Column("last_epoch", BigInteger),
    Column("minimum", Double),
    Column("minimum_seq", BigInteger),
    Column("minimum_epoch", BigInteger),
    Column("maximum", Double),
    Column("maximum_seq", BigInteger),
    Column("maximum_epoch", BigInteger),
    Column("first", Double),
    Column("first_seq", BigInteger),
    Column("first_epoch", BigInteger),
    Index(None, "metric", "last"),
    Index(None, "metric", "minimum"),
    Index(None, "metric", "maximum"),
    sqlite_with_rowid=False,
)

#: Sealed pieces of streams, column by column (see `tracker.columns`): a projection that long runs
#: are read from. `hash` is the SHA-256 of `body`.
chunks = Table(
    "chunks",
    metadata,
    _run_id(),
    Column("first_seq", BigInteger, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    Column("format", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

#: The runs whose history may be deleted from: a row is there within a transaction that prunes or
#: purges, and never committed.
erasures = Table(
    "erasures",
    metadata,
    Column("run_id", Integer, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

#: How far a rebuild that goes on has come: the last run whose projections were made again.
rebuilds = Table(
    "rebuilds",
    metadata,
    Column("began_at", BigInteger, primary_key=True, autoincrement=False),
    Column("reached", Integer, nullable=False),
    sqlite_with_rowid=False,
)

#: Tables whose rows no statement may change, nor remove, but for pruning and purging.
APPEND_ONLY = (events, appends)


def append_only_statements(engine: str) -> list[str]:
    """DDL of the triggers that refuse UPDATE and DELETE (and TRUNCATE) on the history."""
    if engine == "sqlite":
        permitted = "WHEN NOT EXISTS (SELECT 1 FROM erasures WHERE run_id = OLD.run_id) "
        return [
            f"CREATE TRIGGER {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
            f"{permitted if verb == 'DELETE' else ''}"
            f"BEGIN SELECT RAISE(ABORT, '{table.name} are append-only'); END"
            for table in APPEND_ONLY
            for verb in ("UPDATE", "DELETE")
        ]
    function = (
        "CREATE FUNCTION tracker_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN IF TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM erasures) THEN RETURN NULL; END IF; "
        "RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END $$"
    )
    return [
        function,
        *(
            f"CREATE TRIGGER {table.name}_append_only "
            f"BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION tracker_append_only()"
            for table in APPEND_ONLY
        ),
    ]

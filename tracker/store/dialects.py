"""What differs between engines: connecting, beginning a transaction, bulk inserts."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from tracker.event import Record, rows_of, text_of

#: `process`: committed events survive a killed process; `power`: a power cut too (SQLite).
Durability = Literal["process", "power"]

#: Execution option of a SQLite connection: how its transaction begins.
BEGIN = "tracker_begin"

_BUSY_TIMEOUT_MS = 30_000
#: Of SQLite's machine, between two looks at the clock: some tenths of a millisecond.
_INSTRUCTIONS = 20_000
_CONNECT_TIMEOUT_S = 5


class StoreDialect(Protocol):
    """One engine."""

    name: str
    #: Execution options of a connection that reads all of one moment.
    snapshot: ClassVar[dict[str, Any]]

    def engine(self, url: URL) -> Engine:
        """A SQLAlchemy engine whose connections are set up."""

    def insert_events(self, connection: Connection, run_id: int, records: Sequence[Record]) -> None:
        """Insert events in bulk."""


class _HintedCompiler(SQLiteCompiler):
    """Lets hints of a table into the text, which SQLAlchemy leaves out for SQLite."""

    def get_from_hint_text(self, _table: Any, text: str | None) -> str | None:
        return text


class SQLiteDialect:
    """SQLite: WAL, BEGIN IMMEDIATE for writers, `executemany` of tuples."""

    name = "sqlite"
    # What any of its transactions does.
    snapshot: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, durability: Durability = "process", reading_for: float | None = None
    ) -> None:
        self._synchronous = "FULL" if durability == "power" else "NORMAL"
        self._reading_for = reading_for

    def engine(self, url: URL) -> Engine:
        """See `StoreDialect.engine`."""
        engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000})
        engine.dialect.statement_compiler = _HintedCompiler
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "checkout", _refuse_replaced_file)
        event.listen(engine, "begin", _begin_sqlite)
        if self._reading_for is not None:
            event.listen(engine, "begin", self._limit)
        return engine

    def insert_events(self, connection: Connection, run_id: int, records: Sequence[Record]) -> None:
        """See `StoreDialect.insert_events`."""
        connection.exec_driver_sql(
            "INSERT INTO events (run_id, seq, at, kind, attempt, call, epoch, batch, logs) "
            # The id in the text saves making longer rows.
            f"VALUES ({int(run_id)}, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows_of(records),
        )

    def _connected(self, dbapi: Any, entry: ConnectionPoolEntry) -> None:
        dbapi.isolation_level = None  # transactions begin where `_begin_sqlite` says
        cursor = dbapi.cursor()
        # Of a new file: twice SQLite's own saves 6 % of an insert.
        cursor.execute("PRAGMA page_size = 8192")
        cursor.execute(f"PRAGMA synchronous = {self._synchronous}")
        cursor.execute("PRAGMA foreign_keys = ON")
        if self._reading_for is not None:
            cursor.execute("PRAGMA query_only = ON")
        (_, _, path), *_ = cursor.execute("PRAGMA database_list").fetchall()
        cursor.close()
        entry.info["file"] = (path, _identity(path))

    def _limit(self, connection: Connection) -> None:
        """Give the transaction up when its time is over."""
        end = time.monotonic() + (self._reading_for or 0.0)
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: time.monotonic() > end, _INSTRUCTIONS)


class PostgreSQLDialect:
    """PostgreSQL through psycopg 3; also engines that speak its protocol."""

    name = "postgresql"
    snapshot: ClassVar[dict[str, Any]] = {"isolation_level": "REPEATABLE READ"}

    def __init__(self, reading_for: float | None = None) -> None:
        self._reading_for = reading_for

    def engine(self, url: URL) -> Engine:
        """See `StoreDialect.engine`."""
        defaults = {
            "connect_timeout": str(_CONNECT_TIMEOUT_S),
            "application_name": "tracker",
            # A server that vanished without a word is noticed within half a minute.
            "keepalives_idle": "10",
            "keepalives_interval": "5",
            "keepalives_count": "3",
            "tcp_user_timeout": "30000",
        }
        wanted = {key: value for key, value in defaults.items() if key not in url.query}
        # Server-side prepared statements break behind transaction-mode poolers.
        engine = create_engine(url, connect_args={**wanted, "prepare_threshold": None})
        if self._reading_for is not None:
            event.listen(engine, "begin", self._limit)
        return engine

    def insert_events(self, connection: Connection, run_id: int, records: Sequence[Record]) -> None:
        """See `StoreDialect.insert_events`: one parameter, so one round trip for any number."""
        batch = text_of(records).decode()
        connection.execute(_INSERT_POSTGRESQL, {"run_id": run_id, "batch": batch})

    def _limit(self, connection: Connection) -> None:
        """Have the server refuse what writes, and give up what takes too long."""
        # In the transaction: settings of a session would stay behind in a pooler.
        limit = round((self._reading_for or 0.0) * 1000)
        connection.exec_driver_sql(
            f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = {limit}"
        )


# Taken apart as jsonb, which is parsed once for all fields. Logs are strings in it, so their
# text stays what it is.
_INSERT_POSTGRESQL = text(
    "INSERT INTO events (run_id, seq, at, kind, attempt, call, epoch, batch, logs) "
    "SELECT :run_id, CAST(one->0 AS bigint), CAST(one->1 AS bigint), one->>2, "
    "CAST(one->3 AS integer), CAST(one->>4 AS integer), CAST(one->>5 AS bigint), "
    "CAST(one->>6 AS bigint), CAST(one->>7 AS json) "
    "FROM jsonb_array_elements(CAST(:batch AS jsonb)) AS one"
)


def store_dialect(
    url: URL, durability: Durability = "process", reading_for: float | None = None
) -> StoreDialect | None:
    """The dialect of a URL's engine, or None for an engine that is not supported.

    Args:
        url: The URL.
        durability: What commits survive.
        reading_for: Only reads are let through, and a transaction (SQLite) or statement
            (PostgreSQL) is given up after so many seconds. None: writes, too, and no limit.
    """
    match url.get_backend_name():
        case "sqlite":
            return SQLiteDialect(durability, reading_for)
        case "postgresql":
            return PostgreSQLDialect(reading_for)
    return None


def _refuse_replaced_file(_dbapi: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
    """Have the pool connect again when a backup was put in the place of the open file."""
    path, identity = entry.info["file"]
    if _identity(path) != identity:
        raise DisconnectionError


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - 1 µs, at each transaction
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins as a reader and then writes may find the file changed, and
    # fails at once where BEGIN IMMEDIATE would have waited its turn.
    begin = connection.get_execution_options().get(BEGIN, "BEGIN")
    if begin:
        connection.exec_driver_sql(begin)

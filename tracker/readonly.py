"""SQL of the user's own, which can only read: the database itself sees to that."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from contextlib import closing, suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd

from tracker.errors import InvalidArgument, InvalidQuery, QueryTimeout, StoreUnreachable
from tracker.frames import objects_of
from tracker.location import sqlite_path
from tracker.masking import mask_url
from tracker.query import Store, opened_store
from tracker.store.sql import SqlStore

_READING = ("SELECT", "WITH", "VALUES", "TABLE")
_CURE = (
    "This is for reading: one SELECT, WITH … SELECT or VALUES. To change what is stated of runs "
    "there are `tracker runs tag`, `note`, `rename`, `archive`, `prune` and `purge`."
)
_BEFORE = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"}
)
_TABLE_FUNCTIONS = ("json_each", "json_tree", *(f"pragma_{name}" for name in sorted(_PRAGMAS)))
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer"})
#: Instructions of SQLite between two looks at the clock, which cost a query of many rows 5 %.
_INSTRUCTIONS = 10_000
_BUSY_TIMEOUT_S = 5
#: How long a query that was interrupted may take to end, before it is left to itself.
_GRACE_S = 0.2
#: Bytes of one value, or row. Logs have no bound of their own (`outputs="full"`, texts): less than
#: a great array of outputs takes would make its run unreadable.
_LONGEST = 64 * 2**20
#: Greater integers are no doubles.
_EXACT = 2**53

_WRITES = "25006"  # read_only_sql_transaction
_CANCELLED = "57014"  # query_canceled


class _Answer(NamedTuple):
    """What a database answered."""

    names: list[str]
    rows: list[Sequence[Any]]


def sql(
    query: str, *, limit: int | None = None, timeout: float = 60.0, store: Store = None
) -> pd.DataFrame:
    """The answer to a SQL query, which cannot change anything.

    SQLite's file is opened read-only, with an authorizer that lets nothing but reads pass. In
    PostgreSQL the query is a cursor of a read-only transaction; what else its functions may do is
    a matter of the role's rights, so give readers a role that is no superuser.

    Args:
        query: One SELECT, WITH … SELECT or VALUES, in the SQL of the store's engine.
        limit: How many rows at the most.
        timeout: After how many seconds the query is given up. SQLite is interrupted between two
            rows; what it does in one row (`instr` of two texts of megabytes) goes on in a thread
            of its own until that is done, or the process ends.
        store: The store.

    Returns:
        A column for each of the query, with `_2` and so on after names that it has before.
        Integers are `Int64`, numbers `float64`, texts `string`, times `datetime64[us, UTC]`;
        bytes, columns of mixed values, and of numbers with integers beyond 2**53, are objects. The
        frame's `attrs["more"]` tells whether `limit` cut rows off.

    Raises:
        InvalidQuery: It is no such query, it would write, or the database does not accept it.
        QueryTimeout: It took longer than `timeout`.
        InvalidArgument: `limit` or `timeout` is not positive.
        TrackerError: The store cannot be read.
    """
    if limit is not None and limit < 1:
        raise InvalidArgument(f"limit must be 1 or more. Received: {limit}.")
    if not 0 < timeout <= 86_400:
        raise InvalidArgument(f"timeout must be up to 86400 seconds. Received: {timeout}.")
    _check_reading(query)
    count = None if limit is None else limit + 1
    with opened_store(store) as opened:
        if opened.url.startswith("sqlite"):
            answer = _from_sqlite(opened, query, count, timeout)
        else:
            answer = _from_postgresql(opened, query, count, timeout)
    frame = _frame(answer.names, answer.rows[:limit])
    frame.attrs["more"] = limit is not None and len(answer.rows) > limit
    return frame


def _check_reading(query: str) -> None:
    """Say early, and in our words, what the database would refuse.

    Raises:
        InvalidQuery: It does not begin as a query does.
    """
    start = _BEFORE.match(query)
    word = re.match(r"\w*", query[start.end() if start else 0 :])
    first = word[0].upper() if word else ""
    if "\0" in query:
        raise InvalidQuery("SQL has no characters of code 0.")
    if first not in _READING:
        raise InvalidQuery(f"SQL that begins with {first or 'nothing'!r} is not run. {_CURE}")


def _from_sqlite(store: SqlStore, query: str, count: int | None, timeout: float) -> _Answer:
    path = sqlite_path(store.url)
    if path is None:
        raise InvalidArgument("SQL is for stores in files, or on PostgreSQL.")
    deadline = time.monotonic() + timeout
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode=ro",
            uri=True,
            timeout=min(timeout, _BUSY_TIMEOUT_S),
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise StoreUnreachable(
            f"The store {mask_url(store.url)} cannot be opened for reading: {error}."
        ) from error
    answer: Future[_Answer] = Future()

    def work() -> None:
        try:
            with closing(connection):
                found = _asked(connection, query, count, deadline)
        except BaseException as error:  # noqa: BLE001 - it is told to the one that waits
            answer.set_exception(error)
        else:
            answer.set_result(found)

    # SQLite can be interrupted between two rows only, and one call of a function may take hours.
    threading.Thread(target=work, name="tracker-sql", daemon=True).start()
    try:
        wait([answer], timeout)
    finally:  # Ctrl-C ends it, too
        if not answer.done():
            with suppress(sqlite3.ProgrammingError):  # closed: it has just ended by itself
                connection.interrupt()
    wait([answer], _GRACE_S)
    if not answer.done():
        raise _too_slow(timeout)
    try:
        return answer.result()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _sqlite_mistake(error, store, timeout) from error


def _asked(
    connection: sqlite3.Connection, query: str, count: int | None, deadline: float
) -> _Answer:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    # SQLite declares these when first used, which to the authorizer looks like writing.
    for name in _TABLE_FUNCTIONS:
        connection.execute(f"SELECT 1 FROM {name}('[]') LIMIT 0")
    connection.set_authorizer(_allowed)
    # An interrupt reaches statements that run; one that begins after it sees the clock.
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _INSTRUCTIONS)
    cursor = connection.execute(query)
    rows = cursor.fetchall() if count is None else cursor.fetchmany(count)
    return _Answer([column[0] for column in cursor.description], rows)


def _sqlite_mistake(error: Exception, store: SqlStore, timeout: float) -> Exception:
    match getattr(error, "sqlite_errorname", "").split("_")[1:2]:
        case ["INTERRUPT"]:
            return _too_slow(timeout)
        case ["AUTH"] | ["READONLY"]:
            return InvalidQuery(f"The database refuses the query: {error}. {_CURE}")
        case ["CANTOPEN" | "BUSY" | "LOCKED" | "IOERR" | "NOTADB" | "CORRUPT"]:
            return StoreUnreachable(f"The store {mask_url(store.url)} cannot be read: {error}.")
    if "not authorized" in str(error):  # from inside of a function, without its code
        return InvalidQuery(f"The database refuses the query: {error}. {_CURE}")
    if "one statement" in str(error):
        return InvalidQuery(f"There is more than one statement. {_CURE}")
    return InvalidQuery(f"The database does not accept the query: {error}.")


def _allowed(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """SQLite's authorizer: what it does not know is denied."""
    reads = action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE)
    function = action == sqlite3.SQLITE_FUNCTION and second not in _FORBIDDEN_FUNCTIONS
    pragma = action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS
    return sqlite3.SQLITE_OK if reads or function or pragma else sqlite3.SQLITE_DENY


def _from_postgresql(store: SqlStore, query: str, count: int | None, timeout: float) -> _Answer:
    import psycopg
    from psycopg.types.string import TextLoader

    with store.reading() as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(timeout * 1000) or 1}")
        # After the first query a transaction cannot be made one that writes.
        connection.exec_driver_sql("SELECT 1")
        driver: Any = connection.connection.driver_connection
        try:
            # A cursor is declared by the extended protocol, which takes one statement only.
            with driver.cursor(name="tracker_sql") as cursor:
                for kind in ("json", "jsonb"):  # as SQLite gives it, and exactly as it was logged
                    cursor.adapters.register_loader(kind, TextLoader)
                cursor.execute(query)
                rows = cursor.fetchall() if count is None else cursor.fetchmany(count)
                names = [column.name for column in cursor.description]
            return _Answer(names, rows)
        except psycopg.Error as error:
            raise _postgresql_mistake(error, store, timeout) from error
        finally:
            # Whatever a function has set for the session goes with the transaction.
            driver.rollback()


def _postgresql_mistake(error: Any, store: SqlStore, timeout: float) -> Exception:
    message = mask_url(str(error).strip() or type(error).__name__)
    state = error.sqlstate or ""
    if state == _CANCELLED:
        return _too_slow(timeout)
    if not state or state.startswith(("08", "57P")):
        return StoreUnreachable(f"The store {mask_url(store.url)} cannot be reached: {message}.")
    if "multiple commands" in message:
        return InvalidQuery(f"There is more than one statement. {_CURE}")
    if state == _WRITES or "data-modifying" in message:
        return InvalidQuery(f"The database refuses the query: {message}. {_CURE}")
    return InvalidQuery(f"The database does not accept the query: {message}")


def _too_slow(timeout: float) -> QueryTimeout:
    return QueryTimeout(
        f"The query was given up after {timeout:g} s. Ask for less, or give it longer: --timeout."
    )


def _frame(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    frame: dict[str, Any] = {}
    for name, values in zip(names, columns, strict=True):
        free, number = name, 1
        while free in frame:
            number += 1
            free = f"{name}_{number}"
        frame[free] = _column(values)
    return pd.DataFrame(frame, index=range(len(rows)))


def _column(values: Sequence[Any]) -> Any:
    """Values of a query as an array of the type that they have in common."""
    values = [_plain(value) for value in values]
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pd.array(values, dtype="boolean")
    if kinds == {int} and all(-(2**63) <= (value or 0) < 2**63 for value in values):
        return pd.array(values, dtype="Int64")
    exact = all(type(value) is not int or abs(value) <= _EXACT for value in values)
    if kinds and kinds <= {int, float} and exact:
        return np.array([np.nan if value is None else value for value in values], dtype="float64")
    if kinds == {str}:
        return pd.array(values, dtype="string")
    if kinds == {datetime}:
        return pd.to_datetime(pd.Series(values), utc=True).astype("datetime64[us, UTC]").array
    return objects_of(values)


def _plain(value: Any) -> Any:
    """A value that Python, JSON and a table can have."""
    if value is None or isinstance(value, bool | int | float | str | bytes | datetime):
        return value
    if isinstance(value, Decimal):  # what PostgreSQL sums integers to, among others
        return int(value) if value.is_finite() and value == value.to_integral() else float(value)
    return str(value)

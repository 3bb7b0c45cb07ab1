"""From a URL to an open store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import URL, make_url

from tracker import machine
from tracker.errors import InvalidStoreURL, StoreBusy, StoreReadOnly, StoreUnreachable
from tracker.location import default_store, normalize, sqlite_path, store_url
from tracker.masking import mask_url
from tracker.store import migrate
from tracker.store.dialects import Durability, StoreDialect, store_dialect
from tracker.store.faults import translated
from tracker.store.rebuilding import Progress, interrupted, rebuild
from tracker.store.schema import EARLIER
from tracker.store.sql import SqlStore

_log = logging.getLogger("tracker")
_warned: set[str] = set()

_WAL_TRIES = 100
_WAL_PAUSE_S = 0.05


def open_store(
    url: str | None = None,
    *,
    create: bool = False,
    durability: Durability = "process",
    reading_for: float | None = None,
) -> SqlStore:
    """Open a store whose tables are of this program's revision.

    An empty SQLite store is created on first use: by a writer (`create`) wherever it is,
    by a reader only where it is the user's default one. Stores of other engines are made by
    `tracker db upgrade`.

    Args:
        url: The store's URL; default: see `tracker.location.store_url`.
        create: The caller is going to write.
        durability: What committed events survive: a killed process, or a power cut too.
        reading_for: Refuse whatever writes, and give a read up after so many seconds, with
            `QueryTimeout`.

    Raises:
        InvalidStoreURL: The URL cannot be understood, or its engine is not supported.
        DriverMissing: The engine's driver is not installed.
        StoreUnreachable: There is no database there, or it does not let us in.
        SchemaMismatch: Its tables are missing, too old or too new.
    """
    full = normalize(url) if url else store_url()
    create = create or (full == default_store() and reading_for is None)
    store = connect_store(full, create=create, durability=durability, reading_for=reading_for)
    try:
        if create and sqlite_path(full):
            _make_tables(store)
        with store.reading() as connection:
            migrate.check(connection, full)
    except BaseException:
        store.close()
        raise
    return store


def connect_store(
    url: str,
    *,
    create: bool = False,
    durability: Durability = "process",
    reading_for: float | None = None,
) -> SqlStore:
    """A store at a full URL, whatever the revision of its tables.

    With `create` a SQLite file is made where there is none, without tables.

    Raises:
        InvalidStoreURL, DriverMissing, StoreUnreachable: As `open_store`.
    """
    parsed, dialect = _parse(url, durability, reading_for)
    path = sqlite_path(url)
    if path and not create and not path.exists():
        raise StoreUnreachable(
            f"There is no store {mask_url(url)}: the file does not exist. It is created by the "
            "first run that is recorded there; --store or TRACKER_STORE choose another one."
        )
    store = SqlStore(parsed, dialect)
    if path and create:
        try:
            _make_file(store, path)
        except BaseException:
            store.close()
            raise
    return store


def check_url(url: str) -> None:
    """Refuse a full URL that could never be opened, without connecting.

    Raises:
        InvalidStoreURL: It cannot be understood, or its engine is not supported.
        DriverMissing: The engine's driver is not installed.
    """
    SqlStore(*_parse(url, "process"))


def upgrade_store(
    store: SqlStore, progress: Callable[[Progress], None] | None = None
) -> tuple[str | None, str | None]:
    """Bring a store's tables to this program's revision; returns it before and after.

    Projections that a migration could not make are made from the events.

    Args:
        store: The store.
        progress: See `tracker.store.rebuilding.rebuild`.

    Raises:
        SchemaTooNew: They are of one that this program does not know.
    """
    with store.writing() as connection:
        before = migrate.revision(connection)
        if before not in (None, *EARLIER):
            migrate.check(connection, store.url)
        migrate.upgrade(connection)
        after = migrate.revision(connection)
    if interrupted(store) is not None:
        rebuild(store, progress=progress)
    return before, after


def _parse(
    url: str, durability: Durability, reading_for: float | None = None
) -> tuple[URL, StoreDialect]:
    with translated(url):
        try:
            parsed = make_url(url)
        except ValueError:  # from int(port)
            raise InvalidStoreURL(f"The port of {mask_url(url)} is not a number.") from None
        dialect = store_dialect(parsed, durability, reading_for)
    if "@" in (parsed.host or ""):  # a part of the password, which the driver would print
        raise InvalidStoreURL(
            f"The user or the password of {mask_url(url)} has an '@'. Write it as %40."
        )
    if dialect is None:
        raise InvalidStoreURL(
            f"{parsed.get_backend_name()!r} is not an engine that holds stores. Stores are "
            "sqlite:///path/to/runs.db or postgresql://user:password@host/database."
        )
    return parsed, dialect


def _make_file(store: SqlStore, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreReadOnly(
            f"The folder {path.parent} of the store cannot be made: {error.strerror or error}. "
            "Choose another store with --store or TRACKER_STORE."
        ) from error
    shared = machine.shared_file_system(path)
    if shared:
        _avoid_wal(store, shared)
        return
    with store.reading() as connection:
        if inspect(connection).get_table_names():
            return
    _set_journal_mode(store, "WAL")


def _avoid_wal(store: SqlStore, file_system: str) -> None:
    """Keep SQLite to its rollback journal where processes do not share memory through files."""
    if store.url not in _warned:
        _warned.add(store.url)
        _log.warning(
            "The store %s lies on a shared file system (%s), where SQLite's WAL is not safe. It "
            "is used without, which is slower, and as safe as that file system's locks. Better: a "
            "folder on a local disk, or PostgreSQL if several machines write.",
            mask_url(store.url),
            file_system,
        )
    _set_journal_mode(store, "DELETE")


def _make_tables(store: SqlStore) -> None:
    """Make the tables, where there are none of anybody's."""
    with store.reading() as connection:
        if inspect(connection).get_table_names():
            return
    with store.writing() as connection:  # others that make them at the same time wait here
        if not inspect(connection).get_table_names():
            migrate.upgrade(connection)


def _set_journal_mode(store: SqlStore, mode: str) -> None:
    # Changing the journal mode does not wait for other connections, whatever the timeout.
    for remaining in reversed(range(_WAL_TRIES)):
        try:
            with store.without_transaction() as connection:
                connection.execute(text(f"PRAGMA journal_mode = {mode}"))
        except StoreBusy:
            if not remaining:
                raise
            time.sleep(_WAL_PAUSE_S)
        else:
            return

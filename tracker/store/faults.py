"""Driver errors → ours, in one place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import exc

from tracker.errors import (
    DriverMissing,
    InvalidStoreURL,
    QueryTimeout,
    StoreBusy,
    StoreCorrupt,
    StoreFailure,
    StoreFull,
    StoreRaced,
    StoreReadOnly,
    StoreUnreachable,
    TrackerError,
)
from tracker.location import sqlite_path
from tracker.masking import mask_url

#: Extras that bring an engine's driver.
_EXTRAS = {"postgresql": "postgres"}

# SQLite's primary result codes (https://sqlite.org/rescode.html).
_SQLITE = {
    5: StoreBusy,  # BUSY
    6: StoreBusy,  # LOCKED
    8: StoreReadOnly,  # READONLY
    9: QueryTimeout,  # INTERRUPT
    10: StoreFull,  # IOERR: what a full quota looks like under WAL
    11: StoreCorrupt,  # CORRUPT
    13: StoreFull,  # FULL
    14: StoreUnreachable,  # CANTOPEN
    26: StoreCorrupt,  # NOTADB
}

# SQLSTATEs after which the same transaction may succeed when tried again: classes, or whole.
_UNREACHABLE = ("08", "57P01", "57P02", "57P03", "53300", "25006", "28")
_BUSY = ("40001", "40P01", "40003", "55P03")
_FULL = ("53100", "53200")
_GIVEN_UP = ("57014",)

#: What is said of the store, and the cure.
_MESSAGES = {
    StoreRaced: ("was changed by another writer meanwhile", "Try again."),
    StoreBusy: ("is busy", "Other writers hold it; try again."),
    StoreReadOnly: (
        "is read-only",
        "Give this user the right to write it (the folder too, for SQLite), or choose another "
        "store with --store or TRACKER_STORE.",
    ),
    StoreFull: (
        "is full",
        "Free some space; what is not stored yet is kept in the journal.",
    ),
    StoreCorrupt: (
        "is damaged or not a database",
        "Restore it from a backup, or choose another store with --store or TRACKER_STORE. The "
        "file was left as it is.",
    ),
    StoreUnreachable: (
        "cannot be reached",
        "Check that it is up and that the URL, the user and the password are right.",
    ),
    QueryTimeout: ("gave a query up", "Ask for less."),
    StoreFailure: ("failed", "This is a fault of the tracker or of the database's set-up."),
}


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise our errors in place of SQLAlchemy's and the driver's.

    Args:
        url: The store's URL, for the message; its password is masked.
    """
    try:
        yield
    except exc.NoSuchModuleError:
        engine = url.partition("://")[0]
        raise InvalidStoreURL(
            f"There is no engine {engine!r}. Stores are sqlite:///path or "
            "postgresql://user:password@host/database."
        ) from None
    except exc.ArgumentError:
        raise InvalidStoreURL(
            f"{mask_url(url)!r} is not a store URL. Expected sqlite:///path/to/runs.db or "
            "postgresql://user:password@host/database."
        ) from None
    except exc.DBAPIError as error:
        raise translate(error, url) from error
    except exc.TimeoutError as error:  # the pool's
        raise StoreBusy(f"No connection to {mask_url(url)} came free in time.") from error
    except ModuleNotFoundError as error:
        engine = url.partition("+")[0].partition("://")[0]
        extra = _EXTRAS.get(engine)
        cure = f"pip install 'keras-event-tracker[{extra}]'" if extra else f"install {error.name}"
        raise DriverMissing(
            f"The driver for {engine} ({error.name}) is not installed. Do: {cure}",
            name=error.name,
        ) from None


def translate(error: exc.DBAPIError, url: str) -> TrackerError:
    """Our error for a driver's."""
    kind = _kind(error)
    words = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
    verb, cure = _MESSAGES[kind]
    if kind is StoreUnreachable and sqlite_path(url):
        cure = "Check that the folder exists and that this user may write there."
    return kind(f"The store {mask_url(url)} {verb}: {mask_url(words[0])}. {cure}")


def _kind(error: exc.DBAPIError) -> type[TrackerError]:
    if error.connection_invalidated:
        return StoreUnreachable
    if isinstance(error, exc.IntegrityError):
        return StoreRaced
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return _SQLITE.get(code & 0xFF, StoreFailure)
    if "Could not decode to UTF-8" in str(error.orig):  # sqlite3's, without a code
        return StoreCorrupt
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # Drivers give no SQLSTATE where the server said nothing, or was never reached.
        lost = isinstance(error, exc.OperationalError | exc.InterfaceError)
        return StoreUnreachable if lost else StoreFailure
    for kind, states in (
        (StoreUnreachable, _UNREACHABLE),
        (StoreBusy, _BUSY),
        (StoreFull, _FULL),
        (QueryTimeout, _GIVEN_UP),
    ):
        if state.startswith(states):
            return kind
    return StoreReadOnly if state == "42501" else StoreFailure

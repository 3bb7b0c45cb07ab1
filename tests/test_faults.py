"""Which of a driver's errors become which of ours."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import exc

from tracker import errors
from tracker.store.faults import translate


class SqliteFault(sqlite3.OperationalError):
    """An error of the driver with a result code."""

    def __init__(self, code: int) -> None:
        super().__init__("words of the driver")
        self.sqlite_errorcode = code


class ServerFault(Exception):
    """An error of psycopg with a SQLSTATE, or without."""

    def __init__(self, state: str | None) -> None:
        super().__init__("words of the server\nand more of them")
        self.sqlstate = state


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_BUSY, errors.StoreBusy),
        (sqlite3.SQLITE_BUSY | (2 << 8), errors.StoreBusy),
        (sqlite3.SQLITE_LOCKED, errors.StoreBusy),
        (sqlite3.SQLITE_READONLY, errors.StoreReadOnly),
        (sqlite3.SQLITE_FULL, errors.StoreFull),
        (sqlite3.SQLITE_IOERR, errors.StoreFull),
        (sqlite3.SQLITE_CORRUPT, errors.StoreCorrupt),
        (sqlite3.SQLITE_NOTADB, errors.StoreCorrupt),
        (sqlite3.SQLITE_CANTOPEN, errors.StoreUnreachable),
        (sqlite3.SQLITE_ERROR, errors.StoreFailure),
    ],
)
def test_sqlite_result_codes(code: int, expected: type[errors.TrackerError]) -> None:
    """Primary and extended result codes of SQLite are told apart."""
    error = exc.OperationalError("statement", {}, SqliteFault(code))
    assert type(translate(error, "sqlite:////x.db")) is expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, errors.StoreUnreachable),
        ("08006", errors.StoreUnreachable),
        ("57P01", errors.StoreUnreachable),
        ("57P02", errors.StoreUnreachable),
        ("57P03", errors.StoreUnreachable),
        ("53300", errors.StoreUnreachable),
        ("25006", errors.StoreUnreachable),
        ("40001", errors.StoreBusy),
        ("40P01", errors.StoreBusy),
        ("40003", errors.StoreBusy),
        ("53100", errors.StoreFull),
        ("42501", errors.StoreReadOnly),
        ("42P01", errors.StoreFailure),
        ("22P02", errors.StoreFailure),
    ],
)
def test_sqlstates(state: str | None, expected: type[errors.TrackerError]) -> None:
    """SQLSTATEs after which the same batch is sent again are unreachable or busy stores."""
    error = exc.OperationalError("statement", {}, ServerFault(state))
    found = translate(error, "postgresql+psycopg://me:secret@h/d")
    assert type(found) is expected
    assert "words of the server" in str(found)
    assert "and more" not in str(found)
    assert "secret" not in str(found)
    assert isinstance(found, errors.StoreUnreachable) == (
        expected in {errors.StoreUnreachable, errors.StoreBusy}
    )


def test_lost_races_and_lost_connections() -> None:
    """A unique violation is a lost race; an invalidated connection is a lost one."""
    raced = exc.IntegrityError("statement", {}, ServerFault("23505"))
    assert type(translate(raced, "x://")) is errors.StoreRaced
    lost = exc.DBAPIError("statement", {}, ServerFault("XX000"), connection_invalidated=True)
    assert type(translate(lost, "x://")) is errors.StoreUnreachable

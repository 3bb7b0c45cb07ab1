"""Migrations and `schema.py` agree, on both engines."""

from __future__ import annotations

import contextlib
import math
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tracker.migrations
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from tests.postgres import PostgresServer, installations, running_server
from tests.streams import fit_stream, identity
from tracker import query
from tracker.errors import SchemaMissing, SchemaTooNew, SchemaTooOld
from tracker.store import migrate, schema
from tracker.store.opening import connect_store, open_store, upgrade_store
from tracker.store.sql import SqlStore

FROZEN = Path(__file__).parent / "frozen"

_CATALOG = {
    "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default "
    "FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "constraints": "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace ORDER BY 1",
    "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    "functions": "SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """A database without any tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/empty.db"
        sqlite3.connect(tmp_path / "empty.db").close()
        (tmp_path / "empty.db").touch()
    else:
        url = request.getfixturevalue("postgres_url")
    store = connect_store(url)
    yield store
    store.close()


def catalog(connection: Connection) -> dict[str, list[str]]:
    """Everything that the database says of its tables, but for Alembic's own."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2"))
        found = [re.sub(r"\s+", " ", f"{row[0]} {row[1]} {row[2]}") for row in rows]
    else:
        found = [
            f"{part} {tuple(row)}"
            for part, statement in _CATALOG.items()
            for row in connection.execute(text(statement))
        ]
    return {"all": [line for line in found if schema.REVISION_TABLE not in line]}


def test_migrated_tables_are_those_of_the_schema(empty: SqlStore) -> None:
    """Alembic finds no difference, and the catalog is that of tables made from `schema.py`."""
    with empty.writing() as connection:
        for table in schema.metadata.sorted_tables:
            table.create(connection)
        for statement in schema.append_only_statements(connection.dialect.name):
            connection.execute(text(statement))
        made = catalog(connection)
        connection.rollback()
    upgrade_store(empty)
    with empty.reading() as connection:
        migrated = catalog(connection)
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_object": lambda _object, name, *_: name != schema.REVISION_TABLE,
            },
        )
        assert compare_metadata(context, schema.metadata) == []
    normalised = {"all": [line.replace('"', "") for line in made["all"]]}
    assert {"all": [line.replace('"', "") for line in migrated["all"]]} == normalised
    assert len(migrated["all"]) > 15


def test_down_and_up_again(empty: SqlStore) -> None:
    """Downgrading removes everything of ours; upgrading again gives the same tables."""
    assert upgrade_store(empty) == (None, schema.REVISION)
    with empty.reading() as connection:
        first = catalog(connection)
    with empty.writing() as connection:
        migrate.downgrade(connection, "base")
        assert catalog(connection) == {"all": []}
    assert upgrade_store(empty) == (None, schema.REVISION)
    with empty.reading() as connection:
        assert catalog(connection) == first
    assert upgrade_store(empty) == (schema.REVISION, schema.REVISION)


def test_a_migration_happens_whole_or_not_at_all(empty: SqlStore) -> None:
    """A migration that fails after its last statement leaves no table behind."""
    with contextlib.suppress(RuntimeError), empty.writing() as connection:
        migrate.upgrade(connection)
        raise RuntimeError
    with empty.reading() as connection:
        assert inspect(connection).get_table_names() == []


def test_the_program_knows_every_revision() -> None:
    """`REVISION` is Alembic's head, and `EARLIER` the way to it."""
    config = Config()
    (folder,) = tracker.migrations.__path__
    config.set_main_option("script_location", str(folder))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == schema.REVISION
    chain = [script.revision for script in scripts.walk_revisions()]
    assert [*schema.EARLIER, schema.REVISION] == chain[::-1]


def test_other_programs_migrations_are_left_alone(empty: SqlStore) -> None:
    """Another Alembic user's version table in the same database is not ours."""
    with empty.writing() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
    upgrade_store(empty)
    with empty.reading() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
        assert list(found) == ["theirs"]


def test_wrong_revisions_are_refused(empty: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, old and new tables are refused, each with what to do; nothing is changed."""
    with pytest.raises(SchemaMissing, match=r"tracker db upgrade --store '[^']*"):
        open_store(empty.url)
    upgrade_store(empty)
    with empty.writing() as connection:
        connection.execute(text(f"UPDATE {schema.REVISION_TABLE} SET version_num = '0000'"))
    with pytest.raises(SchemaTooNew, match="pip install --upgrade"):
        open_store(empty.url, create=True)
    monkeypatch.setattr(migrate, "EARLIER", ("0000",))
    with pytest.raises(SchemaTooOld, match="tracker db upgrade"):
        open_store(empty.url, create=True)


def test_empty_sqlite_stores_are_made_by_writers(tmp_path: Path, home: Path) -> None:
    """A writer makes the tables; a reader only those of the default store."""
    file = tmp_path / "made.db"
    with pytest.raises(Exception, match="does not exist"):
        open_store(str(file))
    assert not file.exists()
    open_store(str(file), create=True).close()
    open_store(str(file)).close()
    assert query.runs().empty
    assert (home / "tracker.db").exists()


def test_somebody_elses_database_is_not_migrated(tmp_path: Path) -> None:
    """A SQLite file with other tables becomes a store only by `tracker db upgrade`."""
    file = tmp_path / "theirs.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(SchemaMissing, match="tracker db upgrade"):
        open_store(str(file), create=True)


def test_processes_that_create_a_store_at_once(tmp_path: Path) -> None:
    """Eight processes that find no store each get the same one."""
    program = (
        "import sys; from tracker.store.opening import open_store;"
        "open_store(sys.argv[1], create=True).close()"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "new.db")], stderr=subprocess.PIPE
        )
        for _ in range(8)
    ]
    errors = [process.communicate()[1].decode() for process in started]
    assert errors == [""] * 8
    open_store(str(tmp_path / "new.db")).close()


def test_a_store_of_revision_1_can_be_read(tmp_path: Path) -> None:
    """The frozen store of the first revision tells today what it was made to tell."""
    file = tmp_path / "frozen.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript((FROZEN / "revision_0001.sql").read_text())
    upgrade_store(connect_store(f"sqlite:///{file}"))
    (run,) = query.latest_runs(store=str(file))
    assert (run.name, run.state.status, run.state.epochs) == ("frozen", "finished", 2)
    assert math.isnan(run.state.metrics["train", "val_loss"].last)
    assert run.state.metrics["train", "val_loss"].minimum == 0.5
    frame = query.events("frozen", logs="dict", store=str(file))
    assert list(frame["seq"]) == list(range(1, run.state.last_seq + 1))
    last = frame[frame["kind"] == "epoch_end"]["logs"].iloc[-1]
    assert last["loss"] == -0.0
    assert math.isnan(last["val_loss"])


def test_postgres_tables_survive_a_restart() -> None:
    """What was committed is there after the server was killed and started again."""
    for installation in installations():
        with running_server(installation) as server:
            store = upgraded(server)
            store.append(identity(), fit_stream(), expected_seq=0)
            server.stop(kill=True)
            server.start()
            store.close()  # its connections are gone
            assert list(store.read(identity().uuid)) == fit_stream()
            store.close()


def upgraded(server: PostgresServer) -> SqlStore:
    """A store in a new database of the server."""
    store = connect_store(server.create_database())
    upgrade_store(store)
    return store

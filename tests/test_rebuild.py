"""Projections are folds: whatever happened to them, the events give them back."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import tracker
from tests.faults.stores import wait_until
from tests.faults.trainer import ROOT, Task, check_content
from tests.streams import Stream, fit_stream, identity
from tests.test_cli import tracker as command
from tests.test_store import sql_store, sqlite_store  # noqa: F401 - fixtures
from tests.test_store_stateful import PROJECTIONS, RUIN
from tracker.logs import decode, encode
from tracker.store import rebuilding, schema
from tracker.store.opening import open_store, upgrade_store
from tracker.store.port import EventStore
from tracker.store.rebuilding import Progress, interrupted, rebuild
from tracker.store.sql import SqlStore


def fill(store: EventStore, runs: int) -> None:
    """Runs of many kinds, some renamed, tagged, pruned and purged."""
    for number in range(1, runs + 1):
        name = f"run-{number % 7}"
        uuid = identity(number=number).uuid
        began, *rest = fit_stream(name=name)
        logs = encode({**decode(began.logs), "uuid": uuid})
        store.append(identity(name, number), [began._replace(logs=logs), *rest], expected_seq=0)
        if number % 3 == 0:
            store.declare(uuid, "tags_changed", {"set": {"n": str(number)}, "removed": ["kind"]})
        if number % 5 == 0:
            store.declare(uuid, "run_renamed", {"name": f"renamed-{number}"})
        if number % 11 == 0:
            store.prune(uuid, {})
        if number % 13 == 0:
            store.purge(uuid, {})


def projections(store: SqlStore) -> dict[str, list[str]]:
    """Every row of every projection."""
    with store.reading() as connection:
        return {
            table: [
                repr(tuple(row))
                for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY {order}"))
            ]
            for table, order in PROJECTIONS.items()
        }


def ruin(store: SqlStore, *statements: str) -> None:
    """Change what only the tracker changes."""
    with store.writing() as connection:
        for statement in statements or RUIN:
            connection.execute(text(statement))


def test_everything_comes_back(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """All projections were lost or wrong; then they are what they were."""
    fill(sql_store, 30)
    live = projections(sql_store)
    ruin(sql_store)
    assert projections(sql_store) != live
    seen: list[Progress] = []
    done = rebuild(sql_store, progress=seen.append)
    assert projections(sql_store) == live
    assert done == seen[-1]
    assert done.runs == 30
    assert done.events == sum(run.state.last_seq for run in sql_store.runs())
    assert interrupted(sql_store) is None


def test_names_that_were_mixed_up(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """Names are unique at every moment, also while they are given back."""
    fill(sql_store, 6)
    live = projections(sql_store)
    ruin(
        sql_store,
        "UPDATE runs SET name = 'x' || id",
        "UPDATE runs SET name = 'run-' || (id % 6 + 1)",
    )
    rebuild(sql_store)
    assert projections(sql_store) == live


def test_runs_without_their_rows(sqlite_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """Of what is not an event, only the writer's token and the seals cannot be made again."""
    fill(sqlite_store, 14)
    before = [(run.uuid, run.name, run.state) for run in sqlite_store.runs()]
    sqlite_store.close()
    path = sqlite_store.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        for trigger in ("events_no_delete", "appends_no_delete"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for table in ("runs", "run_params", "run_tags", "run_metrics", "appends"):
            connection.execute(f"DELETE FROM {table}")
        connection.commit()
    assert sqlite_store.runs() == []
    rebuild(sqlite_store)
    assert [(run.uuid, run.name, run.state) for run in sqlite_store.runs()] == before
    assert tracker.verify(store=sqlite_store).empty


KILLED = """
import os, signal, sys
from tracker.logs import decode, encode
from tracker.store import rebuilding
from tracker.store.opening import open_store
rebuilding._RUNS = 2

def progress(done):
    if done.runs >= 10:
        os.kill(os.getpid(), signal.SIGKILL)

rebuilding.rebuild(open_store(sys.argv[1]), progress=progress)
"""


def test_killed_in_the_middle(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """Readers never see half a run; the next rebuild goes on where the killed one was."""
    fill(sql_store, 30)
    live = projections(sql_store)
    ruin(sql_store, "DELETE FROM run_params", "UPDATE runs SET status = 'ruined'")
    stop = threading.Event()
    half: list[Any] = []

    def read() -> None:
        reader = open_store(sql_store.url)
        while not stop.is_set():
            with reader.snapshot() as connection:
                rows = connection.execute(
                    text(
                        "SELECT status, (SELECT count(*) FROM run_params WHERE run_id = runs.id) "
                        "FROM runs WHERE id % 13 != 0"
                    )
                ).all()
            half.extend(row for row in rows if (row[0] == "ruined") != (row[1] == 0))
        reader.close()

    thread = threading.Thread(target=read)
    thread.start()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, sql_store.url], cwd=ROOT, check=False, capture_output=True
    )
    stop.set()
    thread.join()
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert half == []
    assert interrupted(sql_store) == 10
    assert projections(sql_store) != live
    said = command("rebuild", "--store", sql_store.url).stderr
    assert "Going on after run 10" in said
    assert "20 runs" in said
    assert projections(sql_store) == live


def test_while_a_run_is_training(tmp_path: Path) -> None:
    """A writer goes on appending; what it appends is folded too."""
    url = f"sqlite:///{tmp_path}/runs.db"
    task = Task(store=url, name="live", witness=str(tmp_path / "w"), pace=0.001, batches=1500)
    trainer = task.start()
    task.wait_for(50)
    store = open_store(url, create=True)
    wait_until(lambda: bool(store.runs()))
    while trainer.poll() is None:
        rebuild(store)
    out, _ = trainer.communicate()
    assert trainer.returncode == 0, out
    uuid = store.runs()[0].uuid
    wait_until(lambda: list(store.read(uuid))[-1].kind == "run_ended")
    live = projections(store)
    rebuild(store)
    assert projections(store) == live
    check_content(list(store.read(uuid)))
    assert tracker.verify(store=store).empty
    store.close()


def test_a_writer_that_is_faster(
    sql_store: SqlStore,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that changes between folding and writing is folded again."""
    records = fit_stream()
    sql_store.append(identity(), records[:10], expected_seq=0)
    fold: Callable[..., list[Any]] = rebuilding._fold_next

    def slow(store: SqlStore, reached: int) -> list[Any]:
        folded = fold(store, reached)
        if not reached:
            store.append(identity(), records[10:], expected_seq=10)
        return folded

    monkeypatch.setattr(rebuilding, "_fold_next", slow)
    rebuild(sql_store)
    (run,) = sql_store.runs()
    assert run.state.last_seq == len(records)
    assert run.state.status == "finished"


def test_an_upgrade_makes_what_it_adds(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """After a downgrade and an upgrade, all projections are as before."""
    from tracker.store import migrate

    sql_store.append(identity(), fit_stream(), expected_seq=0)
    live = projections(sql_store)
    with sql_store.writing() as connection:
        migrate.downgrade(connection, "0002")
    assert upgrade_store(sql_store) == ("0002", schema.REVISION)
    assert projections(sql_store) == live


def test_restart(sqlite_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """An interrupted rebuild can be begun anew."""
    fill(sqlite_store, 4)
    ruin(sqlite_store, "INSERT INTO rebuilds VALUES (1, 3)")
    assert rebuild(sqlite_store).runs == 1
    ruin(sqlite_store, "INSERT INTO rebuilds VALUES (1, 3)")
    assert rebuild(sqlite_store, restart=True).runs == 4
    assert "4 runs" in command("rebuild", "--restart", "--store", sqlite_store.url).stderr


def test_a_long_stream_is_cut_in_its_own_way(sqlite_store: SqlStore) -> None:  # noqa: F811
    """However the live one was cut into appends, the fold is the same."""
    stream = Stream()
    stream.add("run_began", {"version": 2, "params": {"a": 1}})
    for attempt in (1, 2, 3):
        if attempt > 1:
            stream.add("run_resumed", {"version": 2, "params": {"a": attempt}}, attempt=attempt)
        stream.add("call_began", {"phase": "train"}, call=1, attempt=attempt)
        for epoch in range(attempt, attempt + 3):
            logs = {"loss": 10.0 * attempt - epoch}
            stream.add("epoch_end", logs, call=1, epoch=epoch, attempt=attempt)
    for seq, record in enumerate(stream.records):
        sqlite_store.append(identity(), [record], expected_seq=seq)
    live = projections(sqlite_store)
    rebuild(sqlite_store)
    assert projections(sqlite_store) == live
    (run,) = sqlite_store.runs()
    assert run.state.epochs == 5
    assert run.state.metrics["train", "loss"].minimum == 9.0

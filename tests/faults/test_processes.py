"""Many processes: forks, writers of one file, writers of one run."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.ledger import Ledger
from tests.faults.stores import deliver_here, made, settled_run, stream_of, wait_until
from tests.faults.trainer import Task, check_content
from tests.postgres import PostgresServer
from tracker.errors import SchemaMissing, StoreUnreachable
from tracker.facts import close_run
from tracker.journal import journals
from tracker.location import journal_folders
from tracker.query import latest_runs, run_of
from tracker.store.opening import open_store
from tracker.store.port import RunIdentity


def test_forks_in_the_middle(tmp_path: Path, ledger: Ledger) -> None:
    """Data loaders that are forked from the trainer, some of which outlive it, change nothing."""
    url = f"sqlite:///{tmp_path}/runs.db"
    pids = tmp_path / "pids"
    action = f"""
import multiprocessing, os, time
if batch in (50, 500, 900):
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    with open({str(pids)!r}, "a") as file:
        print(child, file=file)
if batch == 999:
    os.kill(os.getpid(), 9)
"""
    task = Task(store=url, name="run", witness=str(tmp_path / "w"), pace=0.001, at=-1,
                action=action)  # fmt: skip
    trainer = task.start()
    trainer.wait(120)
    try:
        # The children live, and hold what they inherited; the run is recognised as dead.
        settled_run("run", url, status="crashed")
    finally:
        for pid in pids.read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    assert trainer.stdout is not None
    trainer.stdout.close()
    records = stream_of("run", url)
    check_content(records)
    ledger.add("forks in the middle", records, task.returned())
    assert len(latest_runs(store=url)) == 1


def test_writers_of_one_sqlite_file(tmp_path: Path, ledger: Ledger) -> None:
    """16 trainers write 16 runs to one file at once, while a reader lists."""
    url = f"sqlite:///{tmp_path}/runs.db"
    tasks = [
        Task(
            store=url,
            name=f"run-{number}",
            witness=str(tmp_path / f"w{number}"),
            batches=2000,
            pace=0.001,
        )
        for number in range(16)
    ]
    trainers = [task.start() for task in tasks]
    listed = 0
    while any(trainer.poll() is None for trainer in trainers):
        # Not yet: all of them make the store.
        with contextlib.suppress(StoreUnreachable, SchemaMissing):
            listed = max(listed, len(latest_runs(store=url)))
        time.sleep(0.05)
    for task, trainer in zip(tasks, trainers, strict=True):
        out, _ = trainer.communicate()
        assert trainer.returncode == 0, out
        assert "locked" not in out
        settled_run(task.name, url, status="finished")
        records = stream_of(task.name, url)
        check_content(records)
        ledger.add("16 writers of one SQLite file", records, task.returned(), may_be_more=0)
    assert listed == 16


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_two_writers_of_one_run(
    engine: str, tmp_path: Path, ledger: Ledger, postgres_server: PostgresServer
) -> None:
    """The second one has the run; the first is told so, trains on, and keeps its events."""
    url = f"sqlite:///{tmp_path}/runs.db"
    if engine == "postgresql":
        url = made(postgres_server.create_database())
    task = Task(store=url, name="run", witness=str(tmp_path / "w"), batches=2500, pace=0.002)
    trainer = task.start()
    wait_until(lambda: task.returned() > 500)
    store = open_store(url, create=True)
    wait_until(lambda: bool(store.runs()))
    uuid = run_of("run", store=store).uuid
    claimed = store.claim(uuid, "second")
    assert claimed is not None
    last = stream_of("run", url)[-1]
    identity = RunIdentity(uuid=uuid, name="run", writer="second")
    more = [last._replace(seq=last.seq + n, kind="predict_end", logs="{}") for n in range(1, 101)]
    store.append(identity, more, expected_seq=last.seq)
    store.close()
    out, _ = trainer.communicate(timeout=120)
    assert trainer.returncode == 0, out
    assert out.count("another one has taken it over") == 1
    records = stream_of("run", url)
    assert records[-100:] == more, "nothing of the first came after"
    (info,) = journals(journal_folders())
    assert info.fenced
    assert info.last_seq == task.returned() + 3, "its events are all in its journal"
    assert deliver_here(url) == {}, "no later command tries, or complains"
    stored = sum(record.kind.startswith(("train", "epoch")) for record in records)
    ledger.add(f"a second writer of a run, {engine}", records, stored + 100, may_be_more=0)


def test_a_run_that_is_closed_by_hand_and_comes_back(tmp_path: Path) -> None:
    """`runs close --force` fences the living writer, which says so."""
    url = f"sqlite:///{tmp_path}/runs.db"
    task = Task(store=url, name="run", witness=str(tmp_path / "w"), batches=1500, pace=0.002)
    trainer = task.start()
    wait_until(lambda: task.returned() > 300)
    store = open_store(url, create=True)  # which its own shipper may not have made yet
    wait_until(lambda: bool(latest_runs(store=store)))
    closed = close_run("run", force=True, store=store)
    store.close()
    assert closed.state.status == "crashed"
    out, _ = trainer.communicate(timeout=120)
    assert "somebody has closed it" in out
    assert run_of("run", store=url).state.status == "crashed"

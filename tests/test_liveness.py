"""Whether a run's writer is still there: heartbeats, locks, other machines."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from sqlalchemy import update

import tracker
from tests.faults.stores import wait_until
from tests.faults.trainer import Task
from tests.streams import fit_stream, identity
from tests.test_cli import journal
from tests.test_cli import tracker as command
from tests.test_store import sql_store, sqlite_store, store  # noqa: F401 - fixtures
from tracker import machine, ship
from tracker.errors import InvalidArgument, RunAlive, RunNotFound
from tracker.journal import journals
from tracker.liveness import LOST_SECONDS
from tracker.location import default_store, journal_folders
from tracker.query import run_of
from tracker.store import schema
from tracker.store.opening import open_store
from tracker.store.port import EventStore
from tracker.store.sql import SqlStore


def running(name: str = "away", number: int = 1) -> SqlStore:
    """The default store, with a run that is in the middle of a fit, written elsewhere."""
    opened = open_store(create=True)
    opened.append(identity(name, number), fit_stream(name=name)[:12], expected_seq=0)
    return opened


def silent(opened: SqlStore, seconds: float) -> None:
    """Make the last sign of life of every run so old."""
    age = int(seconds * 1e6)
    with opened.writing() as connection:
        connection.execute(
            update(schema.runs).values(heartbeat_at=schema.runs.c.heartbeat_at - age)
        )


def test_heartbeats(store: EventStore) -> None:  # noqa: F811 - the fixture
    """An append is a sign of life, and so is `beat`, of the run's own writer only."""
    run = identity()
    store.beat(run)
    assert store.runs() == []
    records = fit_stream()
    store.append(run, records[:-1], expected_seq=0)
    time.sleep(0.05)
    found = store.find(run.uuid)
    assert found is not None
    assert found.heartbeat_age is not None
    assert 0.03 < found.heartbeat_age < 5
    store.beat(identity(writer="other"))
    again = store.find(run.uuid)
    assert again is not None
    assert (again.heartbeat_age or 0) >= found.heartbeat_age
    time.sleep(0.05)
    store.beat(run)
    after = store.find(run.uuid)
    assert after is not None
    assert (after.heartbeat_age or 0) < 0.05
    assert after == found
    store.append(run, records[-1:], expected_seq=len(records) - 1)
    ended = store.find(run.uuid)
    assert ended is not None
    assert ended.heartbeat_age is None, "its writer has said that it ends"


def test_a_claimed_run_has_another_writer(store: EventStore) -> None:  # noqa: F811 - the fixture
    """Claiming fences the writer of before, and changes nothing else."""
    records = fit_stream()
    store.append(identity(), records[:5], expected_seq=0)
    assert store.claim("unknown", "second") is None
    claimed = store.claim(identity().uuid, "second")
    assert claimed is not None
    assert claimed.writer == "second"
    store.append(identity(writer="second"), records[5:], expected_seq=5)
    with pytest.raises(tracker.TrackerError, match=r"taken it over|another writer"):
        store.append(identity(), [records[-1]._replace(seq=33)], expected_seq=32)
    assert list(store.read(identity().uuid)) == records


def test_a_silent_run_is_lost() -> None:
    """A run whose heartbeats have stopped is shown as lost, with their age; not before."""
    opened = running()
    assert LOST_SECONDS == 4 * ship.HEARTBEAT_SECONDS
    assert run_of("away").state.status == "running"
    silent(opened, LOST_SECONDS - 5)
    assert list(tracker.runs()["status"]) == ["running"]
    silent(opened, 600)
    opened.close()
    frame = tracker.runs()
    assert list(frame["status"]) == ["lost"]
    assert 600 < frame["heartbeat"][0].total_seconds() < 700
    shown = command("runs", "list").stdout
    assert "lost" in shown
    assert "10m" in shown
    assert "heartbeat" in command("runs", "show", "away").stdout


def test_a_run_of_a_program_without_heartbeats() -> None:
    """A run of before there were any is judged by its last event."""
    opened = running()
    with opened.writing() as connection:
        connection.execute(update(schema.runs).values(heartbeat_at=None))
    opened.close()
    assert run_of("away").state.status == "lost"


def test_a_silent_run_whose_writer_lives_here_is_running(tmp_path: Path) -> None:
    """The lock on the journal says more than a missing heartbeat; then the heart beats again."""
    url = f"sqlite:///{tmp_path}/runs.db"
    task = Task(store=url, name="here", witness=str(tmp_path / "w"), at=20, batches=30,
                action="import time; time.sleep(25)")  # fmt: skip
    trainer = task.start()
    try:
        task.wait_for(40)
        opened = open_store(url, create=True)
        wait_until(lambda: bool(opened.runs()))
        wait_until(lambda: opened.runs()[0].state.last_seq >= 40)
        silent(opened, 600)
        assert run_of("here", store=opened).state.status == "running"
        with pytest.raises(RunAlive, match="on this machine"):
            tracker.close_run("here", store=opened)
        wait_until(lambda: (opened.runs()[0].heartbeat_age or 0) < 60)
        opened.close()
    finally:
        trainer.kill()
        trainer.communicate()


def test_closing_a_lost_run() -> None:
    """`runs close` makes a lost run a crashed one, and says who did; a living one is refused."""
    opened = running()
    opened.append(identity("done", 2), fit_stream(name="done"), expected_seq=0)
    refused = command("runs", "close", "away", code=1)
    assert "--force" in refused.stderr
    with pytest.raises(InvalidArgument, match="finished"):
        tracker.close_run("done", store=opened)
    with pytest.raises(RunNotFound):
        tracker.close_run("none", store=opened)
    silent(opened, 600)
    assert "Run away is crashed." in command("runs", "close", "away").stderr
    state = run_of("away", store=opened).state
    assert state.status == "crashed"
    (fact,) = tracker.events("away", kind="run_crashed", logs="dict")["logs"]
    assert fact["by"]["host"] == machine.host()
    assert "ended already" in command("runs", "close", "away", code=2).stderr
    opened.close()


def mounts(monkeypatch: pytest.MonkeyPatch, folder: Path, kind: str) -> None:
    """Have the system say that a folder is the mount point of such a file system."""
    table = [
        SimpleNamespace(mountpoint="/", fstype="ext4"),
        SimpleNamespace(mountpoint=str(folder), fstype=kind),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: table)


def test_shared_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The innermost mount decides, also for what does not exist yet, or is a link."""
    mounts(monkeypatch, tmp_path / "net", "nfs4")
    (tmp_path / "link").symlink_to(tmp_path / "net")
    assert machine.shared_file_system(tmp_path / "net" / "new" / "runs.db") == "nfs4"
    assert machine.shared_file_system(tmp_path / "link" / "runs.db") == "nfs4"
    assert machine.shared_file_system(tmp_path / "network" / "runs.db") is None


def test_no_wal_on_a_network_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There a store is made, and one that was moved there is used, without WAL; it is said once."""
    url = f"sqlite:///{tmp_path}/net/runs.db"
    opened = open_store(url, create=True)
    opened.append(identity(), fit_stream(), expected_seq=0)
    assert mode(opened) == "wal"
    opened.close()
    mounts(monkeypatch, tmp_path / "net", "nfs4")
    for store_url in (url, f"sqlite:///{tmp_path}/net/new.db"):
        caplog.clear()
        for number in (2, 3):
            opened = open_store(store_url, create=True)
            assert mode(opened) == "delete"
            opened.append(identity(number=number), fit_stream(), expected_seq=0)
            opened.close()
        assert caplog.text.count("shared file system (nfs4)") == 1
        assert "PostgreSQL" in caplog.text


def mode(opened: SqlStore) -> str:
    """SQLite's journal mode."""
    with opened.reading() as connection:
        return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())


@pytest.mark.parametrize(
    ("host", "boot", "shared", "elsewhere"),
    [
        ("node-7", "another", "nfs4", True),
        ("node-7", "another", "ext4", False),  # a disk that came from another machine
        ("node-7", "same", "nfs4", False),  # a container of this machine
        ("same", "another", "nfs4", False),  # this machine, before it was started again
    ],
)
def test_journals_of_other_machines_are_left_to_them(
    host: str, boot: str, shared: str, elsewhere: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Where another machine's lock could not be seen, its journal is not taken for a dead one's."""
    folder = journal("theirs", fit_stream()[:9], default_store())
    meta = json.loads((folder / "meta.json").read_text())
    meta["host"] = machine.host() if host == "same" else host
    meta["boot"] = machine.boot() if boot == "same" else boot
    (folder / "meta.json").write_text(json.dumps(meta))
    mounts(monkeypatch, tmp_path, shared)
    (info,) = journals(journal_folders())
    assert (info.elsewhere, info.waiting) == (elsewhere, not elsewhere)

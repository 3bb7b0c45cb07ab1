"""What was recorded reaches the store: late, after crashes, from other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import tracker
from tests.faults.stores import wait_until
from tests.postgres import PostgresServer
from tests.test_capture import fit, model, own_warnings
from tracker import TrackerCallback
from tracker.delivery import deliver_all
from tracker.journal import journals
from tracker.location import journal_folders
from tracker.masking import without_passwords
from tracker.query import latest_runs, run_of
from tracker.store.opening import connect_store, upgrade_store

ROOT = Path(__file__).parent.parent


def test_a_store_that_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, postgres_server: PostgresServer
) -> None:
    """Training goes on as without us, one message says so, and the next use delivers."""
    url = postgres_server.create_database()
    away = url.replace(f":{postgres_server.port}", ":1")
    callback, net = TrackerCallback(store=away, name="away"), model()
    history = fit([callback], net, epochs=2)
    net.evaluate(*data(), verbose=0, callbacks=[callback])
    callback.close()
    assert len(history.history["loss"]) == 2
    reports = [one.message for one in own_warnings(caplog)]
    assert len(reports) == 1
    assert "cannot be reached" in reports[0]
    assert "tracker journal ship" in reports[0]
    assert postgres_server.password not in caplog.text
    (info,) = journals(journal_folders())
    assert info.confirmed == 0
    assert info.last_seq > 20

    store = connect_store(url)
    upgrade_store(store)
    assert deliver_all([info], store, without_passwords(away)) == {"away": info.last_seq}
    run = run_of("away", store=store)
    assert (run.state.status, run.state.last_seq) == ("finished", info.last_seq)
    store.close()


def test_the_next_run_delivers_what_the_last_one_left(tmp_path: Path) -> None:
    """A SQLite folder that could not be made the first time: the next callback brings both."""
    blocked = tmp_path / "folder"
    blocked.touch()
    store = f"sqlite:///{blocked}/runs.db"
    first = TrackerCallback(store=store, name="first")
    fit([first])
    first.close()
    blocked.unlink()
    second = TrackerCallback(store=store, name="second")
    fit([second])
    second.close()
    wait_until(lambda: all(info.settled for info in journals(journal_folders())))
    assert {run.name for run in latest_runs(store=store)} == {"first", "second"}
    assert {run.state.status for run in latest_runs(store=store)} == {"finished"}


def test_tables_that_are_not_there_yet(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """An unmigrated PostgreSQL store is said with its command; after it the run is delivered."""
    callback = TrackerCallback(store=postgres_url, name="early")
    fit([callback])
    assert "has no tables yet. Do: tracker db upgrade --store" in caplog.text
    store = connect_store(postgres_url)
    upgrade_store(store)
    fit([callback])
    callback.close()
    run = run_of("early", store=store)
    assert run.state.epochs == 2
    assert list(tracker.events("early", store=store)["seq"]) == list(
        range(1, run.state.last_seq + 1)
    )
    store.close()


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    """With a read-only home the journal is kept in the temporary folder, and it is said."""
    program = """
import json, os, pwd, sys, tempfile
from tracker.writer import RunWriter  # what lies in root's folders is out of reach later
if os.geteuid() == 0:
    entry = pwd.getpwnam("nobody")
    os.setgroups([]); os.setgid(entry.pw_gid); os.setuid(entry.pw_uid)
w = RunWriter(name="poor", store="sqlite:////proc/none/x.db", durability="process",
              outputs="summary", data={})
w.end()
print(json.dumps(str(w.recorder.journal.folder)))
"""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as public:
        Path(public).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
            env={**os.environ, "TRACKER_HOME": "/proc/none", "TMPDIR": public, "HOME": public},
        )
        folder = json.loads(done.stdout.splitlines()[-1])
        assert folder.startswith(public)
        assert "/proc/none/journals cannot be written" in done.stderr
        assert Path(folder).exists()


def data() -> tuple[Any, Any]:
    """What `fit` of the capture tests trains on."""
    from tests.test_capture import X, Y

    return X, Y

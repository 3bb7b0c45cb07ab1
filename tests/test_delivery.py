"""What was recorded reaches the store: late, after crashes, from other processes."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import tracker
from tests.postgres import PostgresServer
from tests.test_capture import fit, model
from tracker import TrackerCallback
from tracker.delivery import deliver_all
from tracker.event import HOOKS
from tracker.journal import journals
from tracker.location import journal_folders
from tracker.masking import without_passwords
from tracker.query import latest_runs, run_of
from tracker.store.opening import connect_store, open_store, upgrade_store

ROOT = Path(__file__).parent.parent

TRAINING = """
import os, sys
sys.path.insert(0, {root!r})
import keras, numpy as np
from tracker import TrackerCallback
from tests.spy import Spy

class Witness(Spy):
    # Notes each hook, unbuffered, after the tracker's own hook has returned.
    pass

out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for name in [n for n in dir(Witness) if n.startswith("on_")]:
    def note(self, *a, _name=name, **k):
        os.write(out, (_name + "\\n").encode())
    setattr(Witness, name, note)
for name in ("on_batch_begin", "on_batch_end"):
    delattr(Witness, name)

class Then(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 30:
            {action}

net = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
net.compile(loss="mse")
x, y = np.zeros((200, 4)), np.zeros((200, 1))
callback = TrackerCallback(name="victim")
net.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[callback, Witness(), Then()])
"""


def train_and(action: str, tmp_path: Path, **environment: str) -> tuple[list[str], Any]:
    """Train in another process that does something in batch 30; what it saw, and how it ended."""
    witness = tmp_path / "witness"
    program = TRAINING.format(root=str(ROOT), action=action)
    done = subprocess.run(
        [sys.executable, "-c", program, str(witness)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert witness.exists(), done.stderr
    return witness.read_text().split(), done


def recover() -> dict[str, Any]:
    """Deliver what dead writers left for the default store."""
    store = open_store()
    name = without_passwords(store.url)
    outcome = deliver_all(journals(journal_folders()), store, name)
    store.close()
    return outcome


@pytest.mark.parametrize(
    ("action", "status", "error"),
    [
        ("os.kill(os.getpid(), 9)", "crashed", None),
        ("os._exit(3)", "crashed", None),
        ("raise ValueError('bad batch')", "failed", "ValueError"),
        ("raise KeyboardInterrupt", "interrupted", "KeyboardInterrupt"),
        ("sys.exit(3)", "interrupted", None),
    ],
)
def test_nothing_is_lost_when_the_process_ends(
    action: str, status: str, error: str | None, tmp_path: Path
) -> None:
    """Every hook that returned before the end is stored, and the run says how it ended."""
    seen, done = train_and(action, tmp_path)
    assert done.returncode != 0
    recover()
    frame = tracker.events("victim", kind=list(HOOKS))
    assert [f"on_{kind}" for kind in frame["kind"]][: len(seen)] == seen
    assert len(frame) - len(seen) in {0, 1}, "the hook of the moment may have been written"
    state = run_of("victim").state
    assert (state.status, state.error_type) == (status, error)
    if error == "ValueError":
        assert state.error_message == "bad batch"
        (ending,) = tracker.events("victim", kind="run_ended", logs="dict")["logs"]
        assert "on_train_batch_end" in ending["error"]["traceback"]
    assert recover() == {}, "settled"


def test_a_run_that_was_idle_when_killed_is_finished(tmp_path: Path) -> None:
    """A process that is killed after its last fit leaves a finished run."""
    program = TRAINING.format(root=str(ROOT), action="pass") + "os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "w")], check=False)
    recover()
    assert run_of("victim").state.status == "finished"


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
    reports = [one.message for one in caplog.records if one.levelno >= logging.WARNING]
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
    assert {run.name for run in latest_runs(store=store)} == {"first", "second"}
    assert {run.state.status for run in latest_runs(store=store)} == {"finished"}
    assert all(info.settled for info in journals(journal_folders()))


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


def test_a_store_that_went_back(tmp_path: Path) -> None:
    """When the database loses its last acknowledged events, the journal makes them good."""
    file = tmp_path / "runs.db"
    callback, net = TrackerCallback(store=str(file), name="back"), model()
    fit([callback], net)
    older = tmp_path / "older.db"
    store = open_store(str(file))
    with store.without_transaction() as connection:
        connection.exec_driver_sql("VACUUM INTO ?", (str(older),))
    store.close()
    fit([callback], net, epochs=3)
    before = tracker.events("back", store=str(file), logs="json")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    older.rename(file)
    assert len(tracker.events("back", store=str(file))) < len(before)
    fit([callback], net)
    callback.close()
    after = tracker.events("back", store=str(file), logs="json")
    assert after.head(len(before)).equals(before)
    assert list(after["seq"]) == list(range(1, len(after) + 1))


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

"""What can go wrong between the trainer, its journal and the process that ships."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import orjson
import pytest

import tracker
from tests.faults.ledger import Ledger
from tests.faults.stores import account, deliver_here, finish
from tests.faults.trainer import Task
from tests.streams import fit_stream, identity
from tests.test_cli import journal
from tests.test_cli import tracker as command
from tracker import facts, ship
from tracker.errors import InvalidArgument, JournalFailure
from tracker.location import default_store
from tracker.query import run_of
from tracker.store.opening import open_store
from tracker.store.port import Run
from tracker.store.sql import SqlStore

#: What is done after batch 100, by fault.
ACTIONS = {
    # Closing any descriptor of the lock's file drops the trainer's lock.
    "a trainer that copies its journals": """
import os, shutil, time
shutil.copytree(os.environ["TRACKER_HOME"], os.environ["TRACKER_HOME"] + "-copy")
time.sleep(1)
""",
    "a journal that is moved away and back": """
import os, time
folder = callback._writer.recorder.journal.folder
os.rename(folder, str(folder) + "-away")
time.sleep(1)
os.rename(str(folder) + "-away", folder)
""",
    # Until the pipe to it is full, and more.
    "a shipper that hangs": """
import os
from tests.faults.trainer import shipping_process
shipping_process(os.getpid()).suspend()
for _ in range(3000):
    callback._writer.flush(0.0)
""",
}


@pytest.mark.parametrize("fault", ACTIONS)
def test_faults_between_trainer_and_shipper(fault: str, tmp_path: Path, ledger: Ledger) -> None:
    """Training goes on, and in the end everything is stored and the run has finished."""
    url = f"sqlite:///{tmp_path}/runs.db"
    task = Task(
        store=url,
        name="run",
        witness=str(tmp_path / "w"),
        batches=1000,
        pace=0.002,
        at=100,
        action=ACTIONS[fault],
    )
    trainer = task.start()
    finish(trainer)
    account(ledger, fault, task, url)


def test_a_crash_that_cannot_be_noted(tmp_path: Path) -> None:
    """One journal that the system refuses holds up no other, and no command, and is tried again."""
    for number, name in ((1, "first"), (2, "stuck"), (3, "last")):
        folder = journal(name, fit_stream(name=name)[:12], default_store(), number)
        if name == "stuck":
            in_the_way = folder / f"{13:020d}.part"
            in_the_way.mkdir()
    outcomes = deliver_here(default_store())
    assert outcomes["first"] == outcomes["last"] == 13
    assert isinstance(outcomes["stuck"], JournalFailure)
    done = command("runs", "list")
    assert "warning: The journal of run stuck was not delivered" in done.stderr
    in_the_way.rmdir()
    assert deliver_here(default_store()) == {"stuck": 1}
    assert run_of("stuck").state.status == "crashed"


def test_orders_about_unknown_runs() -> None:
    """They are answered with no, and the next order is taken."""
    orders, answers = os.pipe(), os.pipe()
    thread = threading.Thread(target=ship.serve, args=(orders[0], answers[1]))
    thread.start()
    for what in ("flush", "end", "flush"):
        os.write(orders[1], orjson.dumps({"do": what, "uuid": "gone", "seq": 7}) + b"\n")
        answer = orjson.loads(os.read(answers[0], 1000))
        assert answer == {"uuid": "gone", "stored": 0, "done": False}
    os.close(orders[1])
    thread.join()
    for fd in (orders[0], *answers):
        os.close(fd)


def test_a_run_that_ends_while_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its own writer says counts, and that one stays its writer."""
    opened = open_store(create=True)
    records = fit_stream()
    opened.append(identity(), records[:12], expected_seq=0)
    claim = SqlStore.claim

    def late(self: SqlStore, uuid: str, writer: str) -> Run | None:
        monkeypatch.setattr(SqlStore, "claim", claim)
        self.append(identity(), records[12:], expected_seq=12)
        return claim(self, uuid, writer)

    monkeypatch.setattr(SqlStore, "claim", late)
    with pytest.raises(InvalidArgument, match="ended already: it is finished"):
        facts.close_run("run", force=True, store=opened)
    found = opened.find(identity().uuid)
    assert found is not None
    assert (found.state.status, found.writer) == ("finished", identity().writer)
    opened.close()
    assert list(tracker.runs()["status"]) == ["finished"]

"""What tests of faults ask a store: when a run is there, and what it holds."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from tests.faults.ledger import Ledger
from tests.faults.trainer import Task, check_content
from tracker.delivery import deliver_all
from tracker.errors import RunNotFound, StoreUnreachable, TrackerError
from tracker.event import Record
from tracker.journal import journals
from tracker.location import journal_folders
from tracker.masking import without_passwords
from tracker.query import run_of
from tracker.store.opening import connect_store, open_store, upgrade_store
from tracker.store.port import Run


def made(url: str) -> str:
    """The URL of a store whose tables were made."""
    store = connect_store(url)
    upgrade_store(store)
    store.close()
    return url


def wait_until(done: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something that is bound to happen."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def settled_run(name: str, url: str, *, status: str, seconds: float = 30.0) -> Run:
    """The run, once its events say that it has this status."""
    found: list[Run] = []

    def there() -> bool:
        try:
            found[:] = [run_of(name, store=url)]
        except (RunNotFound, StoreUnreachable):
            return False
        return found[0].state.status == status

    wait_until(there, seconds)
    return found[0]


def stream_of(name: str, url: str) -> list[Record]:
    """The run's records."""
    store = open_store(url)
    try:
        return list(store.read(run_of(name, store=store).uuid))
    finally:
        store.close()


def deliver_here(url: str) -> dict[str, int | TrackerError]:
    """Deliver what dead writers left on this machine, as the next command does."""
    store = open_store(url, create=True)
    try:
        return deliver_all(journals(journal_folders()), store, without_passwords(url))
    finally:
        store.close()


def finish(trainer: subprocess.Popen[str]) -> str:
    """Wait for the trainer's end, which the fault must not bring about; what it printed."""
    out, _ = trainer.communicate(timeout=180)
    assert trainer.returncode == 0, out
    return out


def account(ledger: Ledger, fault: str, task: Task, url: str) -> None:
    """Everything is stored, once, in order, and the run has finished."""
    settled_run(task.name, url, status="finished", seconds=60)
    wait_until(lambda: stream_of(task.name, url)[-1].kind == "run_ended", 60)
    records = stream_of(task.name, url)
    check_content(records)
    ledger.add(fault, records, task.returned(), may_be_more=0)

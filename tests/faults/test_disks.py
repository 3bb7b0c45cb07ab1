"""Disks that are full, files that are torn, clocks that go back."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.ledger import Ledger
from tests.faults.stores import account, deliver_here, finish, settled_run, stream_of
from tests.faults.trainer import Task, check_content
from tests.streams import fit_stream
from tests.test_cli import journal
from tracker.event import HOOKS, canonical
from tracker.journal import journals
from tracker.location import default_store, journal_folders
from tracker.query import run_of

#: A mount namespace of the trainer's own, with a small disk at $SMALL.
_MOUNT = 'mount -t tmpfs -o size=16m none "$SMALL" && exec "$@"'


def small_disk() -> list[str]:
    """What to put before a command, so that it runs with a disk of 16 MB at $SMALL."""
    flags = ["--mount"] if os.geteuid() == 0 else ["--map-root-user", "--mount"]
    return ["unshare", *flags, "sh", "-c", _MOUNT, "sh"]


def can_mount(folder: Path) -> bool:
    """Whether this machine lets us have a disk of our own."""
    if not shutil.which("unshare"):
        return False
    done = subprocess.run(
        [*small_disk(), "true"],
        check=False,
        env={**os.environ, "SMALL": str(folder)},
        capture_output=True,
    )
    return done.returncode == 0


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Where the small disk is mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not can_mount(folder):
        pytest.skip("no file system can be mounted here; the tests with a size limit are run")
    return folder


# Fills the disk in batch 300, and makes room in batch 900.
_BALLAST = """
import os
path = os.path.join({folder!r}, "ballast")
def fill():
    with open(path, "wb", buffering=0) as file:
        size = 2**16
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
if batch == 300:
    fill()
elif batch == 900:
    os.unlink(path)
"""


def test_a_full_disk_under_the_journal(small: Path, tmp_path: Path, ledger: Ledger) -> None:
    """Events wait in memory until the disk takes them; it is said once."""
    url = f"sqlite:///{tmp_path}/runs.db"
    task = Task(
        store=url,
        name="run",
        witness=str(tmp_path / "w"),
        batches=2000,
        pace=0.001,
        at=-1,
        action=_BALLAST.format(folder=str(small)),
    )
    trainer = task.start(*small_disk(), SMALL=str(small), TRACKER_HOME=str(small / "home"))
    out = finish(trainer)
    assert out.count("cannot be written: No space left on device") == 1
    account(ledger, "disk full under the journal", task, url)


def test_a_full_disk_under_the_database(small: Path, tmp_path: Path, ledger: Ledger) -> None:
    """The journal keeps what the database has no room for."""
    url, copy = f"sqlite:///{small}/runs.db", tmp_path / "copy.db"
    # The disk goes with its namespace: the database is taken out of it at the end.
    action = (
        _BALLAST.format(folder=str(small))
        + f"""
if batch == 1999:
    import atexit, contextlib, shutil, sqlite3, time

    def keep():
        # The trainer waits some seconds for what is on its way; a busy machine may take longer.
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(sqlite3.Error):
                connection = sqlite3.connect({f"{small}/runs.db"!r})
                status = connection.execute("SELECT status FROM runs").fetchone()
                connection.close()
                if status == ("finished",):
                    break
            time.sleep(0.2)
        shutil.copytree({str(small)!r}, {str(copy)!r})

    atexit.register(keep)
"""
    )
    task = Task(
        store=url,
        name="run",
        witness=str(tmp_path / "w"),
        batches=2000,
        pace=0.002,
        at=-1,
        action=action,
    )
    trainer = task.start(*small_disk(), SMALL=str(small))
    out = finish(trainer)
    assert "is full" in out
    assert "The store answers again" in out
    found = f"sqlite:///{copy}/runs.db"
    assert run_of("run", store=found).state.status == "finished"
    records = stream_of("run", found)
    check_content(records)
    ledger.add("disk full under the database", records, task.returned(), may_be_more=0)


def test_a_limit_of_size_under_the_journal(tmp_path: Path, ledger: Ledger) -> None:
    """A quota that the journal meets, and that is raised later."""
    url = f"sqlite:///{tmp_path}/runs.db"
    # Only the trainer has the limit: its shipper was started before.
    action = """
import resource
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
if batch == 100:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
elif batch == 900:
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
"""
    task = Task(
        store=url, name="run", witness=str(tmp_path / "w"), batches=1000, at=-1, action=action
    )
    trainer = task.start()
    out = finish(trainer)
    assert out.count("cannot be written: File too large") == 1
    account(ledger, "a quota under the journal", task, url)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_disk_that_stays_full_is_said(tmp_path: Path) -> None:
    """What never found room is said to be lost, when the run ends."""
    action = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""
    task = Task(
        store=f"sqlite:///{tmp_path}/runs.db",
        name="run",
        witness=str(tmp_path / "w"),
        batches=1000,
        at=100,
        action=action,
    )
    out, _ = task.start().communicate(timeout=120)
    assert "The last events of run 'run' are lost" in out


def test_journals_that_are_torn_at_every_byte(tmp_path: Path, ledger: Ledger) -> None:
    """However much of the last records reached the disk, the whole ones are delivered."""
    records = fit_stream(ended=False)
    ends = [len(canonical(record)) + 10 for record in records]
    whole = sum(ends)
    sizes = range(whole - sum(ends[-3:]), whole + 1)
    for number, size in enumerate(sizes):
        folder = journal(f"torn-{number}", records, default_store(), number + 1)
        (segment,) = folder.glob("*.jsonl")
        os.truncate(segment, size)
    outcomes = deliver_here(default_store())
    assert len(outcomes) == len(sizes)
    for number, size in enumerate(sizes):
        kept = [record for record, end in zip(records, _sums(ends), strict=True) if end <= size]
        found = stream_of(f"torn-{number}", default_store())
        assert found[: len(kept)] == kept
        returned = sum(record.kind in HOOKS for record in kept)
        ledger.add("a journal torn at every byte", found, returned, may_be_more=0)
    assert all(info.settled for info in journals(journal_folders()))


def test_a_clock_that_goes_back(tmp_path: Path, ledger: Ledger) -> None:
    """The order is that of the hooks, whatever the clock says; times are as they were told."""
    url = f"sqlite:///{tmp_path}/runs.db"
    action = """
from tracker import recorder
import time
recorder.time_ns = lambda: time.time_ns() - 3_600_000_000_000 * batch
"""
    task = Task(
        store=url, name="run", witness=str(tmp_path / "w"), batches=300, at=-1, action=action
    )
    out, _ = task.start().communicate(timeout=120)
    settled_run("run", url, status="finished")
    records = stream_of("run", url)
    check_content(records)
    times = [record.at for record in records]
    assert times != sorted(times), out
    ledger.add("the clock set back", records, task.returned(), may_be_more=0)


def test_damage_at_random_places_is_found(tmp_path: Path) -> None:
    """One changed byte anywhere: what is delivered is a beginning of what was written."""
    chance = random.Random(3)
    records = fit_stream()
    for number in range(1, 61):
        folder = journal(f"hurt-{number}", records, default_store(), number)
        (segment,) = folder.glob("*.jsonl")
        content = bytearray(segment.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        segment.write_bytes(content)
    outcomes = deliver_here(default_store())
    assert len(outcomes) == 60
    for name in outcomes:
        try:
            found = stream_of(name, default_store())
        except LookupError:
            found = []
        if found and found[-1].kind == "run_crashed":
            found.pop()
        assert found == records[: len(found)]


def _sums(numbers: list[int]) -> list[int]:
    return [sum(numbers[: place + 1]) for place in range(len(numbers))]

"""Runs that go on: after crashes, in other processes, with facts that people state meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest

import tracker
from tests.faults.stores import made, settled_run, stream_of, wait_until
from tests.faults.trainer import Task, check_content, shipping_process
from tests.postgres import PostgresServer
from tests.streams import Stream, fit_stream, identity
from tests.test_capture import fit, model
from tests.test_liveness import running, silent
from tracker import TrackerCallback, resuming
from tracker.delivery import Delivery
from tracker.errors import (
    InvalidArgument,
    RunAlive,
    RunExists,
    RunHidden,
    RunNotFound,
    RunPurged,
    StoreLostEvents,
    StoreUnreachable,
    TrackerError,
)
from tracker.event import HOOKS
from tracker.journal import JournalMeta, JournalWriter, journals
from tracker.location import journal_folders
from tracker.query import describe, run_of
from tracker.recorder import Recorder
from tracker.store.opening import connect_store, open_store, upgrade_store
from tracker.store.sql import SqlStore

EXAMPLE = Path(__file__).parent.parent / "examples" / "resume.py"


def example(*arguments: str, code: int = 0) -> None:
    """Run the example as a user does."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_killed_in_an_epoch_and_resumed(
    engine: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With BackupAndRestore: two attempts, one clean curve, each epoch and step once."""
    if engine == "postgresql":
        monkeypatch.setenv("TRACKER_STORE", made(request.getfixturevalue("postgres_url")))
    example("--die-in-epoch", "3", code=-signal.SIGKILL)
    example("--learning-rate", "0.001")
    state = run_of("digits-resumed").state
    assert (state.status, state.attempt, state.epochs) == ("finished", 2, 8)
    curve = tracker.metrics("@last", wide=True)
    assert list(curve["epoch"]) == list(range(8))
    assert list(curve["step"]) == [45 * n for n in range(1, 9)]
    assert list(curve["attempt"]) == [1, 1, 1, 2, 2, 2, 2, 2]
    assert curve["loss"].is_monotonic_decreasing
    batches = tracker.metrics("@last", source="batch", names="loss")
    train = batches[batches["phase"] == "train"]
    assert list(train["step"]) == list(range(1, 8 * 45 + 1))
    both = tracker.metrics("@last", source="batch", names="loss", attempts="all")
    assert (both["attempt"] == 1).sum() > (train["attempt"] == 1).sum()
    again = both[(both["epoch"] == 3) & (both["phase"] == "train")]
    assert list(again["attempt"]) == [1] * 21 + [2] * 45
    assert list(again["step"]) == [*range(136, 157), *range(136, 181)]
    attempts = describe("@last")["attempts"]
    assert attempts[1]["status"] == "crashed"
    assert attempts[2]["changed"] == {"learning_rate": [0.002, 0.001]}
    assert attempts[1]["params"] == {"learning_rate": 0.002}
    assert state.params["learning_rate"] == 0.001
    assert tracker.verify("@last").empty


def test_an_undelivered_journal_is_delivered_first(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """The database was away, trainer and shipper were killed: resuming goes on behind all of it."""
    url = made(postgres_server.create_database())
    away = url.replace(f":{postgres_server.port}", ":1")
    task = Task(store=away, name="cut", witness=str(tmp_path / "w"))
    trainer = task.start()
    task.wait_for(300)
    shipper = shipping_process(trainer.pid)
    trainer.kill()
    if shipper:
        shipper.kill()
    trainer.communicate()
    returned = task.returned()
    # The database is back: at the address that the journal has noted.
    (info,) = journals(journal_folders())
    meta = (info.folder / "meta.json").read_text()
    (info.folder / "meta.json").write_text(meta.replace(":1/", f":{postgres_server.port}/"))
    callback = TrackerCallback(store=url, run="cut", resume="must")
    fit([callback])
    callback.close()
    run = run_of("cut", store=url)
    records = stream_of("cut", url)
    check_content([one for one in records if one.attempt == 1])
    assert [one.seq for one in records] == list(range(1, len(records) + 1))
    first = [one for one in records if one.attempt == 1 and one.kind in HOOKS]
    assert len(first) in (returned, returned + 1)
    kinds = [one.kind for one in records if one.kind.startswith("run_")]
    assert kinds == ["run_began", "run_crashed", "run_resumed", "run_ended"]
    assert (run.state.status, run.state.attempt) == ("finished", 2)


def test_facts_by_hand_while_training(tmp_path: Path) -> None:
    """Tags, notes and names reach a run that is training, in its stream, and disturb nothing."""
    url = f"sqlite:///{tmp_path}/runs.db"
    task = Task(store=url, name="live", witness=str(tmp_path / "w"), pace=0.002, batches=1500)
    trainer = task.start()
    task.wait_for(20)
    wait_until((tmp_path / "runs.db").exists)
    store = open_store(url, create=True)
    wait_until(lambda: bool(store.runs()))
    uuid = store.runs()[0].uuid
    for number in range(30):
        tracker.tag_run(uuid, {f"t{number}": ""}, store=store)
        tracker.note_run(uuid, f"note {number}", store=store)
    tracker.rename_run(uuid, "renamed", store=store)
    out, _ = trainer.communicate(timeout=120)
    assert trainer.returncode == 0, out
    assert "conflict" not in out.lower()
    run = settled_run("renamed", url, status="finished")
    records = list(store.read(uuid))
    wait_until(lambda: list(store.read(uuid))[-1].kind == "run_ended")
    records = list(store.read(uuid))
    check_content(records)
    assert [one.seq for one in records] == list(range(1, len(records) + 1))
    assert sum(one.kind in HOOKS for one in records) == task.returned() == 2 * 1500 + 4
    assert len(run.state.tags) == 30
    assert run.state.note == "note 29"
    assert run.state.by_hand == 61
    assert tracker.verify(uuid, store=store).empty
    store.close()
    again = TrackerCallback(store=url, run="renamed")
    fit([again])
    again.close()
    records = stream_of("renamed", url)
    assert [one.seq for one in records] == list(range(1, len(records) + 1))
    assert run_of("renamed", store=url).state.status == "finished"


def test_fits_of_one_run_are_one_axis() -> None:
    """Several fits, an initial epoch, and a later process: steps go on, epochs are not doubled."""
    net, callback = model(), TrackerCallback(run="axis")
    fit([callback], net, epochs=2)
    fit([callback], net, epochs=4, initial_epoch=2)
    callback.close()
    later = TrackerCallback(run="axis", resume="must")
    fit([later], net, epochs=6, initial_epoch=4)
    later.close()
    curve = tracker.metrics("axis", wide=True)
    assert list(curve["step"]) == [2, 4, 6, 8, 10, 12]
    assert list(curve["epoch"]) == [0, 1, 2, 3, 4, 5]
    assert list(curve["call"]) == [1, 1, 2, 2, 3, 3]
    assert run_of("axis").state.epochs == 6


def test_a_callback_of_this_process_is_let_go() -> None:
    """In a notebook the earlier callback lives on, idle: resuming ends its part."""
    earlier = TrackerCallback(name="notebook")
    fit([earlier])
    later = TrackerCallback(run="notebook")
    fit([later])
    later.close()
    history = tracker.history("notebook")
    assert list(history["kind"]) == ["run_began", "run_ended", "run_resumed", "run_ended"]


class Intruder(keras.callbacks.Callback):
    """Tries to resume the run that is training."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Try."""
        with pytest.raises(RunAlive, match=f"process {os.getpid()} on this machine"):
            TrackerCallback(run="busy")
        self.tried = True


def test_a_run_that_trains_in_this_process() -> None:
    """It is alive, and stays whole."""
    callback, intruder = TrackerCallback(name="busy"), Intruder()
    fit([callback, intruder])
    callback.close()
    assert intruder.tried
    assert run_of("busy").state.attempt == 1


def test_a_run_that_trains_in_another_process(tmp_path: Path) -> None:
    """On this machine its lock tells at once, with its pid; on another one its heartbeats do."""
    url = f"sqlite:///{tmp_path}/runs.db"
    task = Task(store=url, name="alive", witness=str(tmp_path / "w"), pace=0.01)
    trainer = task.start()
    try:
        task.wait_for(10)
        with pytest.raises(RunAlive, match=f"process {trainer.pid} on this machine"):
            TrackerCallback(store=url, run="alive")
    finally:
        trainer.kill()
        trainer.communicate()
    resumed = TrackerCallback(store=url, run="alive")  # waits for the process that ships
    fit([resumed])
    resumed.close()
    assert run_of("alive", store=url).state.attempt == 2


def test_a_run_that_trains_on_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat while we wait means that it lives; silence for a minute, that it does not."""
    opened = running()
    pauses = []

    def beating(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            opened.beat(identity("away"))

    clock = iter(range(0, 10_000, 5))
    monkeypatch.setattr("tracker.resuming.time.sleep", beating)
    monkeypatch.setattr("tracker.resuming.time.monotonic", lambda: float(next(clock)))
    silent(opened, 30)
    with pytest.raises(RunAlive, match="on here, which told so 0 seconds ago"):
        TrackerCallback(run="away")
    assert len(pauses) == 2
    silent(opened, 600)
    assert resuming.resumption("away", "must", opened.url).run
    opened.close()


def test_two_that_resume_at_once() -> None:
    """One takes the run over; the other is told."""
    opened = running()
    silent(opened, 600)
    found = [resuming.resumption("away", "must", opened.url).run for _ in range(2)]
    assert found[0]
    assert found[1]
    taken = resuming.take_over(found[0], opened.url)
    assert taken.writer != found[0].writer
    with pytest.raises(RunAlive, match="another process"):
        resuming.take_over(found[1], opened.url)
    opened.close()


def test_what_cannot_be_resumed() -> None:
    """Each refusal says what is the matter, and nothing is recorded."""
    fit([first := TrackerCallback(name="first")])
    first.close()
    with pytest.raises(RunNotFound, match="resume='allow'"):
        TrackerCallback(run="none", resume="must")
    with pytest.raises(RunExists, match="finished"):
        TrackerCallback(run="first", resume="never")
    with pytest.raises(InvalidArgument, match="run or name"):
        TrackerCallback(run="first", name="second")
    with pytest.raises(InvalidArgument, match="needs a run"):
        TrackerCallback(resume="must")
    with pytest.raises(InvalidArgument, match="'allow', 'must', 'never'"):
        TrackerCallback(run="first", resume="maybe")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="experiment None"):
        TrackerCallback(run="first", experiment="other")
    tracker.archive_run("first")
    with pytest.raises(RunHidden, match="tracker runs restore first"):
        TrackerCallback(run="first")
    uuid = run_of("first").uuid
    tracker.purge_runs("first")
    with pytest.raises(RunPurged, match="purged"):
        TrackerCallback(run=uuid)
    assert tracker.runs().empty


def test_without_the_store_a_new_run_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`allow` does not stop training, and says what it does; `must` does."""
    away = "postgresql://tracker@127.0.0.1:1/none"
    with pytest.raises(StoreUnreachable):
        TrackerCallback(store=away, run="far", resume="must")
    callback = TrackerCallback(store=away, run="far")
    assert "cannot be resumed" in caplog.text
    assert len(fit([callback]).history["loss"]) == 1
    callback.close()
    (info,) = journals(journal_folders())
    assert info.meta is not None
    assert info.meta.name == "far"
    assert info.last_seq > 5


def test_by_id_and_by_place() -> None:
    """A run can be meant by its id, its UUID or `@last`, and not by a beginning of its name."""
    fit([first := TrackerCallback(name="baseline")])
    first.close()
    meanings: list[str | int] = [1, str(first.run), "@last", "baseline"]
    for attempt, meant in enumerate(meanings, 2):
        again = TrackerCallback(run=meant, resume="must")
        fit([again])
        again.close()
        assert run_of("baseline").state.attempt == attempt
    with pytest.raises(RunNotFound):
        TrackerCallback(run="base", resume="must")


def test_the_best_of_an_epoch_that_was_run_again() -> None:
    """What a later attempt did again counts: for best values, and for the number of epochs."""
    stream = Stream()
    stream.add("run_began", {"version": 2})
    stream.add("call_began", {"phase": "train"}, call=1)
    for epoch, loss in enumerate((0.9, 0.1, 0.5)):
        stream.add("epoch_end", {"loss": loss}, call=1, epoch=epoch)
    stream.add("run_crashed", {"reason": "killed"})
    stream.add("run_resumed", {"version": 2}, attempt=2)
    stream.add("call_began", {"phase": "train"}, call=1, attempt=2)
    for epoch, loss in enumerate((0.8, 0.4, 0.3), 1):
        stream.add("epoch_end", {"loss": loss}, call=1, epoch=epoch, attempt=2)
    for cut in (len(stream.records), 9, 10):
        store = open_store(f"sqlite:///cut{cut}.db", create=True)
        store.append(identity(), stream.records[:cut], expected_seq=0)
        store.append(identity(), stream.records[cut:], expected_seq=cut)
        state = store.runs()[0].state
        metric = state.metrics["train", "loss"]
        assert (metric.minimum, metric.minimum_epoch, metric.last) == (0.3, 3, 0.3)
        assert metric.maximum == 0.9
        assert state.epochs == 4
        assert list(tracker.metrics("run", store=store)["value"]) == [0.9, 0.8, 0.4, 0.3]
        store.close()


def journal(records: int, *, after: int = 0, **meta: Any) -> Path:
    """A journal of the default store, left by a dead writer."""
    fields = {
        "uuid": identity().uuid, "name": "run", "store": open_store(create=True).url,
        "writer": "w", "host": "here", "boot": None, "pid": 1, "began_at": 0,
    }  # fmt: skip
    writer = JournalWriter(journal_folders(), JournalMeta(**{**fields, **meta}), after)
    recorder = Recorder(writer)
    for number in range(records):
        recorder.fact("run_began" if not after and not number else "call_began", {"n": number})
    writer.close()
    return writer.folder


def test_a_store_that_lost_what_earlier_attempts_had_stored() -> None:
    """A failover took the claim and the last events: the earlier journal makes up for them."""
    first = journal(10)
    second = journal(5, after=10, writer="w2", replaces="w")
    store = open_store(create=True)
    whole = Delivery(first, identity(), store)
    whole.step()
    later = replace(identity(writer="w2"), replaces="w")
    Delivery(second, later, store).step()
    assert store.runs()[0].state.last_seq == 15
    # The standby has less, and knows nothing of the second writer.
    standby = lagging(store, 6)
    assert Delivery(second, later, standby).step() == 5
    assert [one.seq for one in standby.read(identity().uuid)] == list(range(1, 16))
    assert standby.runs()[0].writer == "w2"
    lost = lagging(store, 6, "standby2.db")
    (first / "meta.json").unlink()
    with pytest.raises(StoreLostEvents, match="journal ship --again"):
        Delivery(second, later, lost).step()


def lagging(store: SqlStore, events: int, name: str = "standby.db") -> SqlStore:
    """Another store that has the first events only."""
    standby = open_store(f"sqlite:///{name}", create=True)
    standby.append(identity(), list(store.read(identity().uuid, until=events)), expected_seq=0)
    return standby


def test_a_resumed_run_that_is_fenced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The writer of before, should it come back, keeps its events in its journal."""
    store = open_store(create=True)
    store.append(identity("back"), fit_stream()[:12], expected_seq=0)
    silent(store, 600)
    resumed = TrackerCallback(run="back")
    fit([resumed])
    with pytest.raises(TrackerError, match="taken it over"):
        store.append(identity("back"), fit_stream()[12:], expected_seq=12)
    resumed.close()
    assert run_of("back").state.status == "finished"
    store.close()


@pytest.fixture(autouse=True)
def seeds() -> None:
    """The same weights each time."""
    keras.utils.set_random_seed(3)


def test_a_store_of_revision_2_goes_on(tmp_path: Path) -> None:
    """An upgraded store's runs can be resumed: what that needs is made from their events."""
    url = f"sqlite:///{tmp_path}/runs.db"
    store = connect_store(url, create=True)
    upgrade_store(store)
    store.append(identity(), fit_stream(ended=False), expected_seq=0)
    with store.writing() as connection:
        from tracker.store import migrate

        migrate.downgrade(connection, "0002")
    upgrade_store(store)
    state = store.runs()[0].state
    assert (state.next_call, state.last_call) == (3, 2)
    store.close()

"""What people state of runs, and what they erase: from Python and from the command line."""

from __future__ import annotations

import getpass
import json
import os
import pty
import subprocess
import time
from pathlib import Path

import pytest

import tracker
from tests.faults.stores import wait_until
from tests.faults.trainer import Task
from tests.streams import START, fit_stream, identity
from tests.test_capture import fit
from tests.test_cli import TRACKER, later
from tests.test_cli import tracker as command
from tests.test_liveness import running, silent
from tests.test_store import sql_store, sqlite_store  # noqa: F401 - fixtures
from tracker import TrackerCallback, machine
from tracker.errors import (
    InvalidArgument,
    NameTaken,
    RunAlive,
    RunNotFound,
    RunPurged,
    WriterFenced,
)
from tracker.journal import journals
from tracker.location import journal_folders
from tracker.query import describe, run_of
from tracker.store.opening import open_store
from tracker.store.sql import SqlStore


@pytest.fixture
def store(home: Path) -> Path:
    """The default store, with three runs that have finished."""
    opened = open_store(create=True)
    for number, name in enumerate(("alpha", "beta", "gamma"), 1):
        opened.append(identity(name, number), later(fit_stream(name=name), number), expected_seq=0)
    opened.close()
    return home / "tracker.db"


def test_every_fact_from_python(store: Path) -> None:
    """Each is an event with who and when, and the run is what they say."""
    tracker.tag_run("alpha", ["paper"])
    tracker.tag_run("alpha", {"data": "digits", "paper": "yes"})
    tracker.untag_run("alpha", ["data"])
    tracker.note_run("alpha", " worth a look \n")
    tracker.rename_run("alpha", "omega")
    tracker.archive_run("omega")
    tracker.restore_run("omega")
    run = run_of("omega")
    assert run.state.tags == {"kind": "made", "paper": "yes"}
    assert run.state.note == "worth a look"
    history = tracker.history("omega")
    assert list(history["kind"]) == [
        "run_began", "run_ended", "tags_changed", "tags_changed", "tags_changed", "note_changed",
        "run_renamed", "run_archived", "run_restored",
    ]  # fmt: skip
    assert set(history["by"].dropna()) == {f"{getpass.getuser()}@{machine.host()}"}
    assert list(history["what"])[2:7] == ["+paper", "+data=digits +paper=yes", "-data",
                                          "worth a look", "omega"]  # fmt: skip
    assert (time.time() - history["at"].iloc[-1].timestamp()) < 60
    assert tracker.note_run("omega", "").state.note is None


def test_what_changes_nothing_is_no_event(store: Path) -> None:
    """Stating what holds already adds nothing to the stream."""
    tracker.tag_run("alpha", ["a"])
    before = run_of("alpha").state.last_seq
    tracker.tag_run("alpha", ["a"])
    tracker.note_run("alpha", None)
    tracker.rename_run("alpha", "alpha")
    tracker.restore_run("alpha")
    assert run_of("alpha").state.last_seq == before


def test_every_fact_from_the_command_line(store: Path) -> None:
    """Commands say what holds then; `show --history` lists who stated what."""
    assert "a=b=c, paper" in command("runs", "tag", "alpha", "a=b=c", "paper").stderr
    assert "has the tags: kind=made, paper" in command("runs", "untag", "alpha", "a").stderr
    assert "this note" in command("runs", "note", "alpha", "so so").stderr
    assert "no note" in command("runs", "note", "alpha", "").stderr
    assert "is called first" in command("runs", "rename", "alpha", "first").stderr
    command("runs", "archive", "first", "beta")
    assert "first" not in command("runs", "list").stdout
    assert "first" in command("runs", "list", "--archived").stdout
    shown = command("runs", "show", "first", "--history").stdout
    assert f"{getpass.getuser()}@{machine.host()}" in shown
    assert "+a=b=c +paper" in shown
    command("runs", "restore", "--where", "archived")
    assert "first" in command("runs", "list").stdout
    rows = json.loads(command("runs", "show", "first", "--history", "-f", "json").stdout)
    assert rows[-1]["kind"] == "run_restored"


def test_names_stay_unique(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """A name that is taken is refused, with its owner; one that was given up is free."""
    for number, name in enumerate(("a", "b"), 1):
        sql_store.append(identity(name, number), fit_stream(name=name), expected_seq=0)
    with pytest.raises(NameTaken, match=r"Run 2 is called 'b' already \(begun on here"):
        tracker.rename_run("a", "b", store=sql_store)
    tracker.rename_run("b", "c", store=sql_store)
    tracker.rename_run("a", "b", store=sql_store)
    sql_store.append(identity("a", 3), fit_stream(name="a"), expected_seq=0)
    assert [run.name for run in sql_store.runs()] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("tags", "words"),
    [([" "], "blank"), (["a\nb"], "printable"), (["x" * 201], "200 characters"),
     (["\x1b[31m"], "printable")],
)  # fmt: skip
def test_odd_tags_are_refused(store: Path, tags: list[str], words: str) -> None:
    """A tag that could not be typed or shown is refused; nothing is stated."""
    with pytest.raises(InvalidArgument, match=words):
        tracker.tag_run("alpha", tags)
    command("runs", "tag", "alpha", *tags, code=2)
    assert len(tracker.history("alpha")) == 2


@pytest.mark.parametrize("tag", ["ä ö", "a'b\"c", "-dash", "漢字", "%", "a=b", "$(x)", "--force"])
def test_odd_tags_that_work(store: Path, tag: str) -> None:
    """Quotes, spaces, other alphabets and option-like words are tags as any other."""
    tracker.tag_run("alpha", [tag])
    assert tag in run_of("alpha").state.tags
    command("runs", "untag", "alpha", "--", tag)
    assert tag not in run_of("alpha").state.tags
    assert "has no tag" in command("runs", "untag", "alpha", "--", tag, code=2).stderr


def test_purging(store: Path) -> None:
    """Nothing is left of a purged run but that there was one; its name is free."""
    uuid = run_of("beta").uuid
    tracker.note_run("beta", "a secret")
    (gone,) = tracker.purge_runs("beta")
    assert gone.name == "beta"
    assert list(tracker.runs()["name"]) == ["gamma", "alpha"]
    with pytest.raises(RunNotFound):
        run_of("beta")
    state = run_of(uuid).state
    assert (state.status, state.params, state.metrics, state.note) == ("purged", {}, {}, None)
    (tombstone,) = tracker.events(uuid, logs="dict").to_dict("records")
    assert tombstone["kind"] == "run_purged"
    assert tombstone["logs"]["events"] == tombstone["seq"] - 1 == 33
    assert b"a secret" not in store.read_bytes()
    assert b"beta" not in store.read_bytes()
    facts = describe(uuid)
    assert (facts["started"], facts["duration"]) == (None, None)
    assert tracker.state(uuid).status == "purged"
    with pytest.raises(InvalidArgument, match="It was purged: event 34 is what is left"):
        tracker.state(uuid, at=33)
    opened = open_store()
    with pytest.raises(RunPurged):
        opened.append(identity("beta", 2), fit_stream(), expected_seq=0)
    with pytest.raises(RunPurged):
        tracker.tag_run(uuid, ["x"], store=opened)
    opened.append(identity("beta", 4), fit_stream(name="beta"), expected_seq=0)
    assert run_of("beta", store=opened).uuid == identity(number=4).uuid
    opened.close()


def test_purging_takes_the_journals_too() -> None:
    """What this machine keeps of a run in journals is erased with it."""
    callback = TrackerCallback(name="secret")
    fit([callback])
    callback.close()
    again = TrackerCallback(run="secret")
    fit([again])
    again.close()
    assert len(journals(journal_folders())) == 2
    tracker.purge_runs("secret")
    assert journals(journal_folders()) == []


def test_purging_a_run_that_trains(tmp_path: Path) -> None:
    """It is refused; with force its writer is shut out, and its events do not come back."""
    url = f"sqlite:///{tmp_path}/runs.db"
    task = Task(store=url, name="live", witness=str(tmp_path / "w"), pace=0.005, batches=3000)
    trainer = task.start()
    task.wait_for(50)
    opened = open_store(url, create=True)
    wait_until(lambda: bool(opened.runs()))
    with pytest.raises(RunAlive, match=f"process {trainer.pid}"):
        tracker.purge_runs("live", store=opened)
    refused = command("runs", "purge", "live", "-y", "--store", url, code=1)
    assert "--force" in refused.stderr
    command("runs", "purge", "live", "-y", "--force", "--store", url)
    out, _ = trainer.communicate(timeout=60)
    assert trainer.returncode == 0, out
    assert "purged" in out
    assert tracker.runs(store=opened).empty
    assert [one.state.last_seq > 1 for one in opened.runs()] == [True]
    assert len(list(opened.read(opened.runs()[0].uuid))) == 1
    wait_until(lambda: all(info.settled for info in journals(journal_folders())))
    opened.close()


def test_purging_asks(store: Path) -> None:
    """Off a terminal `-y` is needed; on one it asks; `--dry-run` only says what would be."""
    assert "--yes" in command("runs", "purge", "alpha", code=2).stderr
    assert "alpha" in command("runs", "purge", "alpha", "--dry-run").stderr
    assert len(tracker.runs()) == 3
    assert "Nothing was done" in on_a_terminal("n\n", "runs", "purge", "alpha", code=1)
    assert len(tracker.runs()) == 3
    asked = on_a_terminal("y\n", "runs", "purge", "alpha")
    assert "Erase for good 1 run with 32 events: alpha?" in asked
    assert list(tracker.runs()["name"]) == ["gamma", "beta"]


def on_a_terminal(answer: str, *arguments: str, code: int = 0) -> str:
    """Run the command line on a terminal, and answer its question; what it said."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*TRACKER, *arguments], stdin=theirs, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    os.write(ours, answer.encode())
    _, said = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code, said
    return said


def test_choosing_runs(store: Path) -> None:
    """By name, filter or age: what matches nothing is not found, what is unclear is refused."""
    assert "not both" in command("runs", "purge", "alpha", "--where", "epochs = 2", code=2).stderr
    assert "Which runs?" in command("runs", "purge", "-y", code=2).stderr
    command("runs", "purge", "--where", "epochs > 99", "-y", code=3)
    command("runs", "purge", "--where", "epochs >", "-y", code=2)
    command("runs", "purge", "--older-than", "soon", "-y", code=2)
    tracker.tag_run("gamma", ["young"])
    assert "2 runs" in command("runs", "purge", "--older-than", "1h", "--dry-run").stderr
    both = command("runs", "purge", "--where", "epochs = 2", "--older-than", "1h", "-y").stderr
    assert "Erased: 2 runs" in both
    everything = command("runs", "purge", "--where", "epochs >= 0", "--dry-run").stderr
    assert "1 run with" in everything
    command("runs", "purge", "--where", "epochs >= 0", "-y")
    assert tracker.runs().empty
    command("runs", "purge", "--where", "epochs >= 0", "-y", code=3)


def test_pruning(store: Path) -> None:
    """Batches go, epochs stay; curves go on, and say that they are thinned; space is given back."""
    opened = open_store()
    long = later(fit_stream(epochs=3, batches=4000, name="long"), 5)
    opened.append(identity("long", 7), long, expected_seq=0)
    opened.close()
    epochs = tracker.metrics("long").drop(columns="at")
    before = store.stat().st_size
    stats = tracker.store_stats().set_index("run")
    assert stats["prunable_events"]["long"] == 3 * 2 * 3999
    assert stats["bytes"]["long"] > 0.9 * stats["bytes"].sum()
    assert (
        "Would be dropped: 23994 batch events of 1 run"
        in command("runs", "prune", "--batches", "long", "--dry-run").stderr
    )
    assert "--batches" in command("runs", "prune", "long", "-y", code=2).stderr
    said = command("runs", "prune", "--batches", "long", "--keep-every", "1000", "-y").stderr
    assert "Run long: 23970 batch events dropped." in said
    command("runs", "prune", "--batches", "long", "-y")
    assert store.stat().st_size < before / 4
    assert stats["prunable_bytes"]["long"] > 0.5 * before
    after = tracker.metrics("long")
    assert after.attrs["thinned"] == []
    assert after.drop(columns="at").equals(epochs)
    batches = tracker.metrics("long", source="batch")
    assert batches.attrs["thinned"] == ["long"]
    train = batches[(batches["phase"] == "train")]
    assert list(train["step"]) == [4000, 8000, 12000]
    assert "thinned" not in command("metrics", "list", "long").stderr
    assert "was pruned" in command("metrics", "list", "long", "--source", "batch").stderr
    assert list(tracker.history("long")["what"])[-2:] == [
        "23970 batch events dropped", "24 batch events dropped",
    ]  # fmt: skip
    assert "pruned" in command("runs", "show", "long").stdout
    command("db", "check")
    assert "Sound" in command("verify").stderr
    assert tracker.prune_runs("long") == {"long": 0}
    assert len(tracker.history("long")) == 4


def test_only_what_has_ended_is_pruned() -> None:
    """A run that is running, or lost, may still say more of its epochs."""
    opened = running()
    with pytest.raises(InvalidArgument, match="running"):
        tracker.prune_runs("away", store=opened)
    silent(opened, 600)
    with pytest.raises(InvalidArgument, match="lost"):
        tracker.prune_runs("away", store=opened)
    with pytest.raises(InvalidArgument, match="at least 1"):
        tracker.prune_runs("away", every=0, store=opened)
    opened.close()


def test_stats(store: Path) -> None:
    """By run and by experiment, in any format."""
    done = command("db", "stats")
    assert done.stdout.splitlines()[0].split()[:3] == ["experiment", "run", "status"]
    assert "tests: " in done.stderr
    rows = json.loads(command("db", "stats", "--format", "json").stdout)
    assert {row["run"] for row in rows} == {"alpha", "beta", "gamma"}
    size = store.stat().st_size
    assert 0.8 * size < sum(row["bytes"] for row in rows) <= size


def test_closing_again_goes_through(store: Path) -> None:
    """What was closed by hand can be resumed, and its old writer stays shut out."""
    opened = running("away", 9)
    silent(opened, 600)
    tracker.close_run("away", store=opened)
    callback = TrackerCallback(run="away")
    fit([callback])
    callback.close()
    assert run_of("away").state.status == "finished"
    with pytest.raises(WriterFenced):
        opened.append(identity("away", 9), fit_stream()[12:], expected_seq=12)
    assert (run_of("away").state.last_at or 0) > START
    opened.close()

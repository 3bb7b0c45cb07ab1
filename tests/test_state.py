"""A run as it was at one point of its stream."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import tracker
from tests.streams import START, Stream, fit_stream, identity
from tests.test_cli import tracker as command
from tracker.errors import InvalidArgument
from tracker.event import Record
from tracker.logs import decode
from tracker.projections import RunState, fold
from tracker.store.opening import connect_store, upgrade_store
from tracker.store.sql import SqlStore


@pytest.fixture(params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """A store with one run, on each engine."""
    url = f"sqlite:///{tmp_path}/state.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    store = connect_store(url, create=True)
    upgrade_store(store)
    with contextlib.closing(store):
        store.append(identity(), fit_stream(epochs=3), expected_seq=0)
        yield store


def test_every_point_is_the_fold_until_there(filled: SqlStore) -> None:
    """At each event the state says that event, and what the ones before it told."""
    records = fit_stream(epochs=3)
    for record in records:
        moment = tracker.state("run", record.seq, store=filled)
        then = fold(RunState(), records[: record.seq])
        assert (moment.seq, moment.kind, moment.at) == (record.seq, record.kind, record.at)
        assert (moment.call, moment.epoch, moment.batch) == (
            record.call, record.epoch, record.batch,
        )  # fmt: skip
        assert (moment.status, moment.epochs) == (then.status, then.epochs)
        assert moment.elapsed == record.at - records[0].at
        logged = [decode(one.logs) for one in records[: record.seq]
                  if one.logs != "{}" and one.kind.endswith("_end")]  # fmt: skip
        assert moment.logs == (logged[-1] if logged else {})
        assert moment.last.get("val_loss") == (
            then.metrics["train", "val_loss"].last if ("train", "val_loss") in then.metrics
            else None
        )  # fmt: skip
    assert tracker.state("run", store=filled).seq == len(records)


def test_phases(filled: SqlStore) -> None:
    """Validation is test, what follows it train again; between calls there is none."""
    records = fit_stream(epochs=3)

    def phase(kind: str, nth: int = 0) -> str | None:
        seqs = [one.seq for one in records if one.kind == kind]
        return tracker.state("run", seqs[nth], store=filled).phase

    assert phase("run_began") is None
    assert phase("call_began") == "train"
    assert phase("train_batch_end") == "train"
    assert phase("test_batch_end") == "test"
    assert phase("test_end") == "train"
    assert phase("epoch_end") == "train"
    assert phase("train_end") is None
    assert phase("test_begin", -1) == "test"
    assert phase("run_ended") is None


def test_epochs_and_times(filled: SqlStore) -> None:
    """The end of an epoch, and the last event before a time, however it is written."""
    ends = [one for one in fit_stream(epochs=3) if one.kind == "epoch_end"]
    moment = tracker.state("run", "epoch:1", store=filled)
    assert (moment.seq, moment.epochs) == (ends[1].seq, 2)
    assert moment.best["val_loss"].value == 0.5
    assert moment.best["val_loss"].epoch == 0
    assert moment.last["val_loss"] == 1.5
    assert (moment.planned_steps, moment.planned_epochs) == (3, None)
    then = datetime.fromtimestamp((START + 7_500) / 1e6, UTC)
    assert tracker.state("run", then, store=filled).seq == 7
    assert tracker.state("run", then.isoformat(), store=filled).seq == 7
    assert tracker.state("run", "now", store=filled).seq == len(fit_stream(epochs=3))


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (0, "has events 1 to"),
        ("seq:9999", "has events 1 to"),
        ("seq:x", "no point of a run"),
        ("epoch:7", "epochs 0 to 2 ended; epoch 7 did not"),
        ("epoch:first", "is no epoch"),
        ("soon", "no point of a run"),
        ("1999-01-01", "began only after"),
    ],
)
def test_points_that_are_none(filled: SqlStore, at: int | str, message: str) -> None:
    """What was wrong, and what is expected."""
    with pytest.raises(InvalidArgument, match=message):
        tracker.state("run", at, store=filled)


def test_a_pruned_run_has_points_still(filled: SqlStore) -> None:
    """At an event that is gone the state is that of the last one left before it."""
    tracker.prune_runs("run", store=filled)
    moment = tracker.state("run", 6, store=filled)
    assert moment.seq <= 6
    assert moment.kind == "epoch_begin"
    assert tracker.state("run", "epoch:2", store=filled).epochs == 3


def test_the_learning_rate_is_that_of_the_last_epoch(tmp_path: Path) -> None:
    """As a scheduler before the tracker logged it."""
    stream = Stream()
    stream.add("run_began", {"version": 2})
    stream.add("epoch_end", {"loss": 1.0, "learning_rate": 0.01}, call=1, epoch=0)
    with contextlib.closing(connect_store(f"sqlite:///{tmp_path}/x.db", create=True)) as store:
        upgrade_store(store)
        store.append(identity(), stream.records, expected_seq=0)
        assert tracker.state("run", store=store).learning_rate == 0.01
        assert tracker.state("run", 1, store=store).learning_rate is None


def test_the_command(tmp_path: Path) -> None:
    """Text for people, JSON for programs, mistakes in words."""
    url = f"sqlite:///{tmp_path}/x.db"
    store = connect_store(url, create=True)
    upgrade_store(store)
    records: list[Record] = fit_stream()
    store.append(identity(), records, expected_seq=0)
    store.close()
    shown = command("replay", "run", "--at", "epoch:0", "--store", url).stdout
    assert "epoch     0" in shown
    assert "val_loss  0.5, best 0.5 in epoch 0" in shown
    facts = json.loads(command("replay", "run", "--at", "end", "-f", "json", "--store", url).stdout)
    assert facts["seq"] == len(records)
    assert facts["best"]["val_loss"]["epoch"] == 0
    assert (
        "Expected seq:N" in command("replay", "run", "--at", "later", "--store", url, code=2).stderr
    )

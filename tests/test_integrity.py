"""Tampering is found, and placed; nothing that the tracker does itself is taken for it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

import tracker
from tests import strategies
from tests.streams import fit_stream, identity
from tests.test_cli import tracker as command
from tests.test_store import sql_store, sqlite_store  # noqa: F401 - fixtures
from tracker.errors import IntegrityFailure, InvalidArgument
from tracker.event import Record, chained, marks_of
from tracker.store.auditing import audit
from tracker.store.opening import open_store
from tracker.store.sql import SqlStore

RECORDS = fit_stream()


@pytest.fixture
def file(home: Path) -> Path:
    """The default store with a run of three appends, and one of one, its guards removed."""
    store = open_store(create=True)
    for first, last in ((0, 8), (8, 20), (20, len(RECORDS))):
        store.append(identity("run"), RECORDS[first:last], expected_seq=first)
    store.append(identity("other", 2), RECORDS, expected_seq=0)
    store.close()
    with closing(sqlite3.connect(home / "tracker.db")) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in names.fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.commit()
    return home / "tracker.db"


def tamper(file: Path, *statements: str) -> None:
    """Change the database as anybody may who can write the file."""
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
        connection.commit()


TAMPERED = [
    (["UPDATE events SET logs = replace(logs, '0.5', '0.6') WHERE run_id = 1 AND seq = 13"],
     [(13, "event 13 was changed")]),
    (["UPDATE events SET at = at + 1 WHERE run_id = 1 AND seq = 9"],
     [(9, "event 9 was changed")]),
    (["DELETE FROM events WHERE run_id = 1 AND seq IN (10, 11)"],
     [(10, "events 10 to 11 are missing")]),
    (["DELETE FROM events WHERE run_id = 1 AND seq = 1"],
     [(1, "event 1 is missing")]),
    (["UPDATE events SET seq = 1000 WHERE run_id = 1 AND seq = 14",
      "UPDATE events SET seq = 14 WHERE run_id = 1 AND seq = 15",
      "UPDATE events SET seq = 15 WHERE run_id = 1 AND seq = 1000"],
     [(14, "event 14 was moved there: it was event 15"),
      (15, "event 15 was moved there: it was event 14")]),
    ([f"INSERT INTO events SELECT run_id, seq + {len(RECORDS)}, at, kind, attempt, call, epoch, "
      "batch, logs FROM events WHERE run_id = 1 AND seq = 3"],
     [(len(RECORDS) + 3, f"event {len(RECORDS) + 3} was inserted")]),
    (["DELETE FROM appends WHERE run_id = 1 AND first_seq = 9"],
     [(9, "no append has event 9"), (9, "events 9 to 20 were inserted")]),
    (["UPDATE appends SET hash = zeroblob(32) WHERE run_id = 1 AND first_seq = 9"],
     [(9, "the seal of the events 9 to 20 was changed"), (21, "broken before event 21")]),
    ([f"DELETE FROM events WHERE run_id = 1 AND seq = {len(RECORDS)}"],
     [(len(RECORDS), f"event {len(RECORDS)} is missing")]),
    (["DELETE FROM events WHERE run_id = 1 AND seq > 20",
      "DELETE FROM appends WHERE run_id = 1 AND first_seq > 20"],
     [(21, "its end was cut off")]),
    (["UPDATE appends SET marks = NULL WHERE run_id = 1",
      "UPDATE events SET logs = '{}' WHERE run_id = 1 AND seq = 13"],
     [(9, "of the events 9 to 20 one was changed")]),
    (["UPDATE runs SET last_seq = 3 WHERE id = 1"],
     [(None, "tracker rebuild")]),
]  # fmt: skip


@pytest.mark.parametrize(("statements", "expected"), TAMPERED)
def test_tampering_is_placed(
    file: Path, statements: list[str], expected: list[tuple[int | None, str]]
) -> None:
    """What was changed, removed, inserted or moved is named; other runs are sound."""
    assert tracker.verify().empty
    tamper(file, *statements)
    found = tracker.verify()
    assert set(found["run"]) == {"run"}
    for (seq, words), row in zip(expected, found.to_dict("records"), strict=False):
        assert words in row["problem"]
        if seq is not None:
            assert row["seq"] == seq
    assert len(found) == len(expected)
    assert tracker.verify("other").empty


def test_a_tampered_store_can_be_read(file: Path) -> None:
    """Commands keep working; `verify` exits with 6 and says where, in any format."""
    tamper(file, "UPDATE events SET logs = replace(logs, '0.5', '0.6') WHERE run_id=1 AND seq = 13")
    assert "event 13 was changed" in command("verify", code=6).stdout
    (row,) = json.loads(command("verify", "run", "--format", "json", code=6).stdout)
    assert (row["run"], row["seq"], row["until"]) == ("run", 13, 13)
    assert "1 runs" in command("verify", "other").stderr
    assert "run" in command("runs", "list").stdout
    command("events", "list", "run")
    command("runs", "tag", "run", "odd")
    command("rebuild")
    refused = command("runs", "prune", "--batches", "run", "-y", code=6)
    assert "event 13 was changed" in refused.stderr


@settings(max_examples=40)
@given(data=st.data())
def test_any_changed_byte_is_found(sql_store: SqlStore, data: st.DataObject) -> None:  # noqa: F811
    """Of a generated stream, whichever event is changed, and it is that one which is named."""
    records = data.draw(strategies.streams(20))
    number = len(sql_store.runs()) + 1
    before = 0
    for place in data.draw(strategies.cuts(len(records))):
        sql_store.append(identity(f"r{number}", number), records[before:place], expected_seq=before)
        before = place
    seq = data.draw(st.integers(1, len(records)))
    change = data.draw(st.sampled_from(["at = at + 1", "kind = kind || 'x'", "attempt = 9",
                                        "epoch = 77", "batch = 77", "call = 77"]))  # fmt: skip
    with sql_store.snapshot() as connection:
        (run,) = [one for one in sql_store.runs() if one.uuid == identity(number=number).uuid]
        assert list(audit(connection, run)) == []
    unguarded(sql_store, f"UPDATE events SET {change} WHERE run_id = {run.id} AND seq = {seq}")
    with sql_store.snapshot() as connection:
        assert [one.seq for one in audit(connection, run)] == [seq]


def unguarded(store: SqlStore, statement: str) -> None:
    """Run a statement that the triggers would refuse, as a superuser may."""
    with store.writing() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER IF EXISTS events_no_update"))
        else:
            connection.execute(text("ALTER TABLE events DISABLE TRIGGER ALL"))
        connection.execute(text(statement))


def rewritten(store: SqlStore, records: list[Record]) -> None:
    """Replace a run's history by another one that is sound in itself."""
    head = bytes(32)
    with store.writing() as connection:
        for table in ("events", "appends"):
            connection.execute(text(f"DELETE FROM {table} WHERE run_id = 1"))
        after = chained(head, records)
        store._dialect.insert_events(connection, 1, records)
        connection.execute(
            text("INSERT INTO appends VALUES (1, 1, :last, 2, 0, :head, :after, :marks)"),
            {"last": len(records), "head": head, "after": after, "marks": marks_of(records)},
        )
        connection.execute(
            text("UPDATE runs SET head = :after, last_seq = :last WHERE id = 1"),
            {"after": after, "last": len(records)},
        )


def test_noted_heads(file: Path, tmp_path: Path) -> None:
    """A cut tail and a rewritten chain that are sound in themselves do not have the noted head."""
    noted = tracker.heads()
    assert list(noted["run"]) == ["run", "other"]
    head = str(noted["head"][0])
    heads = tmp_path / "heads.csv"
    command("verify", "--heads", "-o", str(heads))
    plain = tmp_path / "heads.txt"
    plain.write_text(command("verify", "--heads").stdout)
    store = open_store()
    tracker.tag_run("run", ["later"], store=store)
    assert tracker.verify(expect=head).empty, "a run may grow"
    for source in (f"@{heads}", f"@{plain}", head):
        assert "Sound" in command("verify", "--expect", source).stderr
    rewritten(store, [*RECORDS[:-1], RECORDS[-1]._replace(at=1)])
    assert tracker.verify(store=store).empty
    (problem,) = tracker.verify(expect=head, store=store)["problem"]
    assert "rewritten" in problem
    rewritten(store, RECORDS[:-3])
    assert tracker.verify(store=store).empty
    (problem,) = tracker.verify(expect=head, store=store)["problem"]
    assert "its end was cut off" in problem
    assert "cut off" in command("verify", "--expect", f"@{heads}", code=6).stdout
    gone = head.replace(identity().uuid, identity(number=9).uuid)
    assert "gone" in tracker.verify(expect=gone, store=store)["problem"][0]
    with pytest.raises(InvalidArgument, match="UUID:SEQ:HASH"):
        tracker.verify(expect="abc", store=store)
    assert "no head" in command("verify", "--expect", "abc", code=2).stderr
    command("verify", "--expect", "@nowhere", code=2)
    store.close()


def test_pruned_and_purged_runs_are_sound(file: Path) -> None:
    """Pruning and purging are understood; what they left is still guarded."""
    head = str(tracker.heads("run")["head"][0])
    other = str(tracker.heads("other")["head"][0])
    assert tracker.prune_runs("run", every=2) == {"run": 4}
    tracker.purge_runs("other")
    assert tracker.verify(expect=[head, other]).empty
    tamper(file, "UPDATE events SET at = at + 1 WHERE run_id = 1 AND seq = 5")
    (found,) = tracker.verify().to_dict("records")
    assert "of what pruning left" in found["problem"]
    assert found["seq"] <= 5 <= found["until"]
    with pytest.raises(IntegrityFailure):
        tracker.prune_runs("run")
    tamper(file, "UPDATE events SET at = at - 1 WHERE run_id = 1 AND seq = 5",
           "DELETE FROM events WHERE run_id = 1 AND seq = 2")  # fmt: skip
    assert len(tracker.verify()) == 1
    forged = other[:-1] + ("0" if other[-1] != "0" else "1")
    assert len(tracker.verify(expect=forged)) - len(tracker.verify()) == 1


def test_a_stream_of_many_pieces(
    sql_store: SqlStore,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What pruning left of a long run is guarded piece by piece."""
    monkeypatch.setattr("tracker.store.stated.PIECE", 10)
    records = fit_stream(epochs=12, batches=4)
    sql_store.append(identity(), records, expected_seq=0)
    sql_store.prune(identity().uuid, {})
    sql_store.declare(identity().uuid, "tags_changed", {"set": {"a": ""}, "removed": []})
    left = list(sql_store.read(identity().uuid))
    unguarded(sql_store, f"UPDATE events SET at = 0 WHERE seq = {left[34].seq}")
    (run,) = sql_store.runs()
    with sql_store.snapshot() as connection:
        (found,) = audit(connection, run)
    assert (found.seq, found.until) == (left[30].seq, left[39].seq)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_verify_while_training_appends(
    engine: str,
    sqlite_store: SqlStore,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All that is checked is of one moment, whatever is appended meanwhile."""
    sqlite_store.append(identity(), RECORDS[:10], expected_seq=0)
    from tracker.store import auditing

    events: Callable[..., object] = auditing._events

    def late(*arguments: object) -> object:
        other = open_store(sqlite_store.url)
        other.append(identity(), RECORDS[10:], expected_seq=10)
        other.close()
        monkeypatch.setattr(auditing, "_events", events)
        return events(*arguments)

    monkeypatch.setattr(auditing, "_events", late)
    assert tracker.verify(store=sqlite_store).empty
    assert sqlite_store.runs()[0].state.last_seq == len(RECORDS)

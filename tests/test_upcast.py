"""Streams of every vocabulary that there was are read by today's program as if it had written them.

`tests/frozen/events_N.jsonl` are canonical records that programs of vocabulary N wrote: they stay
as they are.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

import tracker
from tests.streams import Stream, fit_stream, identity
from tests.test_cli import tracker as command
from tests.test_store import sql_store, sqlite_store, store  # noqa: F401 - fixtures
from tracker.errors import EventsTooNew
from tracker.event import BY_HAND, VERSION, Record
from tracker.logs import decode
from tracker.query import describe, run_of
from tracker.store import stated
from tracker.store.port import EventStore
from tracker.store.rebuilding import rebuild
from tracker.store.sql import SqlStore
from tracker.upcast import upcast

FROZEN = Path(__file__).parent / "frozen"


def frozen(version: int) -> list[Record]:
    """The frozen records of a vocabulary."""
    lines = (FROZEN / f"events_{version}.jsonl").read_bytes().splitlines()
    return [Record(*orjson.loads(line)) for line in lines]


def put(
    into: EventStore, records: list[Record], version: int, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Store a frozen stream; returns its UUID."""
    uuid = str(decode(records[0].logs)["uuid"])
    run = replace(identity("frozen"), uuid=uuid, version=version)
    for by_hand, piece in groupby(records, lambda record: record.kind in BY_HAND):
        some = list(piece)
        if not by_hand:
            into.append(run, some, expected_seq=some[0].seq - 1)
            continue
        for fact in some:
            clock = SimpleNamespace(time_ns=lambda at=fact.at: at * 1000)
            monkeypatch.setattr(stated, "time", clock)
            into.declare(run.uuid, fact.kind, decode(fact.logs))
    return run.uuid


def test_there_is_a_frozen_stream_of_every_vocabulary() -> None:
    """Whoever raises `VERSION` freezes what the program wrote until then."""
    assert [path.name for path in sorted(FROZEN.glob("events_*.jsonl"))] == [
        f"events_{version}.jsonl" for version in range(1, VERSION + 1)
    ]


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_a_frozen_stream(
    version: int,
    store: EventStore,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every store gives back today's records of it, and hooks to the letter."""
    records = frozen(version)
    uuid = put(store, records, version, monkeypatch)
    read = list(store.read(uuid))
    assert [one[:7] for one in read] == [one[:7] for one in records]
    changed = {one.kind for one, was in zip(read, records, strict=True) if one != was}
    assert changed == {1: {"run_crashed"}, 2: set()}[version]
    found = store.find(uuid)
    assert found is not None
    assert (found.state.oldest_version, found.state.version) == (
        version, max(VERSION if any(one.kind in BY_HAND for one in records) else 0, version),
    )  # fmt: skip


def test_who_closed_a_run_of_version_1(
    sql_store: SqlStore,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was a text is user and host, wherever it is shown; the stored event is as it was."""
    records = frozen(1)
    uuid = put(sql_store, records, 1, monkeypatch)
    assert decode(records[-1].logs)["by"] == "her@desk"
    (fact,) = tracker.events(uuid, kind="run_crashed", logs="dict", store=sql_store)["logs"]
    assert fact["by"] == {"user": "her", "host": "desk"}
    assert list(tracker.stream(uuid, store=sql_store))[-1].logs == fact
    assert list(tracker.history(uuid, store=sql_store)["by"].dropna()) == ["her@desk"]
    assert tracker.verify(store=sql_store).empty
    state = run_of(uuid, store=sql_store).state
    assert (state.status, state.pid, state.attempt) == ("crashed", 4711, 1)
    assert state.next_call == 1


def test_a_whole_life_of_version_2(
    sql_store: SqlStore,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every fact of it is folded and shown, live and rebuilt."""
    uuid = put(sql_store, frozen(2), 2, monkeypatch)
    state = run_of(uuid, store=sql_store).state
    assert (state.name, state.experiment, state.group) == ("frozen 2", "vocabulary 2", "all")
    assert (state.attempt, state.status, state.tags) == (2, "finished", {"second": "2"})
    assert state.note == "to be read for ever"
    assert state.archived_at is None
    assert state.params["lr"] == 0.1
    assert describe(uuid, store=sql_store)["attempts"][2]["changed"] == {"lr": [0.01, 0.1]}
    curve = tracker.metrics(uuid, names="loss", store=sql_store)
    fits = curve[curve["phase"] == "train"]
    assert list(zip(fits["attempt"], fits["call"], fits["epoch"], strict=True)) == [
        (1, 1, 0), (1, 1, 1), (1, 4, 0), (2, 4, 1), (2, 4, 2),
    ]  # fmt: skip
    rebuild(sql_store)
    assert run_of(uuid, store=sql_store).state == state


def test_vocabularies_may_change_along_a_stream(
    sql_store: SqlStore,  # noqa: F811 - the fixture
) -> None:
    """A run that an older program began, and a newer one resumed, has both."""
    old = frozen(1)
    run = replace(identity(), uuid=str(decode(old[0].logs)["uuid"]))
    sql_store.append(replace(run, version=1), old, expected_seq=0)
    new = Stream()
    new.records = list(old)
    new.add("run_resumed", {"version": 2}, attempt=2)
    new.add("run_crashed", {"reason": "closed", "by": {"user": "her@home", "host": "desk"}})
    sql_store.append(run, new.records[len(old) :], expected_seq=len(old))
    history = tracker.history("run", store=sql_store)
    assert list(history["by"].dropna()) == ["her@desk", "her@home@desk"]
    state = run_of("run", store=sql_store).state
    assert (state.oldest_version, state.version) == (1, 2)
    rebuild(sql_store)
    assert run_of("run", store=sql_store).state == state


def test_events_of_a_later_vocabulary(home: Path) -> None:
    """Lists show such a run; what would have to read its events says what to do."""
    opened = tracker.open_store(create=True)
    opened.append(replace(identity("new"), version=VERSION + 1), fit_stream(), expected_seq=0)
    opened.close()
    assert "new" in command("runs", "list").stdout
    for line in ("runs show new", "runs tag new x", "events list new"):
        said = command(*line.split(), code=5).stderr
        assert f"vocabulary {VERSION + 1}" in said
        assert "pip install --upgrade" in said
    with pytest.raises(EventsTooNew):
        tracker.TrackerCallback(run="new")


def test_nothing_to_do_costs_nothing() -> None:
    """Records of today are handed through as they are."""
    records = fit_stream()
    assert upcast(records, VERSION) is records
    assert upcast(records, 1) is records, "there is none of a kind that changed"

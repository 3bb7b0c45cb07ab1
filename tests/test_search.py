"""Runs in order, page by page, and the columns that a list shows."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests.streams import Stream, identity
from tests.test_cli import TRACKER
from tests.test_store import sql_store, sqlite_store  # noqa: F401 - fixtures
from tests.test_where import INF, NAN, put
from tracker import query
from tracker.errors import InvalidArgument, InvalidFilter, RunNotFound, UnknownColumn
from tracker.event import VERSION
from tracker.store import schema
from tracker.store.opening import open_store
from tracker.store.rebuilding import rebuild
from tracker.store.sql import SqlStore


def fill(store: SqlStore) -> None:
    """Runs whose values differ in all ways; the latest has the greatest id."""
    put(
        store, "a", experiment="x", params={"lr": 0.1, "opt": "sgd", "deep": {"b c": 1}},
        tags={"kind": "fast"}, epochs=({"loss": 3.0, "val_loss": 0.5}, {"loss": 1.0}),
        end={"status": "finished"},
    )  # fmt: skip
    put(
        store, "B", day=1, experiment="x", params={"lr": 10, "opt": "sgd"},
        epochs=({"loss": 2.0, "val_loss": NAN}, {"loss": NAN}), end={"status": "failed"},
    )  # fmt: skip
    put(store, "c", day=2, params={"lr": "auto"}, test={"loss": 0.25}, tags={"kind": "é"})
    put(store, "d", day=3, params={"lr": NAN}, epochs=({"loss": INF},), end={"status": "finished"})
    put(store, "e", day=4, params={"lr": 0.1}, epochs=({"loss": 1.0, "test_loss": 0.5},))
    put(store, "f", day=5, params={"lr": True})
    put(store, "g", day=6, params={"lr": -INF, "opt": None}, epochs=({"loss": -1.0},))
    put(store, "h", day=7, params={"lr": "a b"}, tags={"kind": "Z"})
    put(store, "i", day=8, params={"lr": 'a"'})
    put(store, "j", day=9, params={"lr": "a"})


def order(store: SqlStore, sort: str | None, **asked: Any) -> str:
    """Names of the runs in an order."""
    return " ".join(query.runs(sort=sort, columns=["name"], store=store, **asked)["name"])


#: Orders, and the runs in them.
ORDERS = {
    "-started": "j i h g f e d c B a",
    "started": "a B c d e f g h i j",
    "id": "a B c d e f g h i j",
    "name": "B a c d e f g h i j",
    "-name": "j i h g f e d c a B",
    "experiment, started": "a B c d e f g h i j",
    "-status, name": "e f g h i j a c d B",
    "-epochs, -id": "B a g e d j i h f c",
    "archived, id": "a B c d e f g h i j",
    # NaN and missing last, both ways; numbers before texts; of the same the latest first.
    "params.lr": "g e a B j h i c f d",
    "-params.lr": "B e a g f c i h j d",
    "params.deep.'b c'": "a j i h g f e d c B",
    "params.opt": "B a j i h g f e d c",
    "params.opt, params.lr": "a B g e j h i c f d",
    "tags.kind": "h a c j i g f e d B",
    "-tags.kind": "c a h j i g f e d B",
    "loss": "g e a d j i h f c B",
    "-loss": "d e a g j i h f c B",
    "loss, id": "g a e d B c f h i j",
    "loss:last": "g e a d j i h f c B",
    "loss:max": "g e B a d j i h f c",
    "-max(loss)": "d a B e g j i h f c",
    "loss:first": "g e B a d j i h f c",
    "min(loss), name": "g a e B d c f h i j",
    "val_loss:min": "a j i h g f e d c B",
    "val_loss:first": "a j i h g f e d c B",
    "test_loss": "c e j i h g f d B a",
    "-test_loss:min": "e c j i h g f d B a",
    "`loss`:MIN, -started": "g e a B d j i h f c",
}


def test_orders(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """Each is as it should be, on each engine, and so are its pages of any size."""
    fill(sql_store)
    with sql_store.writing() as connection:  # none is lost
        heartbeat = schema.runs.c.heartbeat_at + int(1e15)
        connection.execute(update(schema.runs).values(heartbeat_at=heartbeat))
    assert {sort: order(sql_store, sort) for sort in ORDERS} == ORDERS
    for sort, names in ORDERS.items():
        for size in (1, 3):
            assert " ".join(pages(sql_store, sort, size)) == names, (sort, size)
    assert order(sql_store, None) == ORDERS["-started"]
    assert order(sql_store, None, limit=3, after="h") == "g f e"
    some = "loss < 2 or params.lr like 'a%'"
    assert order(sql_store, "loss:max", where=some) == "g e a j i h c"
    assert pages(sql_store, "loss:max", 2, where=some) == "g e a j i h c".split()
    with sql_store.writing() as connection:  # its first event is not there yet
        late = update(schema.runs).where(schema.runs.c.name.in_(["e", "f"]))
        connection.execute(late.values(began_at=None))
    assert pages(sql_store, "-started", 3) == "j i h g d c B a f e".split()
    assert pages(sql_store, "started", 3) == "a B c d g h i j f e".split()
    assert order(sql_store, None, limit=20) == "j i h g d c B a f e"


def pages(store: SqlStore, sort: str, size: int, **asked: Any) -> list[str]:
    """The names of all pages of a size."""
    names: list[str] = []
    while page := order(store, sort, limit=size, after=names[-1] if names else None, **asked):
        names += page.split()
    return names


def test_pages_repeat_nothing_when_runs_are_added(
    sql_store: SqlStore,  # noqa: F811 - the fixture
) -> None:
    """What comes before the page stays before it."""
    fill(sql_store)
    assert order(sql_store, "loss:min", limit=2) == "g e"
    put(sql_store, "new", day=10, epochs=({"loss": -5.0},))
    assert order(sql_store, "loss:min", limit=2, after="e") == "a B"
    assert order(sql_store, "-started", limit=2, after="j") == "i h"
    assert order(sql_store, "-duration", after="a").split() == (
        order(sql_store, "-duration").partition(" a ")[2].split()
    )
    assert order(sql_store, "-started", after="@last~9") == "a"
    assert order(sql_store, "id", after="new") == ""
    with pytest.raises(RunNotFound, match="nobody"):
        query.runs(after="nobody", store=sql_store)
    with pytest.raises(InvalidArgument, match="-1"):
        query.runs(limit=-1, store=sql_store)


#: Orders that are refused, the character that is pointed at, and what is said.
MISTAKES = [
    ("^", "found the end, expected a field such as started, -started or val_loss:min"),
    ("loss,^", "found the end, expected a field"),
    ("loss,^, id", "found ,, expected a field"),
    ("-^-loss", "found -, expected a field"),
    ("id, loss ^desc", "Write - before the field"),
    ("loss ^asc", "Leave it out"),
    ("loss ^< 3", "found <, expected"),
    ("loss:^mean", "found mean, expected last, min, max or first"),
    ("loss:^", "found the end, expected last, min, max or first"),
    ("^mean(loss)", "expected last, min, max or first"),
    ("^params.lr:min", "expected the name of a metric"),
    ("min(loss^", r'expected "\)"'),
    ("id, ^val_los:min", "expected a metric that a run has. Did you mean val_loss?"),
    ("^startd", "Did you mean started?"),
    ("-^params.op", "expected a parameter that a run has. Did you mean params.opt?"),
    ("^tags.zzz", "expected a tag that a run has. There are: kind"),
    ("^Status", "Did you mean status?"),
    ("^tags", "expected tags with a name"),
    ("loss, 'a^\x00'", r"U\+0000"),
    ("^" + ",".join(["id"] * 21), "21 fields, expected at most 20"),
]


@pytest.mark.parametrize(("sort", "message"), MISTAKES)
def test_orders_that_are_refused(sort: str, message: str, filled: SqlStore) -> None:
    """With the place, and what was expected there."""
    position = sort.index("^")
    with pytest.raises(InvalidFilter, match=message) as caught:
        query.runs(sort=sort.replace("^", "", 1), store=filled)
    told, _, caret = str(caught.value).split("\n")
    assert told.startswith("The order cannot be understood: found ")
    assert caret == " " * (2 + min(position, 61)) + "^"


@pytest.fixture(scope="module", name="filled")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('search')}/runs.db", create=True)
    fill(store)
    yield store
    store.close()


def test_nothing_is_misspelt_where_nothing_is(tmp_path: Path) -> None:
    """A store without metrics can be ordered by one, and has columns of them."""
    store = open_store(f"sqlite:///{tmp_path}/runs.db", create=True)
    assert query.runs(sort="val_loss:min, params.lr", limit=3, store=store).empty
    frame = query.runs(columns="name, min(val_loss), params.lr", store=store)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "name": "string", "min(val_loss)": "float64", "params.lr": "object"
    }  # fmt: skip
    store.close()


def test_columns_of_any_field(filled: SqlStore) -> None:
    """They are named as they were written, with the values that filters and orders see."""
    asked = ["name", "params.opt", "params.deep.'b c'", "tags.kind", "min(loss)", "loss:first",
             "test_loss:max", "last(test_loss)", "ended", "loss"]  # fmt: skip
    frame = query.runs(sort="id", limit=5, columns=asked, store=filled)
    assert list(frame.columns) == asked
    types = [str(dtype) for dtype in frame.dtypes]
    assert types == ["string", "string", "Int64", "string", *["float64"] * 4,
                     "datetime64[us, UTC]", "float64"]  # fmt: skip
    assert list(frame["params.opt"].dropna()) == ["sgd", "sgd"]
    assert frame["params.deep.'b c'"][0] == 1
    assert list(frame["tags.kind"].dropna()) == ["fast", "é"]
    assert str(list(frame["min(loss)"])) == "[1.0, 2.0, nan, inf, 1.0]"
    assert str(list(frame["loss:first"])) == "[3.0, 2.0, nan, inf, 1.0]"
    assert str(list(frame["test_loss:max"])) == "[nan, nan, 0.25, nan, 0.5]"
    assert frame["last(test_loss)"].equals(frame["test_loss:max"])
    assert list(frame["ended"].isna()) == [False] * 4 + [True]
    as_text = query.runs(sort="id", limit=5, columns=", ".join(asked), store=filled)
    assert as_text.equals(frame)
    mixed = query.runs(sort="id", columns=["params.lr"], store=filled)["params.lr"]
    assert mixed.dtype == object
    assert mixed[0] == 0.1
    assert mixed[1] == 10
    assert mixed[2] == "auto"
    assert math.isnan(mixed[3])
    assert mixed[5] is True
    # Not one of these runs has it, but others have.
    nothing = query.runs(where="name = 'c'", columns=["val_loss", "params.opt"], store=filled)
    assert nothing.isna().all(axis=None)
    assert list(query.runs(columns=[], store=filled).columns) == []


@pytest.mark.parametrize(
    ("columns", "kind", "message"),
    [
        ("name, ^val_los", UnknownColumn, "no column 'val_los'. Did you mean 'val_loss'?"),
        ("^statu", UnknownColumn, "Did you mean 'status'?"),
        ("name, ^min(val_los)", InvalidFilter, "Did you mean val_loss?"),
        ("name, ^params.op", InvalidFilter, "Did you mean params.opt?"),
        ("name, params^.", InvalidFilter, "expected a dot with a name"),
        ("^", InvalidFilter, "found the end, expected a field"),
        ("^-name", InvalidFilter, "found -, expected a field"),
        ("name ^= 3", InvalidFilter, "found =, expected"),
        ("name, loss:^avg", InvalidFilter, "expected last, min, max or first"),
    ],
)
def test_columns_that_are_refused(
    columns: str, kind: type[Exception], message: str, filled: SqlStore
) -> None:
    """With the place, and what is there."""
    position = columns.index("^")
    text = columns.replace("^", "")
    for asked in (text, text.split(", ")):
        with pytest.raises(kind, match=message.replace("(", r"\(")) as caught:
            query.runs(columns=asked, store=filled)
        assert str(caught.value).split("\n")[2] == " " * (2 + position) + "^"


def test_only_what_differs(filled: SqlStore) -> None:
    """Columns in which all runs agree are hidden; params that differ are shown."""
    frame = query.runs(where="experiment = 'x'", only_changed=True, store=filled)
    shown = set(frame.columns)
    assert {"name", "status", "started", "loss", "val_loss", "params.lr"} <= shown
    assert not shown & {"experiment", "epochs", "attempt", "host", "archived", "params.opt"}
    # `b c` has a blank: in quotes it can be asked for again.
    assert "params.`deep.b c`" in shown
    again = query.runs(
        where="experiment = 'x'", columns=["params.`deep.b c`", "params.opt", "name"],
        only_changed=True, store=filled,
    )  # fmt: skip
    assert list(again.columns) == ["params.`deep.b c`", "name"]
    alone = query.runs(where="name = 'a'", only_changed=True, store=filled)
    assert {"experiment", "params.opt"} <= set(alone.columns)
    agreed = query.runs(limit=2, columns=["experiment"], only_changed=True, store=filled)
    assert agreed.shape == (2, 0)


def test_nan_agrees_with_nan_and_not_with_what_is_missing(tmp_path: Path) -> None:
    """And a number with the same number, but not with a truth value."""
    store = open_store(f"sqlite:///{tmp_path}/runs.db", create=True)
    for name, params, loss in (
        ("a", {"x": 1, "y": NAN, "z": [1, 2], "w": 1}, {"loss": NAN, "acc": 1.0}),
        ("b", {"x": 1.0, "y": NAN, "z": [1, 2], "w": True}, {"loss": NAN, "acc": NAN}),
    ):
        put(store, name, params=params, epochs=(loss,))
    frame = query.runs(only_changed=True, store=store)
    assert "acc" in frame.columns
    assert "params.w" in frame.columns
    assert not {"loss", "params.x", "params.y", "params.z"} & set(frame.columns)
    store.close()


def test_the_first_value_is_the_first_that_counts(
    sql_store: SqlStore,  # noqa: F811 - the fixture
) -> None:
    """Of an epoch that a later attempt ran again, that attempt's; also after a rebuild."""
    stream = Stream()
    stream.add("run_began", {"version": VERSION})
    stream.add("call_began", {"phase": "train"}, call=1)
    stream.add("epoch_end", {"loss": 9.0, "once": 4.0}, call=1, epoch=0)
    stream.add("epoch_end", {"loss": 5.0}, call=1, epoch=1)
    first = list(stream.records)
    stream.add("run_resumed", {}, attempt=2)
    stream.add("call_began", {"phase": "train"}, attempt=2, call=1)
    stream.add("epoch_end", {"loss": 7.0}, attempt=2, call=1, epoch=0)
    stream.add("epoch_end", {"loss": 6.0}, attempt=2, call=1, epoch=1)
    sql_store.append(identity("run", 1), first, expected_seq=0)
    assert order(sql_store, "id", where="first(loss) = 9 and first(once) = 4") == "run"
    again = stream.records[len(first) :]
    sql_store.append(identity("run", 1), again, expected_seq=len(first))
    for _ in range(2):
        assert order(sql_store, "id", where="first(loss) = 7 and once is null") == "run"
        with sql_store.writing() as connection:
            connection.execute(update(schema.run_metrics).values(first=1.0))
        rebuild(sql_store)


def tracker(*arguments: str, store: Path, code: int = 0) -> str:
    """What the command line writes to stdout, or if it fails to stderr."""
    done = subprocess.run(
        [*TRACKER, *arguments, "--store", store],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_the_command_line(tmp_path: Path) -> None:
    """Sorts, pages and chooses columns as Python does, and loads no pandas for it."""
    path = tmp_path / "runs.db"
    store = open_store(f"sqlite:///{path}", create=True)
    fill(store)
    store.close()
    listed = ("runs", "list", "--sort", "-loss:max", "--limit", "2")
    asked = ("--columns", "name,params.lr,loss:max,loss", "--format", "json")
    assert json.loads(tracker(*listed, *asked, store=path)) == [
        {"name": "d", "params.lr": "NaN", "loss:max": "Infinity", "loss": "Infinity"},
        {"name": "a", "params.lr": 0.1, "loss:max": 3.0, "loss": 1.0},
    ]
    rest = json.loads(tracker(*listed, "--after", "a", *asked, store=path))
    assert [(row["name"], row["loss"]) for row in rest] == [("B", "NaN"), ("e", 1.0)]
    where = ("runs", "list", "--where", "experiment = 'x'")
    head = tracker(*where, "--only-changed", store=path).splitlines()[0].split()
    assert head[:4] == ["status", "name", "started", "loss"]
    assert "params.lr" in head
    assert "experiment" not in head
    csv = tracker(*where, "--columns", "name,params.lr,started", "-f", "csv", store=path)
    assert csv.splitlines()[1].startswith("B,10.0,2026-01-02T00:00:00.001000+0000")
    wrong = tracker("runs", "list", "--sort", "val_los:min", store=path, code=2)
    assert "Did you mean val_loss?\n  val_los:min\n  ^\n" in wrong
    wrong = tracker("runs", "list", "--columns", "name,min(", store=path, code=2)
    assert wrong.endswith("  name,min(\n           ^\n")
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('pandas' in sys.modules))\n"
        f"sys.argv = ['tracker', 'runs', 'list', '--store', {str(path)!r}, '--sort', 'loss']\n"
        "from tracker.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"

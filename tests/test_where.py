"""The filter language: what it finds, what it refuses, and that nothing gets through it."""

from __future__ import annotations

import math
import operator
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from tests.streams import Stream, identity
from tests.test_store import sql_store, sqlite_store  # noqa: F401 - fixtures
from tracker import ordering
from tracker.errors import InvalidFilter
from tracker.event import VERSION
from tracker.search import found_runs
from tracker.store import schema
from tracker.store.port import Run
from tracker.store.sql import SqlStore
from tracker.where import compile_where
from tracker.where import sql as where_sql

INF, NAN = math.inf, math.nan
DAY = 86_400_000_000


def put(
    store: SqlStore,
    name: str,
    *,
    day: int = 0,
    epochs: tuple[dict[str, float], ...] = (),
    test: dict[str, float] | None = None,
    end: dict[str, Any] | None = None,
    **began: Any,
) -> None:
    """A run that began so many days after the new year of 2026, in UTC."""
    stream = Stream()
    host = began.pop("host", None)
    stream.add("run_began", {"version": VERSION, "environment": {"host": host}, **began})
    stream.add("call_began", {"phase": "train"}, call=1)
    for epoch, logs in enumerate(epochs):
        stream.add("epoch_end", logs, call=1, epoch=epoch)
    if test is not None:
        stream.add("train_end", call=1)
        stream.add("call_began", {"phase": "test"}, call=2)
        stream.add("test_end", test, call=2)
    if end is not None:
        stream.add("run_ended", end)
    records = [record._replace(at=record.at + day * DAY) for record in stream.records]
    number = len(store.runs()) + 1
    store.append(identity(name, number), records, expected_seq=0)


def fill(store: SqlStore) -> None:
    """A handful of runs."""
    put(
        store, "alpha", experiment="digits", group="sweep", rank=0, host="gpu-1",
        params={"lr": 0.1, "odd key": "it's", "augment": True, "seed": None, "layers": [64, 32],
                "opt": {"class": "Adam", "b.c": 1}, "text": 'a "b" \\ c', "date": "2026-01-10"},
        tags={"baseline": "", "kind": "fast", "a-b c": "x"},
        epochs=({"loss": 1.0, "val_loss": 0.7}, {"loss": 0.5, "val_loss": 0.9, "val/acc": 0.8}),
        end={"status": "finished"},
    )  # fmt: skip
    store.declare(identity(number=1).uuid, "note_changed", {"note": "100% sure"})
    put(
        store, "Beta", day=1, experiment="digits", rank=1, params={"lr": 0.01, "opt": "adam"},
        tags={"kind": "slow"}, epochs=({"loss": 2.0}, {"loss": NAN}),
        end={"status": "failed", "error": {"type": "MemoryError", "message": "no GPU memory"}},
    )  # fmt: skip
    put(store, "gamma", day=2, params={"lr": "auto", "augment": False})
    put(store, "delta", day=2, params={"lr": NAN})
    put(store, "epsilon", day=3, test={"loss": 0.25}, end={"status": "finished"})
    store.declare(identity(number=5).uuid, "run_archived", {})
    put(
        store, "zeta", day=4, params={"lr": INF}, epochs=({"test_loss": 0.9, "loss": INF},),
        test={"loss": 0.1}, end={"status": "interrupted"},
    )  # fmt: skip
    put(store, "old", day=-40, params={"lr": -1, "layers": [8]})
    with store.writing() as connection:
        age = schema.runs.c.heartbeat_at - int(600e6)
        runs, name = update(schema.runs), schema.runs.c.name
        connection.execute(runs.where(name == "delta").values(heartbeat_at=age))
        connection.execute(runs.where(name == "old").values(heartbeat_at=None))


def found(store: SqlStore, where: str) -> list[str]:
    """Names of the runs that a filter is true for."""
    wanted = select(schema.runs.c.name).where(compile_where(where)).order_by(schema.runs.c.id)
    with store.reading() as connection:
        return list(connection.execute(wanted).scalars())


ALL = "alpha Beta gamma delta epsilon zeta old"

#: Filters, and the runs that they find.
FILTERS = {
    # Statuses
    "status = 'finished'": "alpha epsilon",
    'status == "running"': "gamma",
    'status = "lost"': "delta old",
    'status <> "lost"': "alpha Beta gamma epsilon zeta",
    'status in ["failed", "interrupted"]': "Beta zeta",
    'status not in ("failed", "interrupted", "lost")': "alpha gamma epsilon",
    'status like "f%"': "alpha Beta epsilon",
    "status is null": "",
    # Texts, and numbers of runs
    'name = "alpha"': "alpha",
    'name = "ALPHA"': "",
    'name like "%a"': "alpha Beta gamma delta zeta",
    'name like "b%"': "",
    'name like "_et_"': "Beta zeta",
    'name not like "%a"': "epsilon old",
    'name < "b"': "alpha Beta",
    'name between "d" and "f"': "delta epsilon",
    'uuid like "%-000000000003"': "gamma",
    'experiment = "digits"': "alpha Beta",
    'experiment != "digits"': "",
    'not experiment = "digits"': "gamma delta epsilon zeta old",
    "experiment is null": "gamma delta epsilon zeta old",
    "experiment is not null": "alpha Beta",
    'group = "sweep"': "alpha",
    "rank >= 0": "alpha Beta",
    "rank is null": "gamma delta epsilon zeta old",
    'note like "100%"': "alpha",
    'host = "gpu-1"': "alpha",
    "id in [1, 3, 99999999999999999999999]": "alpha gamma",
    "attempt = 1": ALL,
    "epochs > 1.5": "alpha Beta",
    "epochs between 1 and 2": "alpha Beta zeta",
    "epochs not between 1 and 2": "gamma delta epsilon old",
    "events < 3": "gamma delta old",
    "events >= -1e-3 and events < inf": ALL,
    'error = "MemoryError"': "Beta",
    'error like "%GPU%"': "Beta",
    'error like "Mem%"': "Beta",
    'error not like "Mem%"': "",
    "error is null": "alpha gamma delta epsilon zeta old",
    # Times
    'started = "2026-01-02"': "Beta",
    'started != "2026-01-02"': "alpha gamma delta epsilon zeta old",
    'started > "2026-01-02"': "gamma delta epsilon zeta",
    'started >= "2026-01-02"': "Beta gamma delta epsilon zeta",
    'started < "2026-01-02"': "alpha old",
    'started <= "2026-01-02"': "alpha Beta old",
    'started between "2026-01-02" and "2026-01-03"': "Beta gamma delta",
    'started > "2026-01-04T12:00+00:00"': "zeta",
    'started < "2026-01-01 00:00:00.001Z"': "old",
    'started <= "2026-01-01 00:00:00.001Z"': "alpha old",
    'started <= "now"': ALL,
    'started > "1h 30m ago" or started = "today" or started >= "yesterday"': "",
    'ended >= "2026-01-04"': "epsilon zeta",
    "ended is null": "gamma delta old",
    "duration < 1": "alpha Beta delta epsilon zeta old",
    'duration > "1h 30m"': "gamma",
    "duration between 0.0035 and 0.0045": "alpha Beta epsilon",
    # Archived
    "archived": "epsilon",
    "archived = true": "epsilon",
    "archived != TRUE and epochs = 0": "gamma delta old",
    # Params
    "params.lr = 1e-1": "alpha",
    "params.lr < 1": "alpha Beta old",
    "params.lr > 0": "alpha Beta zeta",
    "params.lr = inf": "zeta",
    "params.lr != 0.1": "Beta gamma zeta old",
    "params.lr in [0.01, 'auto']": "Beta gamma",
    "params.lr not in [0.01, 'auto']": "alpha zeta old",
    "params.lr = 'auto'": "gamma",
    "params.lr like 'a%'": "gamma",
    "params.lr like '0.%'": "alpha Beta",
    "params.lr not like '0.%'": "gamma zeta old",
    "params.lr is nan": "delta",
    "params.lr is not nan": "alpha Beta gamma zeta old",
    "params.lr is null": "epsilon",
    "params.lr = 'NaN' or params.lr = 'Infinity'": "",
    "params.augment = true": "alpha",
    "params.augment != true": "gamma",
    "params.augment = 1": "",
    "params.seed = null": "alpha",
    "params.seed != null": "",
    "params.seed is null": ALL,
    "params.augment != null": "alpha gamma",
    "params.\"odd key\" = 'it''s'": "alpha",
    "params.'odd key' = 'it\\'s'": "alpha",
    "params.`odd key` like '__''s'": "alpha",
    "params.opt.class = 'Adam'": "alpha",
    "params.opt.class like 'a%'": "",
    "params.opt.'b.c' = 1": "alpha",
    "params.opt = 'adam'": "Beta",
    "params.layers like '%32%'": "alpha",
    r"""params.text = 'a "b" \\ c'""": "alpha",
    r"""params.text like '_ "b" _ c'""": "alpha",
    'params.date >= "2026-01-02" and params.date < "2026-02"': "alpha",
    "params.none = 1 or params.none != 1": "",
    # Tags
    "tags.baseline": "alpha",
    "not tags.baseline and tags.kind is not null": "Beta",
    "tags.kind is null": "gamma delta epsilon zeta old",
    "tags.kind = 'fast'": "alpha",
    "tags.kind != 'fast'": "Beta",
    "tags.kind in ['fast', 'slow']": "alpha Beta",
    "tags.kind like '%o%'": "Beta",
    "tags.'a-b c' = 'x'": "alpha",
    # Metrics
    "loss < 1": "alpha",
    "last(loss) > 1": "zeta",
    "min(loss) <= 2": "alpha Beta",
    "max(loss) >= 2": "Beta zeta",
    "MAX(val_loss) = 0.9": "alpha",
    "loss != 0.5": "zeta",
    "loss not in [0.5]": "zeta",
    "not loss = 0.5": "Beta gamma delta epsilon zeta old",
    "loss is nan": "Beta",
    "loss is not nan": "alpha zeta",
    "loss is null": "gamma delta epsilon old",
    "last(loss) is not null": "alpha Beta zeta",
    "min(loss) is nan": "",
    "loss = -inf": "",
    "`val/acc` > 0.5": "alpha",
    "last(`val/acc`) > 0.5 and last('val/acc') < 0.9": "alpha",
    "test_loss = 0.25": "epsilon",
    "test_loss = 0.9": "zeta",
    "test_loss = 0.1": "",
    "min(test_loss) is null": "alpha Beta gamma delta old",
    # Logic
    "epochs = 2 OR epochs = 1 AND loss = inf": "alpha Beta zeta",
    "(epochs = 2 or epochs = 1) and not (loss is nan)": "alpha zeta",
    "not not epochs = 2": "alpha Beta",
    "(epochs=2)and(loss<1)": "alpha",
    " \n epochs\t= 2 \n": "alpha Beta",
}


def test_what_filters_find(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """Each finds the runs that it should, on each engine, and is never NULL."""
    fill(sql_store)
    wanted = {where: names.split() for where, names in FILTERS.items()}
    results = {where: found(sql_store, where) for where in wanted}
    assert results == wanted
    complements = {where: found(sql_store, f"not ({where})") for where in wanted}
    everything = ALL.split()
    assert complements == {
        where: [name for name in everything if name not in names] for where, names in wanted.items()
    }


@pytest.mark.parametrize("few", [1, 3, 1_000])
@pytest.mark.parametrize("near", [1, 4])
def test_pages_of_what_filters_find(
    sqlite_store: SqlStore,  # noqa: F811 - the fixture
    few: int,
    near: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many runs have such rows, and whether a page is full after the first ones or not."""
    fill(sqlite_store)
    monkeypatch.setattr(where_sql, "_FEW", few)
    monkeypatch.setattr(ordering, "_NEAR", near)
    for sort in ("started", "-started", "epochs"):
        everything = [run.name for run in found_runs(sqlite_store, sort=sort)]
        for where, names in FILTERS.items():
            listed: list[str] = []
            page: list[Run] = [*found_runs(sqlite_store, where=where, sort=sort, limit=2)]
            while page:
                listed += [run.name for run in page]
                page = found_runs(sqlite_store, where=where, sort=sort, limit=2, after=listed[-1])
            wanted = set(names.split())
            assert listed == [name for name in everything if name in wanted], where


#: What is refused, the character that is pointed at (before which `^` stands), and what is said.
MISTAKES = [
    ("^", "found the end, expected a condition such as epochs > 3"),
    ("epochs >^", "found the end, expected a value"),
    ("epochs ^3", "found 3, expected a comparison"),
    ("epochs > ^12x", "found 12x, expected a value"),
    ("epochs > ^2and id > 3", "found 2and, expected a value"),
    ("epochs not ^3", "found 3, expected in, like or between"),
    ("loss is ^3", "found 3, expected null, nan or not"),
    ("epochs in ^3", r"expected values in brackets such as \[1, 2\]"),
    ("epochs in [^]", r"found \], expected a value"),
    ("epochs in [1 ^2]", 'found 2, expected "," or "]"'),
    ("(epochs > 3^", r'found the end, expected "\)"'),
    ("(epochs > 3)^)", r"found \), expected and, or or the end"),
    ("epochs > 3 ^& id < 2", "expected and, or or the end. Write and"),
    ("epochs > 3 ^|| id < 2", "Write or"),
    ('name ^contains "a"', "Write like"),
    ("status = ^running", 'Texts stand in quotes: "running"'),
    ('status = ^"runing"', "lost. Did you mean running?"),
    ("status = ^'done'", "expected a status: running, finished, failed, interrupted, crashed"),
    ('status ^< "running"', "has no order"),
    ("status in ['lost', ^3]", 'Write "3"'),
    ('^statuss = "x"', "Did you mean status?"),
    ('id > 3 and ^Status = "x"', "Did you mean status?"),
    ('^optimizer like "a%"', "A parameter is params.optimizer"),
    ("^archive", "Did you mean archived?"),
    ("^param.lr = 3", "Did you mean params.lr?"),
    ("^params = 3", "expected params with a name"),
    ("^tags", "expected tags with a name"),
    ("params^. = 3", "expected a dot with a name"),
    ("^params.lr", "expected a comparison"),
    ("^epochs and id = 3", "expected a comparison, such as epochs = … or epochs is not null"),
    ('epochs = ^"three"', "expected a number, which epochs is"),
    ("epochs = ^null", "Write is null"),
    ("epochs = ^true", "expected a number"),
    ('epochs ^like "3%"', "epochs is not a text"),
    ("name = ^3", 'expected a text, which name is. Write "3"'),
    ("tags.fold = ^3", 'Write "3"'),
    ("name like ^3", "expected a pattern in quotes"),
    (f"name like ^'{'a' * 5001}'", "at most 5000 characters"),
    ("started > ^5", "expected a time"),
    ('started > ^"soon"', "expected a time"),
    ('started > ^"2026-13-01"', "expected a time"),
    ('started > ^"9999-12-31"', "expected a time"),
    ('started > ^"99999999999 weeks ago"', "expected a time"),
    ('started > ^"3 parsecs ago"', "expected a time"),
    ('duration > ^"long"', "expected seconds"),
    ("archived = ^1", "expected true or false"),
    ("archived ^> true", "expected = or !="),
    ("^archived is null", "it is never null"),
    ("epochs is ^nan", "only metrics and params"),
    ("loss = ^nan", "Write is nan"),
    ("params.x > ^true", "have no order"),
    ("^mean(loss) < 3", "expected last, min, max or first"),
    ("last(^3) < 3", "expected the name of a metric"),
    ("min(^params.lr) < 3", "expected the name of a metric"),
    ('name = ^"abc', "closing quote is missing"),
    ("name = ^“abc”", "Write straight quotes"),
    ('name = "a^\x00"', r"U\+0000"),
    ('name = "a^\udcff"', r"U\+DCFF"),
    ('name = "漢字" ^3', "found 3, expected and"),
    ("epochs = 1 and\nname = ^3 or\nid = 1", "expected a text"),
    ("^" + "not " * 21 + "id = 1", "21 levels"),
    ("^" + "id = 1 or " * 100 + "id = 1", "101 comparisons"),
    ("^id in [" + "1, " * 300 + "1]", "301 values in lists, expected at most 300"),
]


@pytest.mark.parametrize(("where", "message"), MISTAKES)
def test_what_is_refused(where: str, message: str) -> None:
    """With the place, and what was expected there."""
    position = where.index("^")
    text = where[:position] + where[position + 1 :]
    with pytest.raises(InvalidFilter, match=message) as caught:
        compile_where(text)
    told, line, caret = str(caught.value).split("\n")
    assert told.startswith("The filter cannot be understood: found ")
    begin = text.rfind("\n", 0, position) + 1
    wide = sum(char in "漢字" for char in text[begin:position])
    assert caret == " " * (2 + position - begin + wide) + "^"
    shown = line[2 : len(caret) - wide]
    assert text[begin:].startswith(shown.rstrip("\ufffd…"))


def test_the_examples_of_the_docs() -> None:
    """Each line of the page's blocks is a filter."""
    page = (Path(__file__).parent.parent / "docs" / "how-to" / "where.md").read_text()
    filters = [line for block in blocks(page) for line in block.splitlines() if line]
    assert len(filters) >= 20
    for where in filters:
        compile_where(where)


def blocks(page: str) -> list[str]:
    """The page's blocks of filters."""
    return re.findall(r"```sql\n(.*?)```", page, re.DOTALL)


def test_a_long_filter_is_shown_in_part() -> None:
    """Around the place, without what could move a terminal's cursor."""
    text = f"id = 1 and {'id = 1 and ' * 40} name = 3 and note = '\x1b[2J{'b' * 200}'"
    with pytest.raises(InvalidFilter) as caught:
        compile_where(text)
    told, line, caret = str(caught.value).split("\n")
    assert line[len(caret) - 1] == "3"
    assert "\ufffd[2J" in line
    assert len(line) < 130
    assert len(told) < 130


def test_times_are_local(
    sqlite_store: SqlStore,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Days and hours are those of the machine's zone; an offset says otherwise."""
    fill(sqlite_store)
    try:
        monkeypatch.setenv("TZ", "America/New_York")
        time.tzset()
        # All runs began a millisecond after midnight in UTC.
        assert found(sqlite_store, 'started = "2026-01-01"') == ["Beta"]
        assert found(sqlite_store, 'started < "2026-01-01 19:00"') == ["alpha", "old"]
        assert found(sqlite_store, 'started < "2026-01-02 01:00+01:00"') == ["alpha", "old"]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_relative_times(sqlite_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """They are told from now."""
    now = datetime.now(UTC)
    ages = {"hours": timedelta(hours=2), "days": timedelta(days=3), "weeks": timedelta(weeks=2)}
    for name, age in ages.items():
        put(sqlite_store, name)
        began = int((now - age).timestamp() * 1e6)
        with sqlite_store.writing() as connection:
            mine = update(schema.runs).where(schema.runs.c.name == name)
            connection.execute(mine.values(began_at=began))
    assert found(sqlite_store, 'started > "150 minutes ago"') == ["hours"]
    assert found(sqlite_store, 'started > "4 Days ago"') == ["hours", "days"]
    assert found(sqlite_store, 'started < "1w 1d ago"') == ["weeks"]
    assert found(sqlite_store, 'started < "yesterday"') == ["days", "weeks"]
    assert found(sqlite_store, 'started between "1.5 weeks ago" and "2d ago"') == ["days"]
    assert found(sqlite_store, 'started >= "yesterday" and started <= "today"') == ["hours"]


WORDS = """and or not in like is null nan true false between ( ) [ ] , = == != <> < <= > >= status
name epochs started duration archived error params tags params.x tags.y params."a b" `m/n` loss
test_loss last( min( max( 'a%' "2h" "3 days ago" "2026-01-31" 'running' 3 -1e-3 inf 1e999 "a""b"
'it\\'s' 'a ; -- 99999999999999999999 . \\ " ' ` % _ é \x00 \udcff \u2028""".split(" ")
anything = st.lists(
    st.sampled_from(WORDS) | st.text() | st.sampled_from(list(FILTERS)), max_size=12
).flatmap(lambda words: st.sampled_from([" ", "", "\n"]).map(lambda space: space.join(words)))
values = st.sampled_from(
    ["3", "-1e-3", "inf", "1e999", "'a'", "'running'", "'2h'", "'now'", "true", "null", "'%[_\\\\'"]
)
conditions = st.one_of(
    st.tuples(st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "like", "not like"]), values),
    st.tuples(st.sampled_from(["in [", "not in ["]), values, st.just(","), values, st.just("]")),
    st.tuples(st.sampled_from(["between", "not between"]), values, st.just("and"), values),
    st.sampled_from(["is null", "is not null", "is nan", "is not nan", ""]).map(lambda x: (x,)),
).map(" ".join)
fields = st.sampled_from(
    """id name uuid status experiment group rank note host attempt epochs events error started
    ended duration archived params.lr params."odd key" tags.kind loss test_loss min(loss)
    max(test_loss) last('val/acc')""".replace("odd key", "odd\xa0key").split()
)
sensible = st.tuples(fields, conditions).map(" ".join)


@settings(max_examples=300)
@given(where=anything | sensible | st.tuples(sensible, anything).map(" or ".join))
@example(where="id = 99999999999999999999999")
@example(where="not " * 3000 + "archived")
@example(where="(" * 3000 + "archived" + ")" * 3000)
@example(where="archived" + " or archived" * 3000)
@example(where="(archived or " * 100 + "archived" + ")" * 100)
@example(where="name like '" + "%a" * 2500 + "'")
@example(where="test_loss in [" + ", ".join(map(str, range(300))) + "]")
@example(where="test_loss in [1]" + " and test_loss != 1" * 99)
@example(where="(not archived or not (tags.a and " * 6 + "params.x < 'a'" + "))" * 6)
def test_any_text_is_a_filter_or_refused(sql_store: SqlStore, where: str) -> None:  # noqa: F811
    """There is no third way: no other error, of ours or of the database."""
    if not sql_store.runs():
        fill(sql_store)
    try:
        condition = compile_where(where)
    except InvalidFilter as refused:
        str(refused).encode()
        return
    with sql_store.reading() as connection:
        connection.execute(select(schema.runs.c.id).where(condition)).all()


texts = st.text() | st.sampled_from(
    ["'; DROP TABLE runs; --", "%", "_", 'a"b', "a'b", "\\", "a\nb", "NaN", "?", ":x", "%(x)s", "!"]
)
kept = texts.filter(lambda text: "\x00" not in text)


def quoted(text: str, quote: str) -> str:
    """A text as a filter has it."""
    return quote + text.replace("\\", "\\\\").replace(quote, quote * 2) + quote


@settings(max_examples=60)
@given(text=kept, key=kept.filter(bool), quote=st.sampled_from("'\""))
def test_texts_are_inert(sql_store: SqlStore, text: str, key: str, quote: str) -> None:  # noqa: F811
    """Any text is found again, as value and as name, and does nothing else."""
    before = [run.name for run in sql_store.runs()]
    name = f"run {len(before)}"
    put(sql_store, name, tags={key: text}, params={f"k {key}": text}, epochs=({key: 0.5},))
    value, keyed, dotted = quoted(text, quote), quoted(key, quote), quoted(f"k {key}", quote)
    runs = sql_store.runs()
    assert [run.name for run in runs] == [*before, name]
    tagged = [run.name for run in runs if run.state.tags.get(key) == text]
    assert found(sql_store, f"tags.{keyed} = {value}") == tagged
    assert found(sql_store, f"params.{dotted} = {value} and tags.{keyed}") == tagged
    ordered = f"params.{dotted} >= {value} and params.{dotted} <= {value} and name = '{name}'"
    assert found(sql_store, ordered) == ([] if text == "NaN" else [name])
    assert found(sql_store, f"last({keyed}) = 0.5 and id = {runs[-1].id}") == [name]
    found(sql_store, f"name = {value} or note like {value} or error like {value}")


letters = st.text(alphabet="aAé%_*?[]^-!\\\"'", max_size=6)


@settings(max_examples=60)
@given(stored=st.lists(letters, min_size=1, max_size=4), pattern=letters)
def test_patterns(sql_store: SqlStore, stored: list[str], pattern: str) -> None:  # noqa: F811
    """`%` is any text, `_` any character, all else is itself, and case counts."""
    for text in stored:
        put(sql_store, f"run {len(sql_store.runs())}", tags={"t": text}, params={"p": text})
    parts = {"%": ".*", "_": "."}
    regex = re.compile("".join(parts.get(char, re.escape(char)) for char in pattern), re.DOTALL)
    wanted = [run.name for run in sql_store.runs() if regex.fullmatch(run.state.tags["t"])]
    for field in ("tags.t", "params.p"):
        assert found(sql_store, f"{field} like {quoted(pattern, chr(39))}") == wanted


POOL = [0.0, -0.0, 0.5, 1.0, -1.0, 0.1 + 0.2, 1e-3, 2.0**53, 1e308, 5e-324, INF, -INF, NAN]
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Oracle = Callable[[Run], bool]
Value = Callable[[Run], Any]


def metric(name: str, which: str) -> Value:
    """A metric's value: None without it, NaN for want of a number."""

    def of(run: Run) -> float | None:
        metrics = run.state.metrics
        state = metrics.get(("train", name))
        if state is None and name.startswith("test_"):
            state = metrics.get(("test", name.removeprefix("test_")))
        if state is None:
            return None
        value: float | None = getattr(state, which)
        return NAN if value is None else value

    return of


VALUES: dict[str, Value] = {
    "id": lambda run: run.id,
    "epochs": lambda run: run.state.epochs,
    "events": lambda run: run.state.last_seq,
    "rank": lambda run: run.state.rank,
    "params.lr": lambda run: run.state.params.get("lr"),
    "loss": metric("loss", "last"),
    "last(loss)": metric("loss", "last"),
    "min(loss)": metric("loss", "minimum"),
    "max(loss)": metric("loss", "maximum"),
    "test_loss": metric("test_loss", "last"),
    "max(test_loss)": metric("test_loss", "maximum"),
}


def compared(value: Any, symbol: str, number: float) -> bool:
    """A comparison with what may be missing, NaN, or no number."""
    if value is None or value != value:
        return False
    beyond = isinstance(value, int) and abs(value) > 1e308
    if isinstance(value, bool) or not isinstance(value, int | float) or beyond:
        return symbol == "!="
    return COMPARISONS[symbol](value, number)


@st.composite
def leaves(draw: st.DrawFn) -> tuple[str, Oracle]:
    """A comparison, and what it should say of a run."""
    field = draw(st.sampled_from(list(VALUES)))
    value = VALUES[field]
    finite = [x for x in POOL if x == x]
    numbers = draw(st.lists(st.sampled_from(finite) | st.integers(0, 12), min_size=2, max_size=4))
    low, high, *_ = numbers
    symbol = draw(st.sampled_from([*COMPARISONS, "in", "not in", "between", "null", "nan"]))
    match symbol:
        case "in":
            return f"{field} in {numbers}", lambda run: any(
                compared(value(run), "=", number) for number in numbers
            )
        case "not in":
            return f"{field} not in {numbers}", lambda run: all(
                compared(value(run), "!=", number) for number in numbers
            )
        case "between":
            return (
                f"{field} between {low!r} and {high!r}",
                lambda run: compared(value(run), ">=", low) and compared(value(run), "<=", high),
            )
        case "null":
            return f"{field} is null", lambda run: value(run) is None
        case "nan" if "loss" in field or "params" in field:
            return f"{field} is nan", lambda run: value(run) != value(run)
        case "nan":
            symbol = "="
    return f"{field} {symbol} {low!r}", lambda run: compared(value(run), symbol, low)


def joined(pair: tuple[tuple[str, Oracle], str, tuple[str, Oracle]]) -> tuple[str, Oracle]:
    """Two conditions as one."""
    (left, is_left), word, (right, is_right) = pair
    if word == "and":
        return f"({left}) and ({right})", lambda run: is_left(run) and is_right(run)
    return f"({left}) or ({right})", lambda run: is_left(run) or is_right(run)


def negated(one: tuple[str, Oracle]) -> tuple[str, Oracle]:
    """The opposite of a condition."""
    where, holds = one
    return f"not ({where})", lambda run: not holds(run)


trees = st.recursive(
    leaves(),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(joined) | inner.map(negated)
    ),
    max_leaves=5,
)


def fill_with_numbers(store: SqlStore) -> None:
    """Runs with every odd number in every place."""
    for number, value in enumerate(POOL):
        other = POOL[(number * 5 + 3) % len(POOL)]
        test = {"loss": other} if number % 3 else None
        epochs = ({"loss": value}, {"loss": other}, {"test_loss": value})[: number % 4]
        rank = number % 3 or None
        put(store, f"run {number}", rank=rank, params={"lr": value}, epochs=epochs, test=test)
    for number, text in enumerate(["auto", True, None, [1.0], 10**400, "NaN", "0.5"]):
        put(store, f"text {number}", params={"lr": text}, epochs=({"loss": NAN},))


@settings(max_examples=150)
@given(tree=trees)
def test_numbers_are_compared_as_in_python(
    sql_store: SqlStore,  # noqa: F811 - the fixture
    tree: tuple[str, Oracle],
) -> None:
    """Every condition on numbers says of every run what Python says of its state."""
    if not sql_store.runs():
        fill_with_numbers(sql_store)
    where, holds = tree
    assert found(sql_store, where) == [run.name for run in sql_store.runs() if holds(run)], where

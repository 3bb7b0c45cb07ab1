"""`tracker sql`: reads on every engine, and nothing but reads."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import tracker
from tests.streams import fit_stream, identity
from tests.test_cli import TRACKER, store  # noqa: F401 - a fixture
from tests.test_cli import tracker as command
from tests.test_store import sql_store, sqlite_store  # noqa: F401 - fixtures
from tracker.errors import InvalidArgument, InvalidQuery, QueryTimeout
from tracker.store.opening import connect_store, upgrade_store
from tracker.store.sql import SqlStore

#: 16 million letters.
_LONG = "replace(hex(zeroblob(8000000)), '0', 'a')"

#: Statements that are no queries, and their tricks.
WRITES = [
    "INSERT INTO runs (name) VALUES ('x')",
    "UPDATE runs SET name = 'x'",
    "DELETE FROM events",
    "DROP TABLE events",
    "ATTACH 'other.db' AS other",
    "PRAGMA writable_schema = 1",
    "VACUUM INTO 'copy.db'",
    "SELECT 1; DELETE FROM events",
    "SELECT 1; SET TRANSACTION READ WRITE; DELETE FROM events",
    "COMMIT; DELETE FROM events",
    "WITH one AS (SELECT 1) DELETE FROM events",
    "WITH one AS (SELECT 1) INSERT INTO runs (name) SELECT 'x'",
    "WITH gone AS (DELETE FROM events RETURNING seq) SELECT * FROM gone",
    "/* SELECT */ -- SELECT\n DELETE FROM events",
    "SELECT 1 INTO made",
    "COPY (SELECT 1) TO PROGRAM 'touch made'",
    "DO $$ BEGIN DELETE FROM events; END $$",
    "CALL anything()",
    "SELECT load_extension('any')",
    "",
    "-- nothing",
]


@pytest.fixture
def filled(sql_store: SqlStore) -> SqlStore:  # noqa: F811
    """A store of one run, on each engine."""
    sql_store.append(identity("alpha"), fit_stream(name="alpha"), expected_seq=0)
    return sql_store


def test_answers(filled: SqlStore) -> None:
    """Columns have the types of their values, whichever the engine; names are told apart."""
    frame = tracker.sql(
        "SELECT name, id, 1.5 AS half, name, NULL AS none FROM runs ORDER BY id", store=filled
    )
    assert list(frame.columns) == ["name", "id", "half", "name_2", "none"]
    assert [str(one) for one in frame.dtypes] == ["string", "Int64", "float64", "string", "object"]
    assert frame.iloc[0].tolist()[:4] == ["alpha", 1, 1.5, "alpha"]
    sums = tracker.sql("SELECT sum(seq) AS total, count(*) AS n FROM events", store=filled)
    (n,) = sums["n"]
    assert sums["total"].tolist() == [n * (n + 1) / 2]
    logs = tracker.sql(
        "(SELECT logs FROM events WHERE kind = 'epoch_end')"
        if filled.url.startswith("postgresql")
        else "SELECT logs FROM events WHERE kind = 'epoch_end'",
        store=filled,
    )
    assert json.loads(logs["logs"].iloc[0]) == {"loss": 1.0, "val_loss": 0.5}
    empty = tracker.sql("SELECT seq FROM events WHERE seq < 0", store=filled)
    assert (list(empty.columns), len(empty)) == (["seq"], 0)
    assert tracker.sql("VALUES (1), (2)", store=filled).iloc[:, 0].tolist() == [1, 2]
    assert tracker.sql("SELECT '%s :x ?' AS a", store=filled)["a"].tolist() == ["%s :x ?"]


@pytest.mark.parametrize("statement", WRITES)
def test_nothing_writes(filled: SqlStore, statement: str, tmp_path: Path) -> None:
    """What is no query is refused, and leaves the store and the disk as they were."""
    before = (filled.runs(), list(filled.read(identity().uuid)))
    files = {one.name for one in tmp_path.iterdir()}
    with pytest.raises(InvalidQuery):
        tracker.sql(statement, store=filled)
    assert (filled.runs(), list(filled.read(identity().uuid))) == before
    made = {one.name for one in tmp_path.iterdir()} - files
    assert {name for name in made if not name.startswith("store.db-")} == set()


def test_functions_cannot_write(filled: SqlStore) -> None:
    """Functions that write, or would make the transaction one that does, are refused."""
    if filled.url.startswith("postgresql"):
        statements = [
            "SELECT nextval(pg_get_serial_sequence('runs', 'id'))",
            "SELECT set_config('transaction_read_only', 'off', true)",
        ]
    else:
        statements = ["SELECT * FROM pragma_journal_mode('DELETE')", "SELECT fts3_tokenizer('x')"]
        columns = tracker.sql("SELECT name FROM pragma_table_info('events')", store=filled)
        assert "seq" in list(columns["name"])
        logged = "SELECT key FROM events, json_each(logs) WHERE kind = 'epoch_end' AND epoch = 0"
        assert list(tracker.sql(logged, store=filled)["key"]) == ["loss", "val_loss"]
    for statement in statements:
        with pytest.raises(InvalidQuery):
            tracker.sql(statement, store=filled)


def test_a_session_is_left_as_it_was(filled: SqlStore) -> None:
    """What a query sets does not last, and the store can be written afterwards."""
    if filled.url.startswith("postgresql"):
        tracker.sql("SELECT set_config('statement_timeout', '1', false)", store=filled)
    else:
        tracker.sql("SELECT 1", store=filled)
    filled.append(identity("beta", 2), fit_stream(name="beta"), expected_seq=0)
    names = tracker.sql("SELECT name FROM runs ORDER BY id", store=filled)
    assert list(names["name"]) == ["alpha", "beta"]
    if filled.url.startswith("postgresql"):
        shown = "SELECT current_setting('statement_timeout') AS timeout"
        assert tracker.sql(shown, timeout=7, store=filled)["timeout"].tolist() == ["7s"]


def test_limits(filled: SqlStore) -> None:
    """Rows are cut off where asked, which is told; long queries are given up."""
    frame = tracker.sql("SELECT seq FROM events ORDER BY seq", limit=2, store=filled)
    assert (list(frame["seq"]), frame.attrs["more"]) == ([1, 2], True)
    (count,) = tracker.sql("SELECT count(*) AS n FROM events", store=filled)["n"]
    whole = tracker.sql("SELECT seq FROM events", limit=count, store=filled)
    assert (len(whole), whole.attrs["more"]) == (count, False)
    endless = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    )
    began = time.monotonic()
    with pytest.raises(QueryTimeout, match=r"given up after 0\.2 s"):
        tracker.sql(endless, timeout=0.2, store=filled)
    assert time.monotonic() - began < 30  # it ends at all
    for wrong in ({"limit": 0}, {"timeout": 0.0}, {"timeout": float("nan")}):
        with pytest.raises(InvalidArgument):
            tracker.sql("SELECT 1", store=filled, **wrong)


def test_digits_of_integers_are_kept(filled: SqlStore) -> None:
    """Beside other numbers too, where a double would lose them."""
    frame = tracker.sql("SELECT 9007199254740993 AS n UNION ALL SELECT 0.5", store=filled)
    assert sorted(map(str, frame["n"])) == ["0.5", "9007199254740993"]


def test_one_value_cannot_run_away(tmp_path: Path) -> None:
    """SQLite looks at no clock while a function makes one huge value."""
    opened = connect_store(f"sqlite:///{tmp_path}/sql.db", create=True)
    upgrade_store(opened)
    huge = "SELECT length(replace(hex(zeroblob(40000000)), '0', 'aa'))"
    with pytest.raises(InvalidQuery, match="too big"):
        tracker.sql(huge, store=opened)
    opened.close()


@pytest.mark.parametrize(
    "expressions",
    [
        [f"instr({_LONG} || {_LONG}, {_LONG} || 'b')"],
        [f"length(printf('%.*c', {60_000_000 + one}, 'x'))" for one in range(1_000)],
    ],
)
def test_nothing_holds_a_query_back(
    store: Path,  # noqa: F811
    expressions: list[str],
) -> None:
    """One call, or one row, in which SQLite cannot be interrupted for minutes or days."""
    query = "SELECT " + ", ".join(expressions)
    done = subprocess.run(
        [*TRACKER, "sql", query, "--timeout", "0.5"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "given up after 0.5 s" in done.stderr


@pytest.mark.parametrize(
    "statement", ["SELECT FROM WHERE", "SELECT nothing FROM runs", "SELECT 1 FROM none"]
)
def test_mistakes(filled: SqlStore, statement: str) -> None:
    """What the database does not accept is told in its words."""
    with pytest.raises(InvalidQuery, match="does not accept the query"):
        tracker.sql(statement, store=filled)


def test_the_command(store: Path, tmp_path: Path) -> None:  # noqa: F811
    """It prints every format, reads stdin, and says when there is more."""
    query = "SELECT name, id FROM runs ORDER BY id"
    assert command("sql", query).stdout.splitlines()[1].split() == ["alpha", "1"]
    rows = json.loads(command("sql", query, "--format", "json").stdout)
    assert rows == [{"name": "alpha", "id": 1}, {"name": "beta", "id": 2}]
    done = command("sql", query, "--limit", "1", "--format", "csv")
    assert (done.stdout, "more than these 1 rows" in done.stderr) == ("name,id\nalpha,1\n", True)
    mixed = "SELECT x'00ff' AS bytes, 1 AS mixed UNION ALL SELECT NULL, 'one'"
    lines = command("sql", mixed, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"bytes": "00ff", "mixed": "1"},
        {"bytes": None, "mixed": "one"},
    ]
    file = tmp_path / "mixed.parquet"
    command("sql", mixed, "-o", str(file))
    assert list(pd.read_parquet(file)["mixed"]) == ["1", "one"]
    piped = subprocess.run(
        [*TRACKER, "sql", "-", "--format", "csv"],
        input=query,
        capture_output=True,
        text=True,
        check=True,
    )
    assert piped.stdout == "name,id\nalpha,1\nbeta,2\n"


def test_the_commands_refusals(store: Path) -> None:  # noqa: F811
    """Mistakes are exit code 2, and say what there is instead; a timeout is 1."""
    done = command("sql", "DELETE FROM events", code=2)
    assert "begins with 'DELETE' is not run" in done.stderr
    assert "tracker runs tag" in done.stderr
    assert "more than one statement" in command("sql", "SELECT 1; SELECT 2", code=2).stderr
    assert "no such column" in command("sql", "SELECT x FROM runs", code=2).stderr
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    assert "--timeout" in command("sql", endless, "--timeout", "0.1", code=1).stderr


def test_without_keras() -> None:
    """Asking loads no Keras."""
    program = "import sys, tracker; tracker.sql; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)

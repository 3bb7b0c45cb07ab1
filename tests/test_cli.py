"""The command line: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest

from tests.postgres import PostgresServer
from tests.streams import fit_stream, identity
from tests.test_journal import write
from tracker.event import Record
from tracker.journal import JournalMeta, JournalWriter
from tracker.location import journal_folders
from tracker.logs import encode
from tracker.store import schema
from tracker.store.opening import connect_store, open_store, upgrade_store

TRACKER = [sys.executable, "-c", "from tracker.cli import main; main()"]


def tracker(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as users do; it must end with this code, and without a traceback."""
    done = subprocess.run(
        [*TRACKER, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def store(home: Path) -> Path:
    """The default store, with two runs."""
    opened = open_store(create=True)
    for number, name in enumerate(("alpha", "beta"), 1):
        opened.append(identity(name, number), later(fit_stream(name=name), number), expected_seq=0)
    opened.close()
    return home / "tracker.db"


def later(records: list[Record], hours: int) -> list[Record]:
    """The same records, some hours later."""
    return [one._replace(at=one.at + hours * 3_600_000_000) for one in records]


def test_runs_list(store: Path) -> None:
    """The latest run comes first, with its status and last metrics."""
    lines = tracker("runs", "list").stdout.splitlines()
    assert lines[0].split() == [
        "status", "name", "experiment", "started", "duration", "epochs",
        "loss", "val_loss", "test_loss",
    ]  # fmt: skip
    assert [line.split()[1] for line in lines[1:]] == ["beta", "alpha"]
    assert lines[1].split()[-3:] == ["0.5", "1.5", "0.25"]


def test_formats(store: Path, tmp_path: Path) -> None:
    """Every format carries the same runs; a file's ending chooses its format."""
    rows = json.loads(tracker("runs", "list", "--format", "json").stdout)
    assert [row["name"] for row in rows] == ["beta", "alpha"]
    assert rows[0]["started"] == "2026-01-01T02:00:00.001000+00:00"
    assert rows[0]["id"] == 2
    lines = tracker("runs", "list", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    csv = tracker("runs", "list", "--format", "csv", "--columns", "name,val_loss").stdout
    assert csv == "name,val_loss\nbeta,1.5\nalpha,1.5\n"
    md = tracker("runs", "list", "--format", "md", "--columns", "name,epochs").stdout
    assert md.splitlines()[:3] == ["| name | epochs |", "| --- | --- |", "| beta | 2 |"]
    file = tmp_path / "runs.parquet"
    done = tracker("runs", "list", "-o", str(file))
    assert (done.stdout, "2 rows written" in done.stderr) == ("", True)
    assert list(pd.read_parquet(file)["name"]) == ["beta", "alpha"]
    assert "names no format" in tracker("runs", "list", "-o", "x.docx", code=2).stderr
    assert "cannot be written" in tracker("runs", "list", "-o", "/proc/x.csv", code=2).stderr


def test_diverged_metrics_are_told_from_missing_ones(store: Path) -> None:
    """NaN is the text "NaN" in JSON, and shown; a metric that a run lacks is null."""
    records = fit_stream(name="bad")
    place = max(index for index, one in enumerate(records) if one.kind == "epoch_end")
    records[place] = records[place]._replace(logs=encode({"loss": math.nan, "new": math.inf}))
    opened = open_store()
    opened.append(identity("bad", 3), later(records, 3), expected_seq=0)
    opened.close()
    rows = {row["name"]: row for row in json.loads(tracker("runs", "list", "-f", "json").stdout)}
    assert (rows["bad"]["loss"], rows["bad"]["new"]) == ("NaN", "Infinity")
    assert rows["alpha"]["new"] is None
    assert " nan " in tracker("runs", "list").stdout


def test_runs_show(store: Path) -> None:
    """Everything about a run, for people and for programs."""
    text = tracker("runs", "show", "alpha").stdout
    for expected in ("status      finished", "lr  0.1", "optimizer", "val_loss", "metrics"):
        assert expected in text
    facts = json.loads(tracker("runs", "show", "1", "--format", "json").stdout)
    assert facts["name"] == "alpha"
    assert facts["params"] == {"lr": 0.1}
    assert facts["metrics"][1]["min"] == 0.5


@pytest.mark.parametrize("run", ["alpha", "1", "alp", "@last~1", identity("alpha", 1).uuid])
def test_ways_to_name_a_run(store: Path, run: str) -> None:
    """A name, id, unique beginning, @last~n and UUID mean the run."""
    assert json.loads(tracker("runs", "show", run, "-f", "json").stdout)["name"] == "alpha"


def test_runs_that_are_not_there(store: Path) -> None:
    """A missing or ambiguous run is code 3, with candidates."""
    opened = open_store()
    opened.append(identity("alphabet", 3), fit_stream(), expected_seq=0)
    opened.close()
    done = tracker("events", "list", "alpa", code=3)
    assert done.stderr == "error: There is no run 'alpa'. Did you mean: alpha, alphabet?\n"
    assert "More than one run begins with 'alph': alphabet (id 3), alpha (id 1)" in (
        tracker("runs", "show", "alph", code=3).stderr
    )
    assert "fewer runs than that" in tracker("runs", "show", "@last~9", code=3).stderr


def test_an_empty_default_store() -> None:
    """The first command of all makes an empty store and says that there is nothing."""
    done = tracker("runs", "list")
    assert (done.stdout, done.stderr) == ("", "Nothing to show.\n")
    assert tracker("runs", "list", "--format", "json").stdout == "[]\n"
    assert "the store is empty" in tracker("runs", "show", "any", code=3).stderr


def test_events_list(store: Path) -> None:
    """Events by kind, call, epoch and seq; JSON carries their logs exactly."""
    done = tracker("events", "list", "alpha", "--kind", "epoch_end", "--format", "json")
    rows = json.loads(done.stdout)
    assert [row["logs"] for row in rows] == [
        {"loss": 1.0, "val_loss": 0.5},
        {"loss": 0.5, "val_loss": 1.5},
    ]
    table = tracker("events", "list", "alpha", "--after", "5", "--until", "7").stdout
    assert [line.split()[0] for line in table.splitlines()] == ["seq", "6", "7"]
    epoch = tracker("events", "list", "alpha", "--epoch", "1", "--call", "1", "-n", "1").stdout
    assert "epoch_begin" in epoch
    assert len(tracker("events", "list", "alpha", "-f", "csv").stdout.splitlines()) == 33


def test_unknown_kinds_and_columns(store: Path) -> None:
    """A misspelt kind or column is code 2, with the nearest one."""
    wrong = tracker("events", "list", "alpha", "--kind", "epoch_ends", code=2).stderr
    assert "Did you mean 'epoch_end'?" in wrong
    assert "Did you mean 'train_end'?" in (
        tracker("events", "tail", "alpha", "--kind", "on_train_end", code=2).stderr
    )
    wrong = tracker("runs", "list", "--columns", "val_los", code=2).stderr
    assert "Did you mean 'val_loss'?" in wrong
    assert "There are: loss, val_loss" in (
        tracker("metrics", "list", "alpha", "--names", "acc", code=2).stderr
    )
    assert "such option" in tracker("runs", "list", "--nonsense", code=2).stderr.lower()


def test_events_count_and_metrics(store: Path) -> None:
    """Counts by kind, and metrics long and wide, of several runs."""
    count = tracker("events", "count", "alpha", "-f", "csv").stdout
    assert "train_batch_end,6" in count
    wide = tracker("metrics", "list", "alpha", "beta", "--wide", "-f", "csv").stdout
    assert len(wide.splitlines()) == 1 + 2 * 3
    long = json.loads(
        tracker(
            "metrics", "list", "alpha", "--source", "batch", "--names", "loss", "-f", "json"
        ).stdout
    )
    assert [row["step"] for row in long if row["phase"] == "train"] == [1, 2, 3, 4, 5, 6]


def test_tail_follows_a_run_in_another_process(store: Path) -> None:
    """`events tail -f` shows what another process appends, and stops when the run has ended."""
    records = fit_stream(name="live")
    opened = open_store()
    opened.append(identity("live", 9), records[:5], expected_seq=0)
    process = subprocess.Popen(
        [*TRACKER, "events", "tail", "live", "-f", "--format", "jsonl"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    seen = [json.loads(process.stdout.readline())["seq"] for _ in range(5)]
    opened.append(identity("live", 9), records[5:12], expected_seq=5)
    seen += [json.loads(process.stdout.readline())["seq"] for _ in range(7)]
    opened.append(identity("live", 9), records[12:], expected_seq=12)
    opened.close()
    seen += [json.loads(line)["seq"] for line in process.stdout]
    assert process.wait(20) == 0
    process.stdout.close()
    assert seen == list(range(1, len(records) + 1))


def test_an_interrupted_follow(store: Path) -> None:
    """Ctrl-C ends with 130 and no traceback."""
    opened = open_store()
    opened.append(identity("open", 9), fit_stream(ended=False)[:5], expected_seq=0)
    opened.close()
    # Where the tests themselves run in the background, SIGINT is ignored, and is inherited so.
    default = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    with subprocess.Popen(
        [*TRACKER[:2], f"{default} {TRACKER[2]}", "events", "tail", "open", "-f"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_closed_pipe_is_quiet(store: Path) -> None:
    """`tracker … | head -1` prints its line and nothing else."""
    command = f"{sys.executable} -c 'from tracker.cli import main; main()' events list alpha"
    done = subprocess.run(
        ["bash", "-c", f"for i in 1 2 3; do {command} -f jsonl; done | head -1; true"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


def test_colour(store: Path) -> None:
    """Colour where it is asked for, none in pipes, and NO_COLOR wins."""
    assert "\x1b[" not in tracker("runs", "list").stdout
    assert "\x1b[" in tracker("runs", "list", FORCE_COLOR="1").stdout
    assert "\x1b[" not in tracker("runs", "list", FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "\x1b[" in tracker("runs", "show", "none", code=3, FORCE_COLOR="1").stderr


def test_the_store_that_is_used(store: Path, tmp_path: Path) -> None:
    """--store wins over TRACKER_STORE, that over pyproject.toml, that over the default."""
    names = {}
    for name in ("option", "variable", "project"):
        opened = open_store(str(tmp_path / f"{name}.db"), create=True)
        opened.append(identity(name), fit_stream(), expected_seq=0)
        opened.close()
    (tmp_path / "pyproject.toml").write_text('[tool.tracker]\nstore = "project.db"\n')
    arguments = ("runs", "list", "--columns", "name", "-f", "csv")
    names["project"] = tracker(*arguments).stdout
    names["variable"] = tracker(*arguments, TRACKER_STORE="variable.db").stdout
    names["option"] = tracker(*arguments, "--store", "option.db", TRACKER_STORE="x.db").stdout
    for name, text in names.items():
        assert text == f"name\n{name}\n"
    before = tracker("--store", "option.db", *arguments).stdout
    assert before == names["option"]


def test_db_commands(store: Path, postgres_url: str, tmp_path: Path) -> None:
    """`db show`, `upgrade` and `check` on both engines, passwords masked."""
    assert f"revision  {schema.REVISION}" in tracker("db", "show").stdout
    assert "No problems" in tracker("db", "check").stderr
    password = postgres_url.split(":")[2].split("@", maxsplit=1)[0]
    for url, kind in ((postgres_url, "postgresql"), (f"sqlite:///{tmp_path}/new.db", "sqlite")):
        if kind == "postgresql":
            assert tracker("runs", "list", "--store", url, code=5).stderr.count("db upgrade") == 1
        first = tracker("db", "upgrade", "--store", url)
        again = tracker("db", "upgrade", "--store", url)
        assert "already" in again.stderr
        facts = json.loads(tracker("db", "show", "--store", url, "-f", "json").stdout)
        assert (facts["engine"], facts["revision"], facts["runs"]) == (kind, schema.REVISION, 0)
        assert password not in first.stderr + facts["url"]
        assert tracker("db", "check", "--store", url).stdout == ""


def test_db_check_finds_a_hole(store: Path) -> None:
    """A missing event is found and named, with code 6."""
    connection = sqlite3.connect(store)
    connection.execute("DROP TRIGGER events_no_delete")
    connection.execute("DELETE FROM events WHERE run_id = 1 AND seq = 5")
    connection.commit()
    connection.close()
    done = tracker("db", "check", code=6)
    assert "Run 'alpha' should have 32 events from 1 to 32, and has 31" in done.stderr


def test_stores_that_cannot_be_used(
    store: Path, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """Each way in which a store cannot be read has its message and code; nothing is lost."""
    wrong = postgres_server.url(password="sesame")
    for url, code, message in (
        ("mongodb://host/db", 2, "not an engine"),
        ("postgresql+nodriver://h/d", 2, "There is no engine"),
        ("host:5432", 2, "not a store URL"),
        ("sqlite:///missing.db", 4, "the file does not exist"),
        ("postgresql://u:sesame@127.0.0.1:1/d", 4, "cannot be reached"),
        (wrong, 4, "password authentication failed"),
        (postgres_server.url("nodatabase"), 4, 'database "nodatabase" does not exist'),
    ):
        done = tracker("runs", "list", "--store", url, code=code)
        assert message in done.stderr
        assert "sesame" not in done.stderr
        assert done.stdout == ""


def test_a_missing_driver(store: Path) -> None:
    """Without psycopg the message names the extra to install."""
    program = (
        "import sys; sys.modules['psycopg'] = None; sys.argv = ['tracker', 'runs', 'list',"
        "'--store', 'postgresql://u@h/d']; from tracker.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "pip install 'keras-event-tracker[postgres]'" in done.stderr


def test_damaged_files(store: Path, tmp_path: Path) -> None:
    """A file that is no database, or a damaged one, is code 6 and left as it is."""
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database at all, but long enough to look at" * 100)
    before = garbage.read_bytes()
    done = tracker("runs", "list", "--store", str(garbage), code=6)
    assert "is damaged or not a database" in done.stderr
    assert garbage.read_bytes() == before
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(store.read_bytes())
    content[4096 : 4096 * 3] = b"\xff" * 8192
    store.write_bytes(content)
    done = tracker("db", "check", code=6)
    assert store.read_bytes() == bytes(content)


def test_wrong_revisions(store: Path) -> None:
    """A store of a later revision is refused with code 5, and can still be shown."""
    opened = connect_store(f"sqlite:///{store}")
    with opened.writing() as connection:
        connection.exec_driver_sql(f"UPDATE {schema.REVISION_TABLE} SET version_num = '9999'")
    opened.close()
    assert "pip install --upgrade" in tracker("runs", "list", code=5).stderr
    assert "9999" in tracker("db", "show").stdout


def journal(name: str, records: list[Record], store: str, uuid_number: int = 50) -> Path:
    """A dead writer's journal."""
    run = identity(name, uuid_number)
    writer = JournalWriter(
        journal_folders()[:1],
        JournalMeta(
            uuid=run.uuid,
            name=name,
            store=store,
            writer="w",
            host="h",
            boot=None,
            pid=1,
            began_at=0,
        ),
    )
    write(writer, records)
    writer.close()
    return writer.folder


def test_journals_are_listed_and_shipped(store: Path, tmp_path: Path) -> None:
    """`journal list` shows what waits, `journal ship` delivers it, once."""
    url = f"sqlite:///{store}"
    folder = journal("late", fit_stream(), url)
    (folder.parent / "foreign").mkdir()
    other = journal("elsewhere", fit_stream(), f"sqlite:///{tmp_path}/other.db", 51)
    rows = {row["run"]: row for row in json.loads(tracker("journal", "list", "-f", "json").stdout)}
    assert (rows["late"]["state"], rows["late"]["events"], rows["late"]["stored"]) == (
        "waiting", 32, 0,
    )  # fmt: skip
    assert rows["foreign"]["state"] == "problem"
    done = tracker("journal", "ship")
    assert "Run late: 32 events delivered." in done.stderr
    assert f"tracker journal ship --store 'sqlite:///{tmp_path}/other.db'" in done.stderr
    assert "foreign" in done.stderr
    assert "No journal waits" in tracker("journal", "ship").stderr
    assert "settled" in tracker("journal", "list").stdout
    assert other.exists()
    tracker("journal", "ship", "--store", f"{tmp_path}/other.db")
    assert "elsewhere" in tracker("runs", "list", "--store", f"{tmp_path}/other.db").stdout


def test_reading_delivers_a_dead_writers_journal(store: Path) -> None:
    """A listing brings in what a killed trainer left, says so on stderr, and calls it crashed."""
    journal("killed", fit_stream()[:12], f"sqlite:///{store}")
    done = tracker("runs", "list", "--columns", "name,status", "-f", "csv")
    assert "Run killed, whose process has died: 13 events delivered" in done.stderr
    assert "killed,crashed" in done.stdout
    assert tracker("runs", "list").stderr == ""
    assert "killed, or out of memory" in tracker("runs", "show", "killed").stdout


def test_a_damaged_journal(store: Path) -> None:
    """What precedes the damage is delivered; the rest is reported, and the file stays."""
    folder = journal("hurt", fit_stream(), f"sqlite:///{store}")
    (file,) = folder.glob("*.jsonl")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    done = tracker("runs", "list", "--columns", "name,events", "-f", "csv")
    assert "is not as it was written" in done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("hurt")]
    assert 0 < int(line.split(",")[1]) < 32
    tracker("journal", "ship", code=6)
    assert file.read_bytes() == bytes(content)


def test_a_journal_cut_in_the_middle_of_a_record(store: Path) -> None:
    """A torn last record is passed over; everything before it is delivered."""
    folder = journal("torn", fit_stream()[:20], f"sqlite:///{store}")
    (file,) = folder.glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-20])
    tracker("journal", "ship")
    frame = tracker("events", "list", "torn", "-f", "csv", "--columns", "seq,kind").stdout
    assert len(frame.splitlines()) == 1 + 19 + 1
    assert frame.splitlines()[-1] == "20,run_crashed"


def test_a_read_only_folder(store: Path) -> None:
    """A store that this user cannot write is said to be so, and not changed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as public:
        Path(public).chmod(0o555)
        file = Path(public) / "runs.db"
        program = (
            "import os, sys, sqlite3\n"
            "from tracker.store.opening import open_store\n"
            "from tracker.errors import TrackerError\n"
            "import alembic.command, alembic.autogenerate, psutil, psycopg\n"
            "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "try: open_store(sys.argv[1], create=True)\n"
            "except TrackerError as error: print(type(error).__name__, error)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True
        )
        assert "unable to open database file" in done.stdout
        assert "this user may write there" in done.stdout
        assert not file.exists()


def test_completion_of_run_names(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell completes run names, and nothing is printed where there is no store."""
    monkeypatch.setenv("_TRACKER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "tracker runs show al")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert tracker("runs", "show").stdout.split() == ["alpha"]
    done = tracker("runs", "show", TRACKER_STORE=str(tmp_path / "none.db"))
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert not (tmp_path / "none.db").exists()


def test_version_and_help() -> None:
    """--version tells it; every command's help has an example."""
    assert tracker("--version").stdout.startswith("tracker 0.")
    for group, commands in {
        "runs": ("list", "show"),
        "events": ("list", "tail", "count"),
        "metrics": ("list",),
        "db": ("show", "upgrade", "check"),
        "journal": ("list", "ship"),
    }.items():
        for command in commands:
            assert "Example: tracker" in tracker(group, command, "--help").stdout


def test_a_fault_of_the_program(store: Path) -> None:
    """An error of our own is reported without a traceback, but for those who ask."""
    program = (
        "import sys, tracker.search as s; s.found_runs = lambda *a, **k: 1 / 0\n"
        "sys.argv = ['tracker', 'runs', 'list']\n"
        "from tracker.cli import main; main()"
    )
    for debug, expected in (("", False), ("1", True)):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TRACKER_DEBUG": debug},
        )
        assert done.returncode == 1
        assert "A fault of the tracker: ZeroDivisionError" in done.stderr
        assert ("Traceback" in done.stderr) is expected


def test_upgraded_stores_work(postgres_url: str) -> None:
    """The same commands on PostgreSQL."""
    opened = connect_store(postgres_url)
    upgrade_store(opened)
    opened.append(identity("pg"), fit_stream(), expected_seq=0)
    opened.close()
    assert "pg" in tracker("runs", "list", TRACKER_STORE=postgres_url).stdout
    assert "epoch_end" in tracker("events", "tail", "pg", TRACKER_STORE=postgres_url).stdout
    assert "val_loss" in tracker("runs", "show", "@last", TRACKER_STORE=postgres_url).stdout

"""The command line where something is in the way: other revisions, dead writers, secrets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.streams import fit_stream, identity
from tests.test_cli import TRACKER, journal, tracker
from tests.test_cli_output import append, on_terminal
from tracker.location import default_store
from tracker.store import schema
from tracker.store.opening import connect_store, open_store

ROOT = Path(__file__).parent.parent

WRITER = """
import sys, time
from tests.streams import fit_stream, identity
from tests.test_cli import journal
from tests.test_journal import write
from tracker.journal import JournalMeta, JournalWriter
from tracker.location import default_store, journal_folders
from tracker.store.opening import open_store

run, records = identity("victim", 7), fit_stream()[:12]
writer = JournalWriter(
    journal_folders()[:1],
    JournalMeta(uuid=run.uuid, name="victim", store=default_store(), writer="w", host="h",
                boot=None, pid=1, began_at=0),
)
write(writer, records)
store = open_store(create=True)
store.append(run, records[:8], expected_seq=0)
store.close()
print("ready", flush=True)
time.sleep(60)
"""


def of_revision(number: str) -> None:
    """Give the default store another revision."""
    opened = connect_store(default_store())
    with opened.writing() as connection:
        connection.exec_driver_sql(f"UPDATE {schema.REVISION_TABLE} SET version_num = '{number}'")
    opened.close()


def test_upgrading_a_store_of_a_later_revision() -> None:
    """It is refused with code 5 and the cure, by `upgrade` and `check` as by reading."""
    append("run", fit_stream())
    of_revision("9999")
    for arguments in (("db", "upgrade"), ("db", "check"), ("runs", "list")):
        done = tracker(*arguments, code=5)
        assert "pip install --upgrade" in done.stderr
    assert json.loads(tracker("db", "show", "-f", "json").stdout)["revision"] == "9999"


def test_a_follow_ends_when_the_trainer_is_killed() -> None:
    """`events tail -f` delivers what a killed writer left, shows the crash, and stops."""
    # The writer is a process of its own, so that its lock dies with it.
    with subprocess.Popen(
        [sys.executable, "-c", WRITER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with subprocess.Popen(
            [*TRACKER, "events", "tail", "victim", "-n", "99", "-f", "--format", "jsonl"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as follow:
            assert follow.stdout is not None
            seen = [json.loads(follow.stdout.readline())["seq"] for _ in range(8)]
            time.sleep(0.5)
            assert follow.poll() is None
            writer.send_signal(signal.SIGKILL)
            rest, errors = follow.communicate(timeout=30)
    rows = [json.loads(line) for line in rest.splitlines()]
    assert seen + [row["seq"] for row in rows] == list(range(1, 14))
    assert rows[-1]["kind"] == "run_crashed"
    assert "5 events delivered" in errors
    assert follow.returncode == 0


def test_nothing_is_said_of_a_journal_that_was_stored_already() -> None:
    """A writer that died after its last event was stored leaves nothing to announce."""
    records = fit_stream(name="full")
    journal("full", records, default_store(), 7)
    opened = open_store(create=True)
    opened.append(identity("full", 7), records, expected_seq=0)
    opened.close()
    assert tracker("runs", "list").stderr == ""
    assert "settled" in tracker("journal", "list").stdout


def test_one_damaged_journal_does_not_hold_up_the_others() -> None:
    """The others are shipped, every failure is told, and the code is that of damage."""
    for number, name in ((1, "first"), (2, "hurt"), (3, "worse"), (4, "last")):
        folder = journal(name, fit_stream(name=name), default_store(), number)
        if name in ("hurt", "worse"):
            (file,) = folder.glob("*.jsonl")
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
    done = tracker("journal", "ship", code=6)
    for expected in ("Run first: 32", "Run last: 32", "Run hurt was not", "Run worse was not"):
        assert expected in done.stderr
    assert done.stderr.count("error:") == 2


def test_shipping_on_a_terminal() -> None:
    """The bar takes names that look like markup, and what is said stays when it is gone."""
    journal("[/red]", fit_stream(), default_store())
    shown = on_terminal("journal", "ship", environment={"NO_COLOR": "1"})
    assert "Run [/red]: 32 events delivered." in shown


def test_journals_of_others_in_json() -> None:
    """What a foreign folder lacks, or a journal's problem, is null beside texts too."""
    folder = journal("mine", fit_stream(), default_store())
    (folder.parent / "foreign").mkdir()
    rows = {row["run"]: row for row in json.loads(tracker("journal", "list", "-f", "json").stdout)}
    assert rows["foreign"]["store"] is None
    assert rows["mine"]["problem"] is None
    assert "nan" not in tracker("journal", "list").stdout


def test_passwords_stay_secret() -> None:
    """No fault shows a password, not even the traceback that was asked for."""
    program = (
        "import sys, tracker.search as q\n"
        "def fault(*a, **k): raise RuntimeError('at postgresql://u:sesame@h/d')\n"
        "q.found_runs = fault; sys.argv = ['tracker', 'runs', 'list']\n"
        "from tracker.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRACKER_DEBUG": "1"},
    )
    assert "Traceback" in done.stderr
    assert "u:***@h/d" in done.stderr
    assert "sesame" not in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:u:sesame@127.0.0.1/d",
        "postgresql:/u:sesame@127.0.0.1/d",
        "postgresql://u:sesame@127.0.0.1:port/d",
        "postgresql://u:ses@me-sesame@127.0.0.1:1/d",
        "postgresql://u@127.0.0.1:1/d?password=sesame",
        "mysql://u:sesame@127.0.0.1/d",
    ],
)
def test_mistyped_urls_show_no_password(url: str) -> None:
    """However a URL is wrong, its password is not in the message."""
    for given in ({"TRACKER_STORE": url}, {}):
        arguments = [] if given else ["--store", url]
        done = subprocess.run(
            [*TRACKER, "runs", "list", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **given},
        )
        assert done.returncode in (2, 4)
        assert done.stderr.startswith("error: ")
        assert "sesame" not in done.stderr
        assert "Traceback" not in done.stderr


def complete(*words: str) -> list[str]:
    """What the shell is offered for the last word."""
    done = tracker(
        _TRACKER_COMPLETE="complete_bash",
        COMP_WORDS=" ".join(["tracker", *words]),
        COMP_CWORD=str(len(words)),
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_completion_of_the_runs_of_the_chosen_store(tmp_path: Path) -> None:
    """`--store`, before the command or after it, decides whose names are completed."""
    append("alpha", fit_stream())
    other = str(tmp_path / "other.db")
    opened = open_store(other, create=True)
    opened.append(identity("alternative"), fit_stream(), expected_seq=0)
    opened.close()
    assert complete("runs", "show", "al") == ["alpha"]
    assert complete("--store", other, "runs", "show", "al") == ["alternative"]
    assert complete("runs", "show", "--store", other, "al") == ["alternative"]
    assert complete("runs", "show", "@") == ["@last"]


def test_completion_makes_no_store(home: Path) -> None:
    """Where there is no default store, or an empty file, pressing tab changes nothing."""
    assert complete("runs", "show", "al") == []
    assert not home.exists()
    home.mkdir()
    (home / "tracker.db").touch()
    assert complete("runs", "show", "al") == []
    assert (home / "tracker.db").stat().st_size == 0

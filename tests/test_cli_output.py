"""What the command line prints keeps values whole, on terminals and off them."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.streams import Stream, fit_stream, identity
from tests.test_cli import TRACKER, tracker
from tracker.event import VERSION, Record
from tracker.store.opening import open_store


def append(name: str, records: list[Record], number: int = 1) -> None:
    """Put a run into the default store."""
    opened = open_store(create=True)
    opened.append(identity(name, number), records, expected_seq=0)
    opened.close()


def diverged() -> list[Record]:
    """A run whose loss became NaN in its first epoch, with a metric of the second only."""
    return run_of_epochs({"loss": math.nan, "acc": math.inf}, {"loss": 1.0, "extra": 2.0})


def run_of_epochs(*logs: dict[str, Any], params: dict[str, Any] | None = None) -> list[Record]:
    """A run of one fit, of which only the ends of epochs matter."""
    stream = Stream()
    stream.add("run_began", {"version": VERSION, "name": "x", "params": params or {}})
    stream.add("call_began", {"phase": "train"}, call=1)
    for epoch, one in enumerate(logs):
        stream.add("epoch_end", one, call=1, epoch=epoch)
    stream.add("train_end", call=1)
    return stream.records


def on_terminal(
    *arguments: str, columns: int = 80, lines: int = 50, environment: dict[str, str] | None = None
) -> str:
    """What the command prints where stdin, stdout and stderr are a terminal."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [*TRACKER, *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**kept, "TERM": "xterm", **(environment or {})},
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while part := os.read(leader, 65536):
                shown += part
        except OSError:  # how Linux tells that the other side is closed
            pass
        os.close(leader)
        assert process.wait(30) == 0, shown
    return shown.decode().replace("\r\n", "\n")


def uncoloured(text: str) -> str:
    """The text without colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_events_that_diverged_are_told_from_missing_values() -> None:
    """A logged NaN is shown in tables of events; a value that was not logged is empty."""
    append("bad", diverged())
    asked = ("events", "list", "bad", "--kind", "epoch_end", "--columns", "epoch,loss,acc,extra")
    lines = tracker(*asked).stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [["0", "nan", "inf"], ["1", "1", "2"]]
    md = tracker(*asked, "-f", "md").stdout.splitlines()
    assert md[2:] == ["| 0 | nan | inf |  |", "| 1 | 1 |  | 2 |"]


def test_metrics_that_diverged_are_told_from_missing_values() -> None:
    """Long and wide, NaN is "NaN" in JSON, and null is for what was not logged."""
    append("bad", diverged())
    wide = json.loads(tracker("metrics", "list", "bad", "--wide", "-f", "json").stdout)
    assert [(row["loss"], row["acc"], row["extra"]) for row in wide] == [
        ("NaN", "Infinity", None),
        (1.0, None, 2.0),
    ]
    long = json.loads(tracker("metrics", "list", "bad", "--long", "-f", "json").stdout)
    assert [row["value"] for row in long] == ["NaN", "Infinity", 1.0, 2.0]
    assert " nan" in tracker("metrics", "list", "bad", "--wide").stdout


def test_parquet_keeps_dtypes(tmp_path: Path) -> None:
    """Metrics are float64 in Parquet, of all commands that have some."""
    append("bad", diverged())
    for number, arguments in enumerate((("runs", "list"), ("metrics", "list", "bad", "--wide"))):
        file = tmp_path / f"{number}.parquet"
        tracker(*arguments, "-o", str(file))
        frame = pd.read_parquet(file)
        assert {str(frame[name].dtype) for name in ("loss", "acc", "extra")} == {"float64"}


def test_parquet_in_a_pipe() -> None:
    """Parquet goes to a pipe whole; a terminal is refused it in `test_a_terminal`."""
    append("run", fit_stream())
    done = subprocess.run(
        [*TRACKER, "events", "list", "run", "-f", "parquet"], capture_output=True, check=True
    )
    frame = pd.read_parquet(io.BytesIO(done.stdout))
    assert list(frame["seq"]) == list(range(1, 33))
    assert json.loads(frame["logs"].iloc[-2]) == {"loss": 0.25}


def test_metrics_with_the_names_of_columns() -> None:
    """A metric called like a column of ours hides it nowhere."""
    append("run", run_of_epochs({"status": 0.5, "epochs": 7.0, "kind": 3.0}))
    (row,) = json.loads(tracker("runs", "list", "-f", "json").stdout)
    assert (row["status"], row["logs.status"]) == ("finished", 0.5)
    assert (row["epochs"], row["logs.epochs"]) == (1, 7.0)
    table = tracker("events", "list", "run", "--columns", "kind,logs.kind").stdout
    assert ["epoch_end", "3"] in [line.split() for line in table.splitlines()]


def test_values_that_would_break_lines() -> None:
    """Line ends and control characters of values are escaped: a row stays a row."""
    append("odd", run_of_epochs({"note": "a\nb\x1b[2J|c"}))
    table = tracker("events", "list", "odd", "--kind", "epoch_end").stdout
    assert (len(table.splitlines()), r"a\nb\x1b[2J|c" in table) == (2, True)
    assert "\x1b" not in on_terminal("events", "list", "odd", environment={"NO_COLOR": "1"})
    assert len(tracker("events", "tail", "odd").stdout.splitlines()) == 4
    md = tracker("events", "list", "odd", "--kind", "epoch_end", "-f", "md").stdout
    assert r"a\nb\x1b[2J\|c" in md
    rows = list(csv.DictReader(io.StringIO(tracker("events", "list", "odd", "-f", "csv").stdout)))
    assert rows[2]["note"] == "a\nb\x1b[2J|c"
    assert rows[0]["note"] == ""


def test_parameters_that_json_lacks() -> None:
    """Integers beyond 64 bits and broken letters are shown, by `runs show` too."""
    append("run", run_of_epochs({"loss": 1.0}, params={"big": 2**70, "broken": "\udc80"}))
    facts = json.loads(tracker("runs", "show", "run", "-f", "json").stdout)
    assert facts["params"] == {"big": {"$int": str(2**70)}, "broken": r"\udc80"}
    assert r"broken  \udc80" in tracker("runs", "show", "run").stdout


def test_letters_that_the_output_cannot_encode() -> None:
    """An output of ASCII gets escapes, not an error."""
    append("größe", fit_stream(name="größe"))
    done = tracker("runs", "list", "--columns", "name", PYTHONIOENCODING="ascii")
    assert r"gr\xf6\xdfe" in done.stdout


def test_names_that_look_like_markup() -> None:
    """Brackets in names are printed as they are, and by no means interpreted."""
    append("[/red]", fit_stream(name="[/red]"))
    assert "[/red]" in uncoloured(on_terminal("runs", "list", columns=120))
    assert "[/red]" in tracker("runs", "list", FORCE_COLOR="1").stdout


def test_colour_in_a_pipe_cuts_nothing_off() -> None:
    """FORCE_COLOR adds colour to what a pipe gets, and changes nothing else."""
    append("a-name-that-is-rather-long-for-a-column", fit_stream())
    asked = ("runs", "list", "--columns", "name,uuid,status,started,experiment,host,events")
    coloured = tracker(*asked, FORCE_COLOR="1").stdout
    assert "\x1b[" in coloured
    plain = tracker(*asked).stdout
    assert [line.split() for line in uncoloured(coloured).splitlines()] == [
        line.split() for line in plain.splitlines()
    ]


@pytest.mark.parametrize("colour", [{}, {"NO_COLOR": "1"}])
def test_a_terminal(colour: dict[str, str]) -> None:
    """Tables fit a terminal's width with colour and without; Parquet is refused."""
    append("a-name-that-is-rather-long-for-a-narrow-terminal", fit_stream())
    shown = on_terminal("runs", "list", columns=60, environment=colour)
    assert ("\x1b[" in shown) is not bool(colour)
    lines = uncoloured(shown).rstrip("\n").split("\n")
    assert len(lines) == 2
    assert max(map(len, lines)) <= 60
    with pytest.raises(AssertionError, match="not for terminals"):
        on_terminal("runs", "list", "-f", "parquet", environment=colour)


def test_the_pager() -> None:
    """PAGER gets tables that are longer than the screen, and nothing off a terminal."""
    append("run", fit_stream())
    pager = "sed s/^/paged:/"
    environment = {"PAGER": pager, "NO_COLOR": "1"}
    assert "paged:  1" in on_terminal("events", "list", "run", lines=10, environment=environment)
    assert "paged:" not in on_terminal("events", "list", "run", lines=60, environment=environment)
    assert "paged:" not in tracker("events", "list", "run", PAGER=pager).stdout


def test_formats_that_a_command_does_not_have() -> None:
    """`show` and `tail` refuse formats of frames, where they would print something else."""
    append("run", fit_stream())
    for arguments in (("runs", "show", "run"), ("events", "tail", "run"), ("db", "show")):
        done = tracker(*arguments, "--format", "csv", code=2)
        assert "'csv' is not one of" in done.stderr
        assert done.stdout == ""


def test_tail_shows_local_time() -> None:
    """`events tail` and tables show the same time of day: that of then, not of today's season."""
    append("run", fit_stream())
    for zone, hour in (("UTC-05:30", "05:30"), ("AAA0BBB-1,M12.1.0,M1.5.0", "01:00")):
        assert f"{hour}:00.001000" in tracker("events", "tail", "run", "-n", "99", TZ=zone).stdout
        assert f"2026-01-01 {hour}:00" in tracker("events", "list", "run", TZ=zone).stdout


def test_tail_tells_why_a_run_ended() -> None:
    """The line of a crash gives its reason, that of an end its status."""
    stream = Stream()
    stream.add("run_began", {"version": VERSION, "name": "x"})
    stream.add("run_crashed", {"reason": "killed"})
    append("dead", stream.records)
    append("done", fit_stream(), 2)
    assert tracker("events", "tail", "dead", "-n", "1").stdout.split()[-1] == "killed"
    assert tracker("events", "tail", "done", "-n", "1").stdout.split()[-1] == "finished"


def test_the_help_is_quick() -> None:
    """`tracker --help` loads none of the libraries that take long, nor rich's tables."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *TRACKER[1:], "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not {"pandas", "sqlalchemy", "keras", "pyarrow", "rich.table"} & loaded

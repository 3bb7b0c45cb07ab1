"""`tracker runs watch`: lines for programs, a live view for people, the outcome for scripts."""

from __future__ import annotations

import math
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update
from tracker.cli.bars import sparkline

from tests.streams import Stream, fit_stream, identity
from tests.test_cli import TRACKER
from tests.test_cli import tracker as command
from tracker.store import schema
from tracker.store.opening import connect_store, upgrade_store


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An empty store."""
    url = f"sqlite:///{tmp_path}/watch.db"
    store = connect_store(url, create=True)
    upgrade_store(store)
    store.close()
    return url


def on_terminal(arguments: list[str], *, until: Callable[[str], bool] | None = None) -> str:
    """What a command draws on a pseudo-terminal until it ends, or Ctrl-C once that holds."""
    leader, follower = pty.openpty()
    shown, code = b"", 0
    with subprocess.Popen(
        [*TRACKER, *arguments],
        stdin=follower, stdout=follower, stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm"}, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(follower)
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            shown += piece
            if until is not None and until(shown.decode(errors="replace")):
                process.send_signal(signal.SIGINT)
                until, code = None, 130
        assert process.wait(timeout=60) == code
    os.close(leader)
    return shown.decode()


def test_a_line_an_epoch_until_the_end(url: str) -> None:
    """A run that arrives while it is watched is told epoch by epoch; its end ends the command."""
    records = fit_stream(epochs=3)
    store = connect_store(url)
    store.append(identity(), records[:10], expected_seq=0)

    def train() -> None:
        for first in range(10, len(records), 10):
            time.sleep(0.3)
            store.append(identity(), records[first : first + 10], expected_seq=first)

    thread = threading.Thread(target=train)
    thread.start()
    done = command("runs", "watch", "run", "--exit-status", "--store", url)
    thread.join()
    store.close()
    lines = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["Epoch 1", "Epoch 2", "Epoch 3"]
    assert "val_loss: 0.5" in lines[0]
    assert "Run run: finished." in done.stderr


def test_one_metric(url: str) -> None:
    """Only it is told; one that there is not is refused, with those that there are."""
    store = connect_store(url)
    store.append(identity(), fit_stream(epochs=2), expected_seq=0)
    store.close()
    done = command("runs", "watch", "run", "--metric", "val_loss", "--store", url)
    lines = [line for line in done.stdout.splitlines() if line.startswith("Epoch")]
    assert len(lines) == 2
    assert all("val_loss" in line and " loss:" not in line for line in lines)
    refused = command("runs", "watch", "run", "--metric", "nope", "--store", url, code=2)
    assert "No metric 'nope' was logged. There are: loss, val_loss" in refused.stderr


def test_the_outcome_is_the_exit_code(url: str) -> None:
    """A failed run is 1 with --exit-status, and 0 without."""
    store = connect_store(url)
    records = fit_stream(ended=False)
    seq = len(records) + 1
    failed = records[-1]._replace(
        seq=seq, kind="run_ended", call=None, logs='{"status":"failed","error":{"type":"E"}}'
    )
    store.append(identity(), [*records, failed], expected_seq=0)
    store.close()
    command("runs", "watch", "run", "--store", url)
    command("runs", "watch", "run", "--exit-status", "--store", url, code=1)
    command("runs", "watch", "nobody", "--store", url, code=3)


def test_a_terminal_gets_a_live_view(url: str) -> None:
    """On a pseudo-terminal: status, values, a curve."""
    store = connect_store(url)
    store.append(identity(), fit_stream(epochs=3), expected_seq=0)
    store.close()
    text = on_terminal(["runs", "watch", "run", "--store", url])
    assert "finished" in text
    assert "val_loss" in text
    assert "█" in text


def test_values_of_all_doubles_have_a_curve(url: str) -> None:
    """From the least to the greatest one, whose difference is none."""
    stream = Stream()
    stream.add("run_began", {"version": 2, "name": "run"})
    stream.add("call_began", {"phase": "train", "params": {}}, call=1)
    for epoch, value in enumerate((1e308, -1e308)):
        stream.add("epoch_end", {"loss": value}, call=1, epoch=epoch)
    stream.add("run_ended", {"status": "finished"})
    store = connect_store(url)
    store.append(identity(), stream.records, expected_seq=0)
    store.close()
    assert "█▁" in on_terminal(["runs", "watch", "run", "--store", url])


def test_a_lost_run_is_not_waited_for(url: str) -> None:
    """Its writer's heartbeats have stopped: that is said, and is no success."""
    store = connect_store(url)
    store.append(identity(), fit_stream()[:12], expected_seq=0)
    with store.writing() as connection:
        connection.execute(
            update(schema.runs).values(heartbeat_at=schema.runs.c.heartbeat_at - 600_000_000)
        )
    store.close()
    done = command("runs", "watch", "run", "--exit-status", "--store", url, code=1)
    assert "Run run: lost: its writer is silent" in done.stderr


def test_the_list_is_drawn_again_when_runs_arrive(url: str) -> None:
    """On a pseudo-terminal until Ctrl-C; elsewhere it is refused, with what to take."""
    store = connect_store(url)
    store.append(identity(), fit_stream(), expected_seq=0)
    added = False

    def until(shown: str) -> bool:
        nonlocal added
        if "run" in shown and not added:
            added = True
            other = identity("another", 2)
            store.append(other, fit_stream(name="another"), expected_seq=0)
        return "another" in shown

    text = on_terminal(
        ["runs", "list", "--watch", "--interval", "0.2", "--store", url], until=until
    )
    assert text.index("finished") < text.index("another")
    store.close()
    done = command("runs", "list", "--watch", "--store", url, code=2)
    assert "tracker runs watch RUN" in done.stderr


def test_sparklines() -> None:
    """The least value is the lowest block; NaN and infinities are marked, and no error."""
    assert sparkline([0, 1, 2, 7]) == "▁▂▃█"
    assert sparkline([math.nan, 1, math.inf]) == "!▁!"
    assert sparkline([math.nan] * 3) == "!!!"
    assert sparkline([]) == ""
    assert sparkline([-1.7e308, 0, 1.7e308]) == "▁▄█"
    assert sparkline([0, 5e-324]) == "▁█"
    assert sparkline([1e16, 1e16 + 2]) == "▁█"
    assert len(sparkline(range(1000))) == 40

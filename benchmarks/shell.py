"""Seconds of a command of the shell, from its start to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks import search
from benchmarks.table import Figure, interleaved
from tracker.store.opening import open_store

_RUNS, _LISTED = 10_000, 1_000
_IMPORTS = "import sqlalchemy, typer"


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """How long a process takes."""
    start = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def figures(repeat: int) -> list[Figure]:
    """Listing a thousand runs, and the help; the floor is what every such program loads."""
    program = [sys.executable, "-c", "from tracker.cli import main; main()"]
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'runs.db'}"
        store = open_store(url, create=True)
        search.fill(store, _RUNS)
        store.close()
        timed = partial(
            seconds, environment={**os.environ, "TRACKER_STORE": url, "TRACKER_HOME": folder}
        )
        listing, usage, floor = interleaved(
            [
                partial(timed, [*program, "runs", "list", "--limit", str(_LISTED)]),
                partial(timed, [*program, "--help"]),
                partial(timed, [sys.executable, "-c", _IMPORTS]),
            ],
            repeat,
        )
    return [
        Figure(f"tracker runs list, {_LISTED:,} of {_RUNS:,} runs", listing, "s", floor, _IMPORTS),
        Figure("tracker --help", usage, "s", floor, _IMPORTS),
    ]

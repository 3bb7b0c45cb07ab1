"""Milliseconds of a command of the shell, from its start to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import search
from benchmarks.table import Figure, interleaved
from tracker.store.opening import open_store

_RUNS, _LISTED = 10_000, 1_000
_IMPORTS = "import sqlalchemy, typer"


def figures(repeat: int) -> list[Figure]:
    """Listing a thousand runs, and the help; the floor is what every such program loads."""
    program = [sys.executable, "-c", "from tracker.cli import main; main()"]
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'runs.db'}"
        store = open_store(url, create=True)
        search.fill(store, _RUNS)
        store.close()
        run = partial(
            subprocess.run,
            env={**os.environ, "TRACKER_STORE": url, "TRACKER_HOME": folder},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        commands = (
            [*program, "runs", "list", "--limit", str(_LISTED)],
            [*program, "--help"],
            [sys.executable, "-c", _IMPORTS],
        )
        listing, usage, floor = interleaved(
            [partial(search.milliseconds, partial(run, command)) for command in commands], repeat
        )
    return [
        Figure(f"tracker runs list, {_LISTED:,} of {_RUNS:,} runs", listing, "ms", floor, _IMPORTS),
        Figure("tracker --help", usage, "ms", floor, _IMPORTS),
    ]

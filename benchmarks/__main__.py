"""`python -m benchmarks`: measure, and print the table.

Benchmarks start a PostgreSQL server of their own, as the tests do.
"""

from __future__ import annotations

import argparse
import gc
from functools import partial

from benchmarks import care, diff, drain, frames, hook, memory, search, shell, training
from benchmarks.table import machine, table
from tests.postgres import PostgresServer, installations, running_server
from tracker.delivery import collect_seldom
from tracker.store.opening import connect_store, upgrade_store

PARTS = ["hook", "drain", "care", "frames", "search", "shell", "diff", "memory", "training"]


def server_url(server: PostgresServer) -> str:
    """The URL of a new database with our tables."""
    url = server.create_database()
    store = connect_store(url)
    upgrade_store(store)
    store.close()
    return url


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--events", type=int, default=100_000, help="in each measurement")
    parser.add_argument("--repeat", type=int, default=5, help="measurements of each, interleaved")
    arguments = parser.parse_args()
    what = arguments.what or PARTS
    if unknown := set(what) - set(PARTS):
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    # As the programs that deliver do it; and what was loaded before is nobody's to look through.
    collect_seldom()
    gc.freeze()
    found = []
    with running_server() as server:
        url = server_url(server)
        if "hook" in what:
            found += hook.figures(arguments.events, arguments.repeat, url)
        if "drain" in what:
            found += drain.figures(arguments.events, arguments.repeat, url)
        if "care" in what:
            found += care.figures(arguments.events, arguments.repeat, server_url(server))
        if "frames" in what:
            found += frames.figures(
                10 * arguments.events, arguments.repeat, partial(server_url, server)
            )
        if "search" in what:
            found += search.figures(arguments.events, arguments.repeat, partial(server_url, server))
        if "shell" in what:
            found += shell.figures(3 * arguments.repeat)
        if "diff" in what:
            found += diff.figures(10 * arguments.events, arguments.repeat)
        if "memory" in what:
            found += memory.figures(50 * arguments.events)
        if "training" in what:
            found += training.figures(arguments.repeat)
    print(machine(installations()[0].version) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()

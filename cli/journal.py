"""`tracker journal`: what waits on this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tracker.errors import JournalLocked, TrackerError

from .options import FormatOption, OutputOption, StoreOption, store_option
from .output import chosen_format, complain, say, write_frame

if TYPE_CHECKING:
    from tracker.journal import JournalInfo

app = typer.Typer(no_args_is_help=True, help="The journals of this machine.")


@app.command("list")
def list_journals(format: FormatOption = None, output: OutputOption = None) -> None:
    """List the journals on this machine, and whether their events are in the store.

    Example: tracker journal list
    """
    import pandas as pd

    from tracker.journal import journals
    from tracker.location import journal_folders

    rows = [
        {
            "run": info.meta.name if info.meta else info.folder.name,
            "state": _state(info),
            "events": info.last_seq - info.before,
            "stored": max(0, min(info.confirmed, info.last_seq) - info.before),
            "bytes": info.bytes,
            "store": info.meta.store if info.meta else None,
            "folder": str(info.folder),
            "problem": info.problem,
        }
        for info in journals(journal_folders())
    ]
    names = ["run", "state", "events", "stored", "bytes", "store", "folder", "problem"]
    frame = pd.DataFrame(rows, columns=names)
    numbers = dict.fromkeys(("events", "stored", "bytes"), "Int64")
    write_frame(frame.astype(numbers), chosen_format(format, output), output)


@app.command("ship")
def ship(
    again: Annotated[
        bool,
        typer.Option("--again", help="Also what was delivered before: the store has lost some."),
    ] = False,
    store: StoreOption = None,
) -> None:
    """Deliver what dead writers left in their journals to the store.

    Example: tracker journal ship --store postgresql://tracker@db.example/tracker
    """
    from tracker.delivery import collect_seldom
    from tracker.journal import journals
    from tracker.location import journal_folders
    from tracker.masking import without_passwords
    from tracker.store.opening import open_store

    collect_seldom()

    url = store_option(store)
    name = without_passwords(url)
    waiting = []
    for info in journals(journal_folders(), settled=None if again else False):
        if info.meta is None:
            complain(f"{info.folder} is passed over: {info.problem}.", warning=True)
        elif info.alive:
            say(f"Run {info.meta.name}: its process lives, and ships by itself.")
        elif info.fenced:
            say(
                f"Run {info.meta.name} was taken over or closed: what the store lacks of it stays "
                f"in {info.folder}."
            )
        elif info.elsewhere:
            say(f"Run {info.meta.name} was begun on {info.meta.host}: ship it there.")
        elif info.meta.store != name:
            say(f"Run {info.meta.name} is for another store: tracker journal ship "
                f"--store '{info.meta.store}'")  # fmt: skip
        else:
            waiting.append(info)
    if not waiting:
        say(f"No journal waits for {name}.")
        return
    opened = open_store(url, create=True)
    failures = [failure for info in waiting if (failure := _ship(info, opened))]
    opened.close()
    for failure in failures[1:]:
        complain(str(failure))
    if failures:
        raise failures[0]


def _ship(info: JournalInfo, store: object) -> TrackerError | None:
    """Deliver one journal with a progress bar on a terminal; returns why it failed."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    from tracker.delivery import deliver

    run = info.meta.name if info.meta else info.folder.name
    bar = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    try:
        with bar:
            task = bar.add_task(escape(run), total=info.last_seq)
            count = deliver(info, store, lambda seq: bar.update(task, completed=seq))  # type: ignore[arg-type]
    except JournalLocked:
        say(f"Run {run}: another process is delivering it.")
    except TrackerError as error:
        return type(error)(f"Run {run} was not delivered whole: {error}")
    else:
        say(f"Run {run}: {count} events delivered.")
    return None


def _state(info: JournalInfo) -> str:
    if info.problem:
        return "problem"
    if info.alive:
        return "writing"
    states = {"settled": info.settled, "fenced": info.fenced, "elsewhere": info.elsewhere}
    return next((name for name, holds in states.items() if holds), "waiting")

"""Options that several commands share, and the store that they choose."""

from __future__ import annotations

from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import complain, say

if TYPE_CHECKING:
    from tracker.store.sql import SqlStore

_chosen: ContextVar[str | None] = ContextVar("store", default=None)


class Format(StrEnum):
    """How frames are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MD = "md"
    PARQUET = "parquet"


def _complete_run(incomplete: str) -> list[str]:
    """Names of runs for shell completion; silent whatever happens."""
    try:
        from tracker.location import sqlite_path, store_url
        from tracker.selection import run_names
        from tracker.store.opening import open_store

        url = store_url(_chosen.get())
        path = sqlite_path(url)
        if path is not None and not path.exists():
            return []
        store = open_store(url)
        try:
            return [name for name in ["@last", *run_names(store, incomplete)]
                    if name.startswith(incomplete)]  # fmt: skip
        finally:
            store.close()
    except Exception:  # noqa: BLE001 - a shell in the middle of a line is no place to complain
        return []


StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="The store: sqlite:///runs.db, postgresql://user@host/database, or the path of a "
        "SQLite file. Default: TRACKER_STORE, [tool.tracker] of pyproject.toml, your own.",
        show_default=False,
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A name, id, unique beginning, @last or @last~2.",
        autocompletion=_complete_run,
    ),
]
RunsArgument = Annotated[
    list[str],
    typer.Argument(metavar="RUN…", help="One run or several.", autocompletion=_complete_run),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", "-f", help="Default: by the ending of --output, else a table."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write to this file instead."),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option("--columns", metavar="A,B", help="Only these columns, in this order."),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", "-n", min=1, help="At most so many rows.")
]


def choose_store(url: str | None) -> None:
    """Remember the store that was given before the command."""
    _chosen.set(url)


def store_option(url: str | None) -> str:
    """The full URL of the store: the command's own, the one before it, or the default."""
    from tracker.location import store_url

    return store_url(url or _chosen.get())


def reading_store(url: str | None) -> SqlStore:
    """An open store to read from, after what dead writers left on this machine is in it.

    That delivery is announced on stderr; where it fails, reading goes on without it.
    """
    from tracker.journals import journals
    from tracker.location import journal_folders
    from tracker.masking import without_passwords
    from tracker.shipper import deliver_all
    from tracker.store.opening import open_store

    full = store_option(url)
    name = without_passwords(full)
    waiting = [
        info
        for info in journals(journal_folders(), settled=False)
        if info.meta and not info.alive and info.meta.store == name
    ]
    store = open_store(full, create=bool(waiting))
    for run, outcome in deliver_all(waiting, store, name).items():
        if isinstance(outcome, int):
            say(f"Run {run}, whose process has died: {outcome} events delivered from its journal.")
        else:
            complain(f"The journal of run {run} was not delivered: {outcome}", warning=True)
    return store


def split(names: str | None) -> list[str] | None:
    """A comma-separated option as a list."""
    if names is None:
        return None
    return [name.strip() for name in names.split(",") if name.strip()]

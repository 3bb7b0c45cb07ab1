"""Options that several commands share, and the store that they choose."""

from __future__ import annotations

import re
import time
from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import complain, say

if TYPE_CHECKING:
    from tracker.journal import JournalInfo
    from tracker.store.port import Run
    from tracker.store.sql import SqlStore

_chosen: ContextVar[str | None] = ContextVar("store", default=None)


class ShortFormat(StrEnum):
    """How what is not a frame is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Format(StrEnum):
    """How frames are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MD = "md"
    PARQUET = "parquet"


def _complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs for shell completion; silent whatever happens, and makes no store."""
    try:
        from tracker.location import store_url
        from tracker.selection import run_names
        from tracker.store.opening import connect_store

        given = [ctx.params.get("store"), ctx.find_root().params.get("store")]
        store = connect_store(store_url(next(filter(None, given), None)))
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
WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        "-w",
        metavar="FILTER",
        help="Only runs that it holds for, such as 'status = \"failed\" and params.lr > 0.01'.",
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
ChosenRunsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="RUN…", help="Runs; or give --where.", autocompletion=_complete_run),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", "-f", help="Default: by the ending of --output, else a table."),
]
ShortFormatOption = Annotated[
    ShortFormat | None,
    typer.Option("--format", "-f", help="Default: text for people."),
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
    from tracker.store.opening import open_store

    full = store_option(url)
    waiting = _waiting(full)
    store = open_store(full, create=bool(waiting))
    _deliver(waiting, store, full)
    return store


def chosen_runs(
    runs: list[str] | None,
    where: str | None,
    store: SqlStore,
    *,
    older_than: str | None = None,
) -> list[Run]:
    """The runs that are named, or those that a filter holds for; archived ones and workers too.

    Raises:
        InvalidArgument: Both, or neither, were given.
        RunNotFound: None is left.
    """
    from tracker.errors import InvalidArgument, RunNotFound
    from tracker.query import latest_runs, run_of

    if runs and where:
        raise InvalidArgument("Give runs or --where, not both.")
    if not runs and where is None and older_than is None:
        raise InvalidArgument("Which runs? Give their names, or --where.")
    if runs:
        found = list({run.uuid: run for run in (run_of(one, store=store) for one in runs)}.values())
    else:
        found = latest_runs(where=where, archived=True, workers=True, store=store)
    if older_than is not None:
        before = (time.time() - _seconds(older_than)) * 1e6
        found = [run for run in found if (run.state.last_at or 0) < before]
    if not found:
        raise RunNotFound("No run is chosen by that.")
    return found


def _seconds(text: str) -> float:
    """A length of time such as 30d, 12h, 90m."""
    from tracker.errors import InvalidArgument

    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip().lower())
    if not match:
        raise InvalidArgument(
            f"{text!r} is no length of time. Expected a number and s, m, h, d or w, such as 30d."
        )
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[match[2]]


def recover(store: SqlStore, url: str | None, uuid: str | None) -> bool:
    """Deliver what a run's writer left, if it has died, and say so on stderr.

    Whether trying it again later makes sense is returned.

    Args:
        store: The open store.
        url: Its URL as the command was given it.
        uuid: The run's; None: of all runs.
    """
    full = store_option(url)
    waiting = [
        info
        for info in _waiting(full)
        if uuid is None or (info.meta is not None and info.meta.uuid == uuid)
    ]
    return _deliver(waiting, store, full)


def _waiting(url: str) -> list[JournalInfo]:
    """Journals that dead writers left for the store at a full URL."""
    from tracker.journal import journals
    from tracker.location import journal_folders
    from tracker.masking import without_passwords

    name = without_passwords(url)
    return [
        info
        for info in journals(journal_folders(), settled=False)
        if info.waiting and info.meta and info.meta.store == name
    ]


def _deliver(waiting: list[JournalInfo], store: SqlStore, url: str) -> bool:
    """Deliver journals; returns whether none failed."""
    from tracker.delivery import deliver_all
    from tracker.masking import without_passwords

    failed = False
    for run, outcome in deliver_all(waiting, store, without_passwords(url)).items():
        if not isinstance(outcome, int):
            complain(f"The journal of run {run} was not delivered: {outcome}", warning=True)
            failed = True
        elif outcome:
            say(f"Run {run}, whose process has died: {outcome} events delivered from its journal.")
    return not failed


def split(names: str | None) -> list[str] | None:
    """A comma-separated option as a list."""
    if names is None:
        return None
    return [name.strip() for name in names.split(",") if name.strip()]

"""`tracker db`: the store itself."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.errors import StoreCorrupt

from .care import rebuild_progress
from .cells import json_text
from .options import (
    ColumnsOption,
    FormatOption,
    OutputOption,
    ShortFormat,
    ShortFormatOption,
    StoreOption,
    reading_store,
    split,
    store_option,
)
from .output import chosen_format, pick, say, write_frame, write_text

app = typer.Typer(no_args_is_help=True, help="The store itself: what it is, and its tables.")


@app.command("show")
def show(format: ShortFormatOption = None, store: StoreOption = None) -> None:
    """Show which store is used, its revision and its size.

    Example: tracker db show
    """
    from dataclasses import asdict

    from tracker.store.inspection import inspect_store

    facts = asdict(inspect_store(store_option(store)))
    if format in (ShortFormat.JSON, ShortFormat.JSONL):
        write_text(json_text(facts, indent=format == ShortFormat.JSON))
        return
    width = max(map(len, facts))
    shown = {name: "none" if value is None else value for name, value in facts.items()}
    write_text("".join(f"{name:<{width}}  {value}\n" for name, value in shown.items()))


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


@app.command("upgrade")
def upgrade(store: StoreOption = None) -> None:
    """Make the store's tables, or bring them to this program's revision.

    Example: tracker db upgrade --store postgresql://tracker@db.example/tracker
    """
    from tracker.masking import mask_url
    from tracker.store.opening import connect_store, upgrade_store

    url = store_option(store)
    opened = connect_store(url, create=True)
    try:
        with rebuild_progress() as progress:
            before, after = upgrade_store(opened, progress)
    finally:
        opened.close()
    if before == after:
        say(f"The tables of {mask_url(url)} are of revision {after} already.")
    else:
        say(f"The tables of {mask_url(url)} went from revision {before or 'none'} to {after}.")


@app.command("stats")
def stats(
    columns: ColumnsOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Show what takes the space, by experiment and run, and what pruning would free.

    Example: tracker db stats --format csv
    """
    from tracker.maintenance import store_stats

    form = chosen_format(format, output)
    frame = store_stats(store=reading_store(store))
    write_frame(pick(frame, split(columns)), form, output)
    if form == "table":
        frame["experiment"] = frame["experiment"].fillna("(none)")
        sums = frame.groupby("experiment")[["bytes", "prunable_bytes"]].sum()
        for name, row in sums.sort_values("bytes", ascending=False).iterrows():
            say(f"{name}: {_size(row['bytes'])}, of which pruning would free "
                f"{_size(row['prunable_bytes'])}")  # fmt: skip


@app.command("check")
def check(
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave the database's own check of its file out.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Check the store: revision, file, and that every stream is whole.

    Example: tracker db check
    """
    from tracker.store.inspection import check_store
    from tracker.store.opening import open_store

    opened = open_store(store_option(store))
    problems = check_store(opened, quick=quick)
    if problems:
        raise StoreCorrupt(
            f"{len(problems)} problem(s) found:\n"
            + "\n".join(f"  {problem}" for problem in problems)
        )
    say("No problems found.")

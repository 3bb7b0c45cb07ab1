"""`tracker verify` and `tracker rebuild`: care for the store's history and projections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    ChosenRunsArgument,
    FormatOption,
    OutputOption,
    StoreOption,
    reading_store,
    store_option,
)
from .output import chosen_format, progress_bar, say, write_frame

if TYPE_CHECKING:
    from tracker.store.rebuilding import Progress


def add_to(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("verify")(verify)
    app.command("rebuild")(rebuild)


def verify(
    runs: ChosenRunsArgument = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEAD",
            help="A head that was noted elsewhere, or @FILE with one a line; may be repeated.",
        ),
    ] = None,
    heads: Annotated[
        bool, typer.Option("--heads", help="Print where each run's chain stands, to be noted.")
    ] = False,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Check that the history is what was appended: all runs, or these.

    Findings go to stdout, and the exit code is 6.

    Example: tracker verify @last
    """
    from tracker import maintenance
    from tracker.errors import IntegrityFailure, InvalidArgument

    form = chosen_format(format, output)
    opened = reading_store(store)
    if heads and expect:
        raise InvalidArgument("Give --heads or --expect, not both.")
    if heads:
        write_frame(maintenance.heads(runs or None, store=opened), form, output)
        return
    checked = {"runs": 0, "events": 0}

    def count(_run: str, events: int) -> None:
        checked["runs"] += 1
        checked["events"] += events

    noted = [head for text in expect or () for head in _heads(text)]
    with progress_bar("verify", None) as advance:

        def progress(run: str, events: int) -> None:
            count(run, events)
            advance(checked["runs"])

        found = maintenance.verify(runs or None, expect=noted, progress=progress, store=opened)
    if len(found) or output or form != "table":
        write_frame(found, form, output)
    if len(found):
        names = ", ".join(sorted({name or "(gone)" for name in found["run"].fillna("")}))
        raise IntegrityFailure(f"History is not what was appended, of: {names}.")
    what = f"{checked['runs']} runs, {checked['events']} events"
    say(f"Sound: {what}{f', {len(noted)} noted heads' if noted else ''}.")


def rebuild(
    restart: Annotated[
        bool, typer.Option("--restart", help="Not where an interrupted rebuild stopped, but anew.")
    ] = False,
    chunks: Annotated[
        bool, typer.Option("--chunks", help="The chunks that long runs are read from, instead.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Make everything but the events again from them: runs, params, tags, metrics.

    Readers and writers go on meanwhile.

    Example: tracker rebuild
    """
    from tracker import maintenance
    from tracker.store.opening import open_store
    from tracker.store.rebuilding import interrupted

    opened = open_store(store_option(store))
    if chunks:
        with progress_bar("rebuild", None) as advance:
            sealed = maintenance.rebuild_chunks(progress=advance, store=opened)
        say(f"Rebuilt: {sealed} events are in chunks.")
        return
    reached = interrupted(opened)
    if reached and not restart:
        say(f"Going on after run {reached}, where a rebuild was interrupted.")
    with rebuild_progress() as progress:
        done = maintenance.rebuild(restart=restart, progress=progress, store=opened)
    say(f"Rebuilt: {done.runs} runs, {done.events} events.")


@contextmanager
def rebuild_progress() -> Iterator[Callable[[Progress], None]]:
    """A progress bar on stderr, on a terminal, for a rebuild."""
    with progress_bar("rebuild", None) as advance:
        yield lambda done: advance(done.runs)


def _heads(text: str) -> list[str]:
    """The heads that `--expect` names."""
    if not text.startswith("@"):
        return [text]
    from tracker.errors import InvalidArgument
    from tracker.store.auditing import find_heads

    try:
        lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"The heads in {text[1:]} cannot be read: {error}.") from None
    # In whatever format they were written.
    heads = [head for line in lines for head in find_heads(line)]
    if not heads:
        raise InvalidArgument(f"There is no head in {text[1:]}. Expected UUID:SEQ:HASH.")
    return heads

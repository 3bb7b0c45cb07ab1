"""`tracker runs diff` and `tracker runs compare`: runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tracker.legibility import printable

from .cells import json_text, rows_of
from .options import (
    FormatOption,
    OutputOption,
    RunsArgument,
    StoreOption,
    reading_store,
)
from .output import chosen_format, rendered, write_frame, write_text

if TYPE_CHECKING:
    from tracker.comparing import Difference

#: Of the columns of events, those that people are shown.
_EVENTS = ["kind", "metric", "compared", "different", "first_epoch", "first_batch",
           "largest_gap", "gap_begin", "gap_middle", "gap_end"]  # fmt: skip

RunOf = Annotated[str, typer.Argument(metavar="RUN", help="A name, id, unique beginning, @last.")]
AllOption = Annotated[bool, typer.Option("--all", help="What is the same, too.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of runs."""
    app.command("diff")(diff)
    app.command("compare")(compare)


def diff(
    a: RunOf,
    b: RunOf,
    rtol: Annotated[float, typer.Option(metavar="X", help="Relative tolerance.")] = 0.0,
    atol: Annotated[float, typer.Option(metavar="X", help="Absolute tolerance.")] = 0.0,
    all: AllOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="1 if the streams differ, 0 if they are equal.")
    ] = False,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Show what differs between two runs, and the first event at which they part.

    Values are compared to the bit, unless a tolerance is given. For pull requests: --format md.

    Example: tracker runs diff @last~1 @last
    """
    from tracker.comparing import diff as difference

    form = chosen_format(format, output)
    _check(form)
    found = difference(a, b, rtol=rtol, atol=atol, all=all, store=reading_store(store))
    text = _json(found, form) if form in ("json", "jsonl") else _text(found, form)
    write_text(text, output)
    if exit_code and not found.equal:
        raise typer.Exit(1)


def compare(
    runs: RunsArgument,
    all: AllOption = False,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Show what differs between several runs, a column each.

    Example: tracker runs compare @last @last~1 @last~2
    """
    from tracker.comparing import compare as comparison

    form = chosen_format(format, output)
    write_frame(comparison(runs, all=all, store=reading_store(store)), form, output)


def _check(form: str) -> None:
    from tracker.errors import InvalidArgument

    if form in ("csv", "parquet"):
        raise InvalidArgument("A diff has several tables: take --format table, json or md.")


def _json(found: Difference, form: str) -> str:
    import pandas as pd

    facts = {
        name: rows_of(value) if isinstance(value, pd.DataFrame) else value
        for name, value in found.to_dict().items()
    }
    return json_text(facts, indent=form == "json")


def _text(found: Difference, form: str) -> str:
    parts = [f"{printable(found.verdict())}\n"]
    for name, frame in found.sections().items():
        title = f"### {name}\n" if form == "md" else name
        shown = frame[_EVENTS] if name == "events" else frame
        parts.append(f"\n{title}\n{rendered(shown, form)}")
    return "".join(parts)

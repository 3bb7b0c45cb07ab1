"""`tracker replay`: a run at one point of its stream, or as a callback would have changed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cells import cell, json_text
from .options import FormatOption, OutputOption, RunArgument, StoreOption, reading_store
from .output import chosen_format, write_frame, write_text

if TYPE_CHECKING:
    import pandas as pd

    from tracker.replaying.moment import Moment


def add_to(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command("replay")(replay)


def replay(
    run: RunArgument,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="POINT", help="seq:N, epoch:E, or a time. Default: the end."),
    ] = None,
    callback: Annotated[
        list[str] | None,
        typer.Option(
            "--callback",
            metavar="EXPRESSION",
            help="What would this callback of Keras's have done? Such as "
            "'EarlyStopping(monitor=\"val_loss\", patience=3)'; may be repeated.",
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            metavar="NAME=VALUES",
            help="A row for each value of an argument of the callback, such as patience=1..10.",
        ),
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Show a run at some point: phase, epoch, batch, values, best so far.

    Or what a callback would have done to it. Its expression is parsed, not evaluated.

    Example: tracker replay @last --at epoch:3
    """
    from tracker.errors import InvalidArgument
    from tracker.replaying.moment import state

    form = chosen_format(format, output)
    if callback and at is not None:
        raise InvalidArgument("Give --at or --callback, not both.")
    if sweep is not None:
        write_frame(_swept(run, callback, sweep, store), form, output)
        return
    if form not in ("table", "json", "jsonl") or output is not None:
        raise InvalidArgument("This is no table: take --format json, or the text.")
    if callback:
        _what_if(run, callback, form, store)
        return
    moment = state(run, at, store=reading_store(store))
    if form != "table":
        write_text(json_text(moment.to_dict(), indent=form == "json"))
    else:
        write_text(_shown(moment))


def _swept(run: str, expressions: list[str] | None, text: str, store: str | None) -> pd.DataFrame:
    from functools import partial

    from tracker.errors import InvalidArgument
    from tracker.replaying.expression import made_callback
    from tracker.replaying.sweeping import parsed_sweep, sweep

    if not expressions or len(expressions) > 1:
        raise InvalidArgument("--sweep takes one --callback, whose argument it is.")
    name, values = parsed_sweep(text)
    argument: dict[str, Any] = {name: values}
    made = partial(made_callback, expressions[0])
    return sweep(run, made, store=reading_store(store), **argument)


def _what_if(run: str, expressions: list[str], form: str, store: str | None) -> None:
    from tracker.replaying.driver import replay
    from tracker.replaying.expression import made_callback

    callbacks = [made_callback(one) for one in expressions]
    verdict = replay(run, callbacks, store=reading_store(store))
    if form != "table":
        facts = {name: getattr(verdict, name) for name in verdict.__dataclass_fields__}
        facts["acts"] = [one._asdict() for one in verdict.acts]
        write_text(json_text(facts, indent=form == "json"))
    else:
        write_text(f"{verdict}\n")


def _shown(moment: Moment) -> str:
    import pandas as pd

    elapsed = None if moment.elapsed is None else pd.Timedelta(moment.elapsed, unit="us")
    rows: list[tuple[str, Any]] = [
        ("run", moment.run),
        ("event", f"{moment.seq} {moment.kind}"),
        ("at", pd.Timestamp(moment.at, unit="us", tz="UTC")),
        ("elapsed", elapsed),
        ("status", moment.status),
        ("phase", moment.phase),
        ("call", moment.call),
        ("epoch", _of(moment.epoch, moment.planned_epochs)),
        ("batch", _of(moment.batch, moment.planned_steps)),
        ("lr", moment.learning_rate),
        ("logged", _values(moment.logs, moment.logged_by)),
    ]
    lines = [f"{name:<9} {cell(value)}\n" for name, value in rows if value is not None]
    for name, best in moment.best.items():
        epoch = "" if best.epoch is None else f" in epoch {best.epoch}"
        lines.append(f"{name:<9} {cell(moment.last[name])}, best {cell(best.value)}{epoch}\n")
    return "".join(lines)


def _of(number: int | None, planned: int | None) -> str | None:
    """A number from 0 on, of how many."""
    if number is None:
        return None
    return str(number) if planned is None else f"{number} (of 0 to {planned - 1})"


def _values(logs: Any, kind: str | None) -> str | None:
    if not logs:
        return None
    return f"{' '.join(f'{cell(name)}={cell(value)}' for name, value in logs.items())} ({kind})"

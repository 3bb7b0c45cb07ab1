"""Experiments: the names that group runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, Connection, Select, case, func, select

from tracker.arguments import check_text
from tracker.errors import RunExists, RunNotFound
from tracker.event import metric_name
from tracker.facts import person
from tracker.frames import run_frame, typed
from tracker.judging import END, TEST, Mode, best_of, better, judged
from tracker.liveness import LOST, with_lost
from tracker.query import Store, opened_store
from tracker.selection import can_be_stored, listed
from tracker.store import schema
from tracker.store.port import Run
from tracker.store.rows import load_runs, load_runs_in_order
from tracker.store.sql import SqlStore

T = TypeVar("T")

#: How many experiments are named to somebody who asks for one that is not there.
_NAMED = 20

#: Values that are looked for, and best ones that are looked at, at once.
_VALUES = 1_000

_TYPES = {
    "experiment": "string",
    "runs": "Int64",
    "groups": "Int64",
    "running": "Int64",
    "finished": "Int64",
    "failed": "Int64",
    "started": "datetime64[us, UTC]",
    "latest": "datetime64[us, UTC]",
    "best_run": "string",
    "best": "float64",
}


def experiments(
    *, metric: str = "val_loss", mode: Mode | None = None, store: Store = None
) -> pd.DataFrame:
    """The experiments of a store, the latest first.

    Runs that are listed count: not archived ones, and of processes that train together the chief.

    Args:
        metric: What runs are judged by, over their epochs; `test_loss` is an evaluate's `loss`.
        mode: Which end of it is better, `"min"` or `"max"`; by default as its name tells.
        store: The store.

    Returns:
        One row an experiment (missing for runs of none): `experiment`, `runs`, `groups`,
        `running`, `finished`, `failed` (or interrupted, crashed, lost), `started` (its first run),
        `latest` (its last one), `best_run`, `best` (the value).

    Raises:
        InvalidArgument: `mode` is wrong.
    """
    direction = better(metric, mode)
    with opened_store(store) as opened, opened.snapshot() as connection:
        counted = connection.execute(_summary()).all()
        running = load_runs_in_order(connection, _running(connection), described=False)
        sizes = {row.experiment: row.runs for row in counted}
        values = _best_values(connection, metric, direction, sizes)
        best = _best_runs(connection, metric, direction, set(values.values()))
    # Which of them are lost, no query tells: it depends on who lives on this machine.
    lost = Counter(run.state.experiment for run in with_lost(running) if run.state.status == LOST)
    rows = []
    for row in counted:
        gone, value = lost[row.experiment], values.get(row.experiment)
        rows.append(
            (row.experiment, row.runs, row.groups, row.running - gone, row.finished,
             row.runs - row.running - row.finished + gone, row.started, row.latest,
             None if value is None else best[row.experiment, value], value)
        )  # fmt: skip
    rows.sort(key=lambda row: row[7] or 0, reverse=True)
    columns = list(zip(*rows, strict=True)) or [()] * len(_TYPES)
    return typed(dict(zip(_TYPES, columns, strict=True)), _TYPES)


def _summary() -> Select[Any]:
    """For each experiment how many runs it has, of which kinds, and when they began."""
    runs = schema.runs.c
    return (
        select(
            runs.experiment,
            func.count().label("runs"),
            func.count(func.nullif(runs.group_name, "").distinct()).label("groups"),
            func.sum(case((runs.status == "running", 1), else_=0)).label("running"),
            func.sum(case((runs.status == "finished", 1), else_=0)).label("finished"),
            func.min(runs.began_at).label("started"),
            func.max(runs.began_at).label("latest"),
        )
        # In the order of the runs: half the time of hither and thither in that of an index.
        .with_hint(schema.runs, "NOT INDEXED", dialect_name="sqlite")
        .where(listed())
        .group_by(runs.experiment)
    )


def _running(connection: Connection) -> Sequence[int]:
    """The ids of runs that their events call running."""
    runs = schema.runs.c
    wanted = select(runs.id).where(listed() & (runs.status == "running"))
    return connection.execute(wanted).scalars().all()


def _best_values(
    connection: Connection, metric: str, direction: Mode, sizes: Mapping[str | None, int]
) -> dict[str | None, float]:
    """The best value of each experiment that has any, given how many runs each has."""
    experiment = schema.runs.c.experiment
    best: dict[str | None, float] = {}
    if not metric.startswith(TEST):  # it may be of evaluates, too, which no one index tells
        # Most experiments that have the metric have a run among the best of all.
        found = connection.execute(_foremost(metric, direction).limit(_VALUES)).all()
        for name, value in found:
            best.setdefault(name, value)
        if len(found) < _VALUES:
            return best
    rest = [name for name in sizes if name not in best]
    few = 2 * sum(sizes[name] for name in rest) < sum(sizes.values())
    joined, value = judged(metric, direction)
    end = (func.min if direction == "min" else func.max)(value)
    for some in _pieces(rest):
        among: ColumnElement[bool] = experiment.in_([name for name in some if name is not None])
        if None in some:
            among |= experiment.is_(None)
        wanted = select(experiment, end).select_from(joined).where(among & listed())
        if not few:
            wanted = wanted.with_hint(schema.runs, "NOT INDEXED", dialect_name="sqlite")
        found = connection.execute(wanted.group_by(experiment)).all()
        best |= {name: value for name, value in found if value is not None}
    return best


def _foremost(metric: str, direction: Mode) -> Select[Any]:
    """Experiments of runs by what they logged of a metric, the best first."""
    metrics = schema.run_metrics.c
    value = metrics[END[direction]]
    return (
        select(schema.runs.c.experiment, value)
        .join_from(schema.run_metrics, schema.runs)
        .where((metrics.phase == "train") & (metrics.metric == metric))
        .where(value.is_not(None) & listed())
        .order_by(value if direction == "min" else value.desc())
    )


def _best_runs(
    connection: Connection, metric: str, direction: Mode, values: Collection[float]
) -> dict[tuple[str | None, float], str]:
    """Of each experiment and best value the latest run that has it, by name."""
    runs, metrics = schema.runs.c, schema.run_metrics.c
    joined, value = judged(metric, direction)
    age = func.row_number().over(
        partition_by=(runs.experiment, value),
        order_by=(func.coalesce(runs.began_at, 0).desc(), runs.id.desc()),
    )
    found = {}
    for some in _pieces(sorted(values)):
        having = (
            select(metrics.run_id)
            .where(metrics.metric.in_([metric, metric.removeprefix(TEST)]))
            .where(metrics[END[direction]].in_(some))
        )
        ranked = (
            select(runs.experiment, runs.name, value.label("value"), age.label("age"))
            .select_from(joined)
            .where(runs.id.in_(having) & value.in_(some) & listed())
            .subquery()
        )
        for row in connection.execute(select(ranked).where(ranked.c.age == 1)):
            found[row.experiment, row.value] = row.name
    return found


def _pieces(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """A query takes only so many."""
    for place in range(0, len(values), _VALUES):
        yield values[place : place + _VALUES]


def experiment_runs(
    experiment: str, *, metric: str = "val_loss", mode: Mode | None = None, store: Store = None
) -> pd.DataFrame:
    """The runs of an experiment, the best first.

    Args:
        experiment: Its name.
        metric: What they are judged by: see `experiments`.
        mode: Which end of it is better.
        store: The store.

    Returns:
        The columns of `tracker.runs`, and `best` after `status`: the metric's best value. Of
        equally good runs the latest comes first; those without a value come last.

    Raises:
        RunNotFound: There is no such experiment.
        InvalidArgument: `mode` is wrong.
    """
    ranked = ranked_runs(experiment, metric=metric, mode=mode, store=store)
    return with_best(run_frame([run for run, _ in ranked]), [value for _, value in ranked])


def ranked_runs(
    experiment: str, *, metric: str = "val_loss", mode: Mode | None = None, store: Store = None
) -> list[tuple[Run, float | None]]:
    """As `experiment_runs`, with everything that the store's projections say."""
    direction = better(metric, mode)
    with opened_store(store) as opened:
        _check_exists(opened, experiment)
        with opened.reading() as connection:
            condition = listed() & (schema.runs.c.experiment == experiment)
            runs = with_lost(load_runs(connection, where=condition))
    return _ranked(runs, metric, direction)


def with_best(frame: pd.DataFrame, best: Sequence[float | None]) -> pd.DataFrame:
    """A frame of runs with the column `best` after `status`."""
    if "best" in frame:  # a metric of that name
        frame = frame.rename(columns={"best": "logs.best"})
    values = np.array([np.nan if value is None else value for value in best], dtype="float64")
    frame.insert(list(frame.columns).index("status") + 1, "best", values)
    return frame


def metric_names(*, store: Store = None) -> list[str]:
    """What runs of a store can be judged by."""
    metrics = schema.run_metrics.c
    wanted = select(metrics.phase, metrics.metric).distinct()
    with opened_store(store) as opened, opened.reading() as connection:
        found = connection.execute(wanted).all()
    return sorted(metric_name(row.phase, row.metric) for row in found)


def rename_experiment(
    experiment: str, name: str, *, merge: bool = False, store: Store = None
) -> int:
    """Give an experiment another name, on each of its runs; returns how many.

    Args:
        experiment: Its name.
        name: The new one.
        merge: Although there is an experiment of that name: they become one.
        store: The store.

    Raises:
        RunNotFound: There is no such experiment.
        RunExists: There is one of the new name.
    """
    check_text("the new name", name)
    with opened_store(store) as opened:
        _check_exists(opened, experiment)
        there = _count(opened, name)
        if there and not merge and name != experiment:
            raise RunExists(
                f"There is an experiment {name!r} already, with {there} "
                f"run{'s' if there > 1 else ''}. --merge makes the two one."
            )
        uuids = _uuids(opened, experiment) if name != experiment else []
        for uuid in uuids:
            opened.declare(uuid, "experiment_changed", {"experiment": name, "by": person()})
    return len(uuids)


def _ranked(runs: Sequence[Run], metric: str, direction: Mode) -> list[tuple[Run, float | None]]:
    """Runs with their best values, the best first, of equally good ones the latest."""
    latest = sorted(runs, key=lambda run: (run.state.began_at or 0, run.id), reverse=True)
    found = [(run, best_of(run.state, metric, direction)) for run in latest]
    known = [(run, value) for run, value in found if value is not None]
    sign = 1 if direction == "min" else -1
    known.sort(key=lambda pair: sign * pair[1])
    return [*known, *((run, value) for run, value in found if value is None)]


def _check_exists(store: SqlStore, experiment: str) -> None:
    if _count(store, experiment):
        return
    column = schema.runs.c.experiment
    wanted = select(column).where(column.is_not(None)).distinct().order_by(column)
    with store.reading() as connection:
        names = list(connection.execute(wanted).scalars())
    near = get_close_matches(experiment, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    there = ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
    raise RunNotFound(f"There is no experiment {experiment!r}.{hint} There are: {there or 'none'}.")


def _count(store: SqlStore, experiment: str) -> int:
    if not can_be_stored(experiment):
        return 0
    counting = select(func.count()).select_from(schema.runs)
    with store.reading() as connection:
        return int(
            connection.execute(counting.where(schema.runs.c.experiment == experiment)).scalar_one()
        )


def _uuids(store: SqlStore, experiment: str) -> list[str]:
    wanted = select(schema.runs.c.uuid).where(schema.runs.c.experiment == experiment)
    with store.reading() as connection:
        return list(connection.execute(wanted.order_by(schema.runs.c.id)).scalars())

"""Two runs, or more, side by side: what differs, and the first event at which they part."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from tracker.columns import Columns, NotColumnar, columns_of_records
from tracker.comparing.alignment import aligned
from tracker.comparing.difference import SECTIONS, Difference, event_summary
from tracker.comparing.distances import same_bits, within
from tracker.comparing.sections import NOISE, facts, metric_frame, side_by_side
from tracker.comparing.values import Comparison, Divergence
from tracker.errors import InvalidArgument, NothingInCommon
from tracker.event import Record, metric_name
from tracker.logs import encode
from tracker.projections import winners
from tracker.query import Store, describe, opened_store, run_of
from tracker.store.chunks import stream_columns
from tracker.store.port import Run
from tracker.store.sql import SqlStore

__all__ = ["SECTIONS", "Difference", "Divergence", "compare", "diff"]

_PIECE = 8_192

#: Columns of `compare` that are no run's.
_COLUMNS = ("section", "name", "differs")


def diff(
    a: str | int,
    b: str | int,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    all: bool = False,
    store: Store = None,
) -> Difference:
    """What of two runs differs, and where they part.

    Hooks are the same ones if call, epoch, batch and kind are, whenever they happened; of a run
    that was resumed, those count that were not run again. Two values are the same if
    `|a - b| <= atol + rtol * max(|a|, |b|)`; if both tolerances are 0, the default, if all bits
    are. NaN is the same as NaN.

    Args:
        a: A name, id, UUID, unique prefix, `@last` or `@last~2`.
        b: The other.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        all: What is the same, too, and what differs from run to run in any case (host, pid …).
        store: The store.

    Returns:
        Frames of params, environment, git, model, metrics and events, with what differs; and
        `first`, the first divergence. `events` has a row for each kind of event and metric:
        `compared`, `different`, where first (`first_epoch` …), the `largest_gap` and where, and
        the mean gap in the first tenth of the way, in the middle and in the last tenth.

    Raises:
        RunNotFound, AmbiguousRun: A run is not exactly one.
        InvalidArgument: A tolerance is negative, or no number.
        NothingInCommon: The runs have no hook in common.
    """
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
            raise InvalidArgument(f"{name} must be a number from 0 on. Received: {value!r}.")
    with opened_store(store) as opened:
        runs = [run_of(one, store=opened) for one in (a, b)]
        comparison = Comparison(rtol, atol)
        with opened.snapshot() as connection:
            streams = [_pieces(opened, connection, run) for run in runs]
            for pair in aligned(*streams):
                comparison.take(pair)
            comparison.finish()
        if not comparison.common and (comparison.only_a or comparison.only_b):
            raise NothingInCommon(
                f"Runs {runs[0].name!r} and {runs[1].name!r} have no hook in common: no call, "
                "epoch and batch of one is one of the other. To see what they began with: "
                "tracker runs compare"
            )
        described = [facts(describe(run.uuid, store=opened)) for run in runs]
    found = {
        section: side_by_side(
            [one[section] for one in described], ("a", "b"), noise=_noise(section)
        )
        for section in described[0]
    }
    found["metrics"] = metric_frame(runs[0], runs[1], partial(_alike, rtol=rtol, atol=atol))
    return Difference(
        a=runs[0].name,
        b=runs[1].name,
        **{name: _shown(frame, all) for name, frame in found.items()},
        events=event_summary(comparison.summaries, all_of_them=all),
        first=comparison.first,
        common=comparison.common,
        only_a=comparison.only_a,
        only_b=comparison.only_b,
    )


def compare(runs: Sequence[str | int], *, all: bool = False, store: Store = None) -> pd.DataFrame:
    """Two runs or more, a column each.

    Args:
        runs: RUNs (see `tracker.events`).
        all: Rows in which they agree, too.
        store: The store.

    Returns:
        One row a fact: `section` (params, environment, git, model, metrics), `name`, then a
        column a run, named as it is (`run name` if that is `name`), of Python values. Metrics are
        the last ones.

    Raises:
        RunNotFound, AmbiguousRun: A run is not exactly one.
        InvalidArgument: They are fewer than two, or one of them is named twice.
    """
    with opened_store(store) as opened:
        found = [run_of(one, store=opened) for one in runs]
        if len({run.uuid for run in found}) < max(len(found), 2):
            raise InvalidArgument("To compare takes two runs or more, each of them once.")
        described = [facts(describe(run.uuid, store=opened)) for run in found]
    for one, run in zip(described, found, strict=True):
        one["metrics"] = {
            metric_name(phase, name): state.last
            for (phase, name), state in run.state.metrics.items()
        }
    # Runs may be called as the frame's own columns are.
    names = [f"run {run.name}" if run.name in _COLUMNS else run.name for run in found]
    parts = [
        _shown(
            side_by_side([one[section] for one in described], names, noise=_noise(section)), all
        ).assign(section=section)
        for section in described[0]
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame["section"] = frame["section"].astype("string")
    return frame[["section", "name", *names]]


def _noise(section: str) -> frozenset[str]:
    return NOISE if section == "environment" else frozenset()


def _shown(frame: pd.DataFrame, everything: bool) -> pd.DataFrame:
    chosen = frame if everything else frame[frame["differs"]]
    return chosen.drop(columns="differs").reset_index(drop=True)


def _alike(a: float, b: float, *, rtol: float, atol: float) -> bool:
    x, y = np.array([a], np.float64), np.array([b], np.float64)
    return bool(same_bits(x, y)[0]) or bool((rtol or atol) and within(x, y, rtol, atol)[0])


def _pieces(store: SqlStore, connection: Any, run: Run) -> Iterator[Columns]:
    """A run's events as columns; of several attempts, those that count."""
    if run.state.attempt == 1:
        reached = 0
        try:
            for piece in stream_columns(connection, run, lambda piece: piece):
                yield piece
                reached = int(piece.fields["seq"][-1].as_py()) if len(piece) else reached
        except NotColumnar:
            yield from _texts(list(store.read(run.uuid, after=reached)))
        return
    yield from _texts(winners(list(store.read(run.uuid))))


def _texts(records: Sequence[Record]) -> Iterator[Columns]:
    for begin in range(0, len(records), _PIECE):
        part = records[begin : begin + _PIECE]
        yield columns_of_records(part) or _as_text(part)


def _as_text(records: Sequence[Record]) -> Columns:
    """Records whose logs cannot be columns, each with the text of its logs as one value."""
    texts = [one._replace(logs=encode({"logs": one.logs})) for one in records]
    columns = columns_of_records(texts)
    assert columns is not None
    return columns

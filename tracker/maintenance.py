"""Care for a store: checking its history, making its projections again, giving space back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from tracker.errors import InvalidArgument, JournalLocked, StoreCorrupt
from tracker.facts import person, refuse_living
from tracker.frames import typed
from tracker.journal import discard
from tracker.liveness import LOST, with_lost
from tracker.location import journal_folders
from tracker.query import Store, opened_store, run_of
from tracker.store import rebuilding, space
from tracker.store.auditing import (
    Finding,
    Head,
    audit,
    compare,
    head_of,
    orphans,
    parse_head,
)
from tracker.store.port import Run
from tracker.store.rebuilding import Progress
from tracker.store.rows import load_runs
from tracker.store.sql import SqlStore

_FINDING_TYPES = {
    "run": "string",
    "uuid": "string",
    "seq": "Int64",
    "until": "Int64",
    "problem": "string",
}

_HEAD_TYPES = {"run": "string", "events": "Int64", "head": "string"}

_STAT_TYPES = {
    "experiment": "string",
    "run": "string",
    "status": "string",
    "events": "Int64",
    "batch_events": "Int64",
    "bytes": "Int64",
    "prunable_events": "Int64",
    "prunable_bytes": "Int64",
}

Runs = str | int | Iterable[str | int]


def verify(
    runs: Runs | None = None,
    *,
    expect: str | Sequence[str] = (),
    progress: Callable[[str, int], None] | None = None,
    store: Store = None,
) -> pd.DataFrame:
    """What of the history is not what was appended.

    The hash chain of each run is worked out again from its events. It has no key: see
    docs/how-to/integrity.md for what it does not protect against.

    Args:
        runs: A RUN (see `tracker.events`) or several; None: all of the store.
        expect: Heads that were noted elsewhere (`heads`): the runs must still have them.
        progress: Called after each run with its name and its number of events.
        store: The store.

    Returns:
        One row a finding, none if all is sound: `run`, `uuid`, `seq` and `until` (the first and
        last event concerned, where they can be named), `problem`.

    Raises:
        RunNotFound, AmbiguousRun: A run is not exactly one.
        InvalidArgument: A head cannot be understood.
    """
    noted = [parse_head(text) for text in ([expect] if isinstance(expect, str) else expect)]
    found: list[tuple[str, str, Finding]] = []
    with opened_store(store) as opened:
        # A head says something of a stream only if the stream is what its seals say.
        uuids = dict.fromkeys([*_uuids(opened, runs), *(head.uuid for head in noted)])
        for uuid in uuids:
            found += _audited(opened, uuid, progress)
        if runs is None:
            with opened.snapshot() as connection:
                found += [("", "", one) for one in orphans(connection)]
        for head in noted:
            found += _compared(opened, head)
    rows = [(run, uuid, *finding) for run, uuid, finding in found]
    columns = list(zip(*rows, strict=True)) or [()] * len(_FINDING_TYPES)
    return typed(dict(zip(_FINDING_TYPES, columns, strict=True)), _FINDING_TYPES)


def heads(runs: Runs | None = None, *, store: Store = None) -> pd.DataFrame:
    """Where the hash chains of runs stand, to be noted elsewhere.

    Returns:
        One row a run: `run`, `events`, `head` (a text for `expect` of `verify`).

    Raises:
        RunNotFound, AmbiguousRun: A run is not exactly one.
    """
    with opened_store(store) as opened, opened.reading() as connection:
        known = load_runs(connection, None if runs is None else _uuids(opened, runs))
    columns: dict[str, Sequence[Any]] = {
        "run": [run.name for run in known],
        "events": [run.state.last_seq for run in known],
        "head": [str(head_of(run)) for run in known],
    }
    return typed(columns, _HEAD_TYPES)


def rebuild(
    *,
    restart: bool = False,
    progress: Callable[[Progress], None] | None = None,
    store: Store = None,
) -> Progress:
    """Drop every projection and fold it again from the events.

    Readers and writers go on meanwhile. Where an earlier one was interrupted, this goes on.

    Args:
        restart: Begin anew in that case.
        progress: Called again and again with what was done.
        store: The store.

    Returns:
        The number of runs and of their events.
    """
    with opened_store(store) as opened:
        return rebuilding.rebuild(opened, restart=restart, progress=progress)


def rebuild_chunks(*, progress: Callable[[int], None] | None = None, store: Store = None) -> int:
    """Drop the chunks that long runs are read from, and make them again from the events.

    Readers go on meanwhile, and read events instead.

    Args:
        progress: Called with the number of runs that are done, of those that are long enough.
        store: The store.

    Returns:
        How many events are in chunks now.
    """
    from tracker.store.chunks import chunked_runs, seal_again

    with opened_store(store) as opened:
        sealed = 0
        for done, uuid in enumerate(chunked_runs(opened), 1):
            sealed += seal_again(opened, uuid)
            if progress:
                progress(done)
        return sealed


def purge_runs(runs: Runs, *, force: bool = False, store: Store = None) -> list[Run]:
    """Erase runs for good, also what this machine has of them in journals.

    Journals on other machines are removed there a week after they were delivered.

    Args:
        runs: A RUN (see `tracker.events`) or several.
        force: Also runs whose writers live; those are shut out.
        store: The store.

    Returns:
        The runs as they were.

    Raises:
        RunNotFound, AmbiguousRun: A run is not exactly one.
        RunAlive: A run's writer lives; none was erased.
    """
    with opened_store(store) as opened:
        doomed = [run_of(one, store=opened) for one in _listed(runs)]
        for run in doomed if not force else ():
            refuse_living(run, "purged")
        for run in doomed:
            opened.purge(run.uuid, {"by": person()})
            _discard_journals(run)
        space.give_back(opened)
    return doomed


def prune_runs(runs: Runs, *, every: int | None = None, store: Store = None) -> dict[str, int]:
    """Drop batch events of runs that have ended.

    The last one of each kind in each epoch of each call stays, so that epochs keep their lengths.

    Args:
        runs: A RUN (see `tracker.events`) or several.
        every: Keep those of each N-th batch too.
        store: The store.

    Returns:
        By run name: how many were dropped.

    Raises:
        RunNotFound, AmbiguousRun: A run is not exactly one.
        InvalidArgument: A run has not ended, or `every` is not positive; nothing was dropped.
        IntegrityFailure: A run's history is not what was appended: pruning would hide that.
    """
    if every is not None and every < 1:
        raise InvalidArgument(f"every must be at least 1. Received: {every}.")
    with opened_store(store) as opened:
        chosen = [run_of(one, store=opened) for one in _listed(runs)]
        refuse_unfinished(chosen)
        data = {"by": person(), "every": every}
        dropped = {run.name: opened.prune(run.uuid, data, every=every) for run in chosen}
        space.give_back(opened)
    return dropped


def refuse_unfinished(runs: Iterable[Run]) -> None:
    """Refuse to prune runs that may still say more of their epochs.

    Raises:
        InvalidArgument: A run is running, or lost.
    """
    for run in runs:
        if run.state.status in ("running", LOST):
            raise InvalidArgument(
                f"Run {run.name!r} is {run.state.status}: only runs that have ended are pruned."
            )


def store_stats(*, store: Store = None) -> pd.DataFrame:
    """What takes the space of a store, run by run, and what pruning would free.

    Bytes are the size of the tables, shared out by what each run's events hold.

    Returns:
        One row a run, the largest first: `experiment`, `run`, `status`, `events`,
        `batch_events`, `bytes`, `prunable_events`, `prunable_bytes`.
    """
    with opened_store(store) as opened:
        with opened.reading() as connection:
            known = {run.id: run for run in with_lost(load_runs(connection))}
        shares = [one for one in space.shares(opened) if one.run_id in known]
    runs = [known[one.run_id] for one in shares]
    ended = [run.state.status not in ("running", LOST) for run in runs]
    columns: dict[str, Sequence[Any]] = {
        "experiment": [run.state.experiment for run in runs],
        "run": [run.name for run in runs],
        "status": [run.state.status for run in runs],
        "events": [one.events for one in shares],
        "batch_events": [one.batch_events for one in shares],
        "bytes": [one.bytes for one in shares],
        "prunable_events": [
            one.prunable_events if over else 0 for one, over in zip(shares, ended, strict=True)
        ],
        "prunable_bytes": [
            one.prunable_bytes if over else 0 for one, over in zip(shares, ended, strict=True)
        ],
    }
    frame = typed(columns, _STAT_TYPES)
    return frame.sort_values("bytes", ascending=False, kind="stable", ignore_index=True)


def _audited(
    store: SqlStore, uuid: str, progress: Callable[[str, int], None] | None
) -> list[tuple[str, str, Finding]]:
    found = []
    # The run's row is read in the same moment as its events. Values that the driver itself cannot
    # read end the transaction, so they are told here.
    try:
        with store.snapshot() as connection:
            for run in load_runs(connection, [uuid]):
                found += [(run.name, uuid, one) for one in audit(connection, run)]
                if progress:
                    progress(run.name, run.state.last_seq)
    except StoreCorrupt as error:
        found.append(("", uuid, Finding(None, None, str(error))))
    return found


def _compared(store: SqlStore, head: Head) -> list[tuple[str, str, Finding]]:
    with store.snapshot() as connection:
        known = load_runs(connection, [head.uuid])
        if not known:
            gone = Finding(None, head.seq, f"the run is gone, of which a head was noted at event "
                           f"{head.seq}")  # fmt: skip
            return [("", head.uuid, gone)]
        return [(known[0].name, head.uuid, one) for one in compare(connection, known[0], head)]


def _uuids(store: SqlStore, runs: Runs | None) -> list[str]:
    if runs is None:
        return [run.uuid for run in store.runs()]
    return [run_of(one, store=store).uuid for one in _listed(runs)]


def _listed(runs: Runs) -> list[str | int]:
    return [runs] if isinstance(runs, str | int) else list(runs)


def _discard_journals(run: Run) -> None:
    try:
        discard(journal_folders(), run.uuid)
    except JournalLocked:
        # Its writer lives, and was shut out: its journal is settled when it next delivers, and
        # removed a week later.
        return

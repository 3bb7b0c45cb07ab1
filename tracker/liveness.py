"""Whether the writer of a run that its events call running is still there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from tracker.journal import journals
from tracker.location import journal_folders
from tracker.store.port import Run

#: A writer that has not told for this long that it lives, in seconds, is lost: it misses four
#: heartbeats (see `tracker.ship.HEARTBEAT_SECONDS`).
LOST_SECONDS = 60.0

#: What a run can be shown as, beside the statuses of `tracker.projections`.
LOST = "lost"


def silence(run: Run) -> float | None:
    """Seconds since a running run's writer last told that it lives; None for other runs."""
    if run.state.status != "running":
        return None
    if run.heartbeat_age is not None:
        return run.heartbeat_age
    # It was written by a program that knew no heartbeats: its clock is the only one there is.
    return max(0.0, time.time() - (run.state.last_at or 0) / 1e6)


def seems_alive(run: Run) -> bool:
    """Whether a run's writer lives, as far as can be told, also between its calls."""
    here = [info for info in journals(journal_folders()) if info.meta]
    if any(info.alive and info.meta and info.meta.uuid == run.uuid for info in here):
        return True
    if any(info.meta and info.meta.writer == run.writer and not info.elsewhere for info in here):
        return False  # its lock is free
    if run.state.status == LOST:
        return False
    if run.state.status == "running":
        return (silence(run) or 0.0) <= LOST_SECONDS
    # A writer's end takes its heartbeat away.
    return run.heartbeat_age is not None and run.heartbeat_age <= LOST_SECONDS


def sign_of_life(run: Run) -> str:
    """Who writes a running run, and since when that is known: the rest of a sentence about it."""
    state = run.state
    if run.uuid in alive_here():
        return f"is being written by process {state.pid} on this machine"
    return (
        f"is being written by process {state.pid} on {state.host}, which told so "
        f"{run.heartbeat_age or silence(run) or 0:.0f} seconds ago"
    )


def with_lost(runs: Sequence[Run]) -> list[Run]:
    """The runs, those as `lost` whose writer is silent and not alive on this machine."""
    silent = {run.uuid for run in runs if (silence(run) or 0) > LOST_SECONDS}
    lost = silent - alive_here() if silent else silent
    return [
        replace(run, state=replace(run.state, status=LOST)) if run.uuid in lost else run
        for run in runs
    ]


def alive_here() -> set[str]:
    """The UUIDs of runs whose writers live on this machine."""
    listing = journals(journal_folders(), settled=False)
    return {info.meta.uuid for info in listing if info.meta and info.alive}

"""Going on with a run that another process began."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Iterator
from typing import Literal

from tracker.delivery import deliver
from tracker.errors import (
    EventsTooNew,
    JournalLocked,
    RunAlive,
    RunExists,
    RunHidden,
    RunNotFound,
    RunPurged,
)
from tracker.event import VERSION
from tracker.journal import WRITER, JournalInfo, is_alive, is_held, journals
from tracker.liveness import LOST_SECONDS, alive_here, sign_of_life, silence, with_lost
from tracker.location import journal_folders
from tracker.masking import without_passwords
from tracker.selection import find_exactly
from tracker.store.dialects import Durability
from tracker.store.opening import open_store
from tracker.store.port import PURGED, Run
from tracker.store.sql import SqlStore
from tracker.writer import release

_log = logging.getLogger("tracker")

#: Whether a run may be resumed, has to be, or must not be.
Resume = Literal["allow", "must", "never"]

#: How long the process that shipped for a dead trainer is waited for, in seconds.
_SHIPPING_SECONDS = 40.0

#: Pauses between looks at a lock, and at a heartbeat, in seconds.
_PAUSE, _LOOK = 0.1, 0.5


def resumable(
    run: str, resume: Resume, store: str, durability: Durability = "process"
) -> Run | None:
    """The run to go on with.

    What its dead writer left in a journal on this machine is delivered first. A run whose writer
    seems to live is waited for until that is sure, a minute at the most.

    Args:
        run: Its name, id or UUID, or `@last`; no prefix.
        resume: `"allow"`, `"must"` or `"never"`.
        store: The store's full URL.
        durability: See `tracker.store.dialects.Durability`.

    Returns:
        The run; None: there is none, and a new one may begin.

    Raises:
        RunNotFound: There is none, and there must be.
        RunExists: There is one, and there must not be.
        RunAlive: Its writer lives.
        RunHidden, RunPurged: It was archived, or purged.
        EventsTooNew: A later version of the tracker wrote it.
        TrackerError: The store cannot be reached.
    """
    with _opened(store, durability) as opened:
        _deliver_journals(run, opened, store)
        found = find_exactly(opened, run)
        if found is None:
            if resume == "must":
                raise RunNotFound(
                    f"There is no run {run!r} to resume. Check its name and the store; "
                    "resume='allow' begins a new run of that name."
                )
            return None
        if resume == "never":
            raise RunExists(
                f"There is a run {run!r} already ({found.state.status}, id {found.id}), and "
                "resume='never' was asked for. Choose another name, or resume='allow'."
            )
        _check(found)
        return _when_dead(opened, found)


def take_over(run: Run, store: str, durability: Durability = "process") -> Run:
    """Become the writer of a run that `resumable` found; returns it, with the new token.

    Raises:
        RunAlive: Another process was faster.
    """
    with _opened(store, durability) as opened:
        claimed = opened.claim(run.uuid, secrets.token_hex(8), replacing=run.writer)
    if claimed is None:
        raise RunAlive(f"Run {run.name!r} was resumed by another process in this moment.")
    return claimed


@contextlib.contextmanager
def _opened(store: str, durability: Durability) -> Iterator[SqlStore]:
    opened = open_store(store, create=True, durability=durability)
    try:
        yield opened
    finally:
        opened.close()


def _check(run: Run) -> None:
    if run.state.status == PURGED:
        raise RunPurged(f"Run {run.uuid} was purged; it cannot be resumed.")
    if run.state.archived_at is not None:
        raise RunHidden(f"Run {run.name!r} is archived. Do first: tracker runs restore {run.name}")
    if run.state.version > VERSION:
        raise EventsTooNew(
            f"Run {run.name!r} has events of vocabulary {run.state.version}; this program knows "
            f"up to {VERSION}. Update it: pip install --upgrade keras-event-tracker"
        )


def _deliver_journals(run: str, opened: SqlStore, store: str) -> None:
    """Deliver what this machine has of a run, whether or not the store knows it by then."""
    deadline = time.monotonic() + _SHIPPING_SECONDS
    name = without_passwords(store)
    found = find_exactly(opened, run)
    uuid = found.uuid if found else None
    for info in _journals(name, uuid, run):
        if info.meta and info.alive and not release(info.meta.uuid):
            _wait_for_shipping(info, deadline)
        with contextlib.suppress(JournalLocked):  # its lock was taken in this moment: it lives
            if not (info.settled or info.fenced or info.elsewhere):
                deliver(info, opened)


def _journals(store: str, uuid: str | None, name: str) -> list[JournalInfo]:
    return [
        info
        for info in journals(journal_folders(), settled=False)
        if info.meta
        and info.meta.store == store
        and (info.meta.uuid == uuid if uuid else name in (info.meta.name, info.meta.uuid))
    ]


def _wait_for_shipping(info: JournalInfo, deadline: float) -> None:
    """Wait while the process that shipped for a dead trainer still does."""
    while is_alive(info.folder) and not is_held(info.folder, WRITER):
        if time.monotonic() > deadline:
            return
        time.sleep(_PAUSE)
    if info.meta and is_held(info.folder, WRITER):
        raise RunAlive(
            f"Run {info.meta.name!r} is being written by process {info.meta.pid} on this machine. "
            "Stop that process, or have it close its callback, and try again."
        )


def _when_dead(store: SqlStore, run: Run) -> Run:
    """The run, when it is sure that nobody writes it."""
    began = time.monotonic()
    while True:
        (run,) = with_lost([run])
        if run.state.status != "running":
            return run
        if run.uuid in alive_here() or (silence(run) or 0.0) < time.monotonic() - began:
            raise RunAlive(
                f"Run {run.name!r} {sign_of_life(run)}. Stop that process; {LOST_SECONDS:.0f} "
                "seconds later the run can be resumed."
            )
        if time.monotonic() - began < _PAUSE:
            _log.warning(
                "Run %r %s: waiting until it is sure whether that lives, %.0f seconds at the most.",
                run.name,
                sign_of_life(run),
                LOST_SECONDS,
            )
        time.sleep(_LOOK)
        again = store.find(run.uuid)
        if again is None:  # purged and gone, or another database
            raise RunNotFound(f"Run {run.name!r} is not in the store any more.")
        run = again

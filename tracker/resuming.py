"""Going on with a run that another process began."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tracker.arguments import Resume
from tracker.delivery import deliver
from tracker.errors import (
    EventsTooNew,
    InvalidArgument,
    JournalCorrupt,
    JournalFailure,
    JournalLocked,
    RunAlive,
    RunExists,
    RunHidden,
    RunNotFound,
    RunPurged,
    SchemaMismatch,
    StoreUnreachable,
    WriterFenced,
)
from tracker.event import VERSION
from tracker.journal import WRITER, JournalInfo, is_alive, is_held, journals
from tracker.liveness import LOST_SECONDS, alive_here, seems_alive, sign_of_life, silence
from tracker.location import journal_folders
from tracker.masking import without_passwords
from tracker.selection import find_exactly
from tracker.store.dialects import Durability
from tracker.store.opening import open_store
from tracker.store.port import PURGED, Run
from tracker.store.sql import SqlStore
from tracker.writer import release

_log = logging.getLogger("tracker")

#: How long the process that shipped for a dead trainer is waited for, in seconds.
_SHIPPING_SECONDS = 40.0

#: Pauses between looks at a lock, and at a heartbeat, in seconds.
_PAUSE, _LOOK = 0.1, 0.5


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a callback is to go on with."""

    #: The name that a new run gets, without the rank of its worker.
    name: str
    #: The run; None: there is none, and a new one begins.
    run: Run | None


def resumption(
    run: str,
    resume: Resume,
    store: str,
    durability: Durability = "process",
    *,
    rank: int | None = None,
    experiment: str | None = None,
) -> Resumption:
    """The run to go on with, or the name of the new one.

    What its dead writer left in a journal on this machine is delivered first. A run whose writer
    seems to live is waited for until that is sure, a minute at the most.

    Args:
        run: Its name, id or UUID, or `@last`; no prefix.
        resume: `"allow"`, `"must"` or `"never"`.
        store: The store's full URL.
        durability: See `tracker.store.dialects.Durability`.
        rank: Of this process among those that train together: each goes on with its own run.
        experiment: What the run's experiment must be, if anything.

    Raises:
        RunNotFound: There is none, and there must be.
        RunExists: There is one, and there must not be.
        RunAlive: Its writer lives.
        RunHidden, RunPurged: It was archived, or purged.
        EventsTooNew: A later version of the tracker wrote it.
        InvalidArgument: It is of another experiment.
        TrackerError: The store cannot be reached, and there must, or must not, be one.
    """
    try:
        with _opened(store, durability) as opened:
            return _resumption(run, resume, opened, rank, experiment)
    except (StoreUnreachable, SchemaMismatch) as error:
        if resume != "allow":
            raise
        _log.warning("Run %r cannot be resumed: %s Training goes on, as a new run.", run, error)
        return Resumption(run, None)


def _resumption(
    run: str, resume: Resume, store: SqlStore, rank: int | None, experiment: str | None
) -> Resumption:
    _deliver_journals(run, store)
    found = find_exactly(store, run)
    name = found.name if found else run
    if rank:
        run = ranked(name, rank)
        _deliver_journals(run, store)
        found = find_exactly(store, run)
    if found is None:
        if resume == "must":
            raise RunNotFound(
                f"There is no run {run!r} to resume. Check its name and the store; "
                "resume='allow' begins a new run of that name."
            )
        return Resumption(name, None)
    if resume == "never":
        raise RunExists(
            f"There is a run {run!r} already ({found.state.status}, id {found.id}), and "
            "resume='never' was asked for. Choose another name, or resume='allow'."
        )
    _check(found)
    if experiment not in (None, found.state.experiment):
        raise InvalidArgument(
            f"Run {found.name!r} is of experiment {found.state.experiment!r}, not {experiment!r}: "
            "leave experiment out to resume it, or change it first: tracker experiments rename"
        )
    return Resumption(name, _when_dead(store, found))


def ranked(name: str, rank: int | None) -> str:
    """The name of a worker's run: that of the chief's, and its rank."""
    return f"{name}.{rank}" if rank else name


def take_over(run: Run, store: str, durability: Durability = "process") -> Run:
    """Become the writer of a run that `resumption` found; returns it, with the new token.

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


def _deliver_journals(run: str, store: SqlStore) -> None:
    """Deliver what this machine has of a run, whether or not the store knows it by then."""
    deadline = time.monotonic() + _SHIPPING_SECONDS
    found = find_exactly(store, run)
    for info in _journals(without_passwords(store.url), found.uuid if found else None, run):
        if info.meta and info.alive and not release(info.meta.uuid):
            if run.startswith("@"):
                continue  # if that is the one which is meant, it is refused later
            _wait_for_shipping(info, deadline)
        if info.settled or info.fenced or info.elsewhere:
            continue
        try:
            deliver(info, store)
        except (JournalLocked, WriterFenced):
            # It lives since this moment; or it was shut out, and stays as it is.
            continue
        except (JournalCorrupt, JournalFailure) as error:
            _log.warning("Not all of what run %r left is delivered: %s", run, error)


def _journals(store: str, uuid: str | None, name: str) -> list[JournalInfo]:
    return [
        info
        for info in journals(journal_folders(), settled=False)
        if info.meta
        and info.meta.store == store
        # The latest run may be one that the store does not know yet.
        and (
            name.startswith("@")
            or (info.meta.uuid == uuid if uuid else name in (info.meta.name, info.meta.uuid))
        )
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
    while seems_alive(run):
        silent = run.heartbeat_age if run.heartbeat_age is not None else silence(run)
        if run.uuid in alive_here() or (silent or 0.0) < time.monotonic() - began:
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
    return run

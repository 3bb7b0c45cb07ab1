"""RUN as people write it → one run of the store."""

from __future__ import annotations

import re
from difflib import get_close_matches

from sqlalchemy import ColumnElement, Connection, desc, or_, select

from tracker.errors import AmbiguousRun, RunNotFound
from tracker.store.port import PURGED, Run
from tracker.store.rows import load_runs
from tracker.store.schema import runs
from tracker.store.sql import SqlStore

_LAST = re.compile(r"@last(?:~(\d+))?")
_PREFIX_LEAST = 3
_CANDIDATES = 5


def select_run(store: SqlStore, run: str | int) -> int:
    """The id of the run that `run` means.

    Args:
        store: The store.
        run: A name, an id, a UUID, a unique beginning (of 3 or more characters) of a name or
            UUID, `@last` (the latest run begun), or `@last~2` (two before it).

    Raises:
        RunNotFound: With runs of similar names.
        AmbiguousRun: With the runs that match.
    """
    text = str(run).strip()
    with store.reading() as connection:
        found = _exactly(connection, text)
        return _by_prefix(connection, text) if found is None else found


def find_exactly(store: SqlStore, run: str) -> Run | None:
    """The run of this name, id or UUID, or `@last`; None: there is none.

    Raises:
        RunNotFound: The store has fewer runs than `@last~2` asks for.
    """
    with store.reading() as connection:
        run_id = _exactly(connection, run.strip())
        found = [] if run_id is None else load_runs(connection, where=runs.c.id == run_id)
    return found[0] if found else None


def listed(*, archived: bool = False, workers: bool = False) -> ColumnElement[bool]:
    """The runs that are listed: not purged ones.

    Args:
        archived: Archived ones too.
        workers: Of processes that trained together, not the chief only.
    """
    condition = runs.c.status != PURGED
    if not archived:
        condition &= runs.c.archived_at.is_(None)
    if not workers:
        condition &= runs.c.rank.is_(None) | (runs.c.rank == 0)
    return condition


def run_names(store: SqlStore, prefix: str = "", limit: int = 50) -> list[str]:
    """Names of the latest runs that begin with `prefix`, for shell completion."""
    begins = runs.c.name.startswith(prefix, autoescape=True)
    wanted = select(runs.c.name).where(begins).where(runs.c.status != PURGED)
    with store.reading() as connection:
        return list(connection.execute(wanted.order_by(desc(runs.c.id)).limit(limit)).scalars())


def can_be_stored(text: str) -> bool:
    """Whether a database can have the text: one from a command line may be no text at all."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def _exactly(connection: Connection, text: str) -> int | None:
    if not can_be_stored(text):
        return None
    if match := _LAST.fullmatch(text):
        return _nth_last(connection, text, int(match[1] or 0))
    exact = [runs.c.name == text, runs.c.uuid == text.lower()]
    if text.isdecimal() and len(text) < 10:
        exact.append(runs.c.id == int(text))
    found = connection.execute(select(runs.c.id, runs.c.name).where(or_(*exact))).all()
    for row in found:
        if row.name == text:
            return int(row.id)
    return int(found[0].id) if found else None


def _nth_last(connection: Connection, text: str, n: int) -> int:
    order = (desc(runs.c.began_at), desc(runs.c.id))
    found = connection.execute(
        select(runs.c.id).where(listed()).order_by(*order).offset(n).limit(1)
    ).scalar()
    if found is None:
        raise RunNotFound(f"There is no run {text}: the store has fewer runs than that.")
    return int(found)


def _by_prefix(connection: Connection, text: str) -> int:
    wanted = select(runs.c.id, runs.c.name, runs.c.uuid).order_by(desc(runs.c.id))
    if len(text) >= _PREFIX_LEAST and can_be_stored(text):
        begins = or_(
            runs.c.name.startswith(text, autoescape=True),
            runs.c.uuid.startswith(text.lower(), autoescape=True),
        )
        found = connection.execute(wanted.where(begins).limit(_CANDIDATES + 1)).all()
        if len(found) == 1:
            return int(found[0].id)
        if found:
            more = " …" if len(found) > _CANDIDATES else ""
            listed = ", ".join(f"{row.name} (id {row.id})" for row in found[:_CANDIDATES])
            raise AmbiguousRun(f"More than one run begins with {text!r}: {listed}{more}.")
    latest = connection.execute(wanted.where(runs.c.status != PURGED).limit(1000)).all()
    if not latest:
        raise RunNotFound(
            f"There is no run {text!r}: the store is empty. Train with a TrackerCallback first, "
            "or choose another store with --store or TRACKER_STORE."
        )
    near = get_close_matches(text, [row.name for row in latest], n=3, cutoff=0.5)
    shown = near or [row.name for row in latest[:3]]
    lead = "Did you mean" if near else "The latest are"
    raise RunNotFound(f"There is no run {text!r}. {lead}: {', '.join(shown)}?")

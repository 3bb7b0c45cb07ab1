"""Facts of a run's life that people state, after it or from outside.

Each is an event of the run's stream, with who stated it and when.
"""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from tracker import machine
from tracker.arguments import check_tags, check_text
from tracker.delivery import crashed
from tracker.errors import ConcurrencyConflict, InvalidArgument, RunAlive, StoreBusy, WriterFenced
from tracker.liveness import LOST, LOST_SECONDS, alive_here, seems_alive, sign_of_life
from tracker.projections import RunState
from tracker.query import Store, opened_store, run_of
from tracker.store.port import Run, RunIdentity
from tracker.store.sql import SqlStore

#: How often closing begins again behind facts that are stated meanwhile.
_TRIES = 10


def tag_run(run: str | int, tags: Sequence[str] | Mapping[str, str], *, store: Store = None) -> Run:
    """Give a run tags.

    Args:
        run: A name, id, UUID, unique prefix, `@last` or `@last~2`.
        tags: Words, or a dict of key and value. A key that the run has gets the new value.
        store: The store.

    Returns:
        The run as it is then.

    Raises:
        InvalidArgument: A tag is blank or has characters that cannot be printed.
        RunNotFound, AmbiguousRun: It is not exactly one run.
    """
    wanted = check_tags(tags)
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        new = {key: value for key, value in wanted.items() if found.state.tags.get(key) != value}
        return _declared(opened, found, "tags_changed", {"set": new, "removed": []} if new else {})


def untag_run(run: str | int, tags: Sequence[str], *, store: Store = None) -> Run:
    """Take tags from a run; returns it as it is then.

    Raises:
        InvalidArgument: It does not have one of them.
        RunNotFound, AmbiguousRun: It is not exactly one run.
    """
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        for tag in check_tags(tags):
            if tag not in found.state.tags:
                there = ", ".join(found.state.tags) or "none"
                raise InvalidArgument(f"Run {found.name!r} has no tag {tag!r}. It has: {there}.")
        return _declared(opened, found, "tags_changed", {"set": {}, "removed": list(tags)})


def note_run(run: str | int, note: str | None, *, store: Store = None) -> Run:
    """Write a run's note, in place of the one before; None or a blank one removes it.

    Returns:
        The run as it is then.

    Raises:
        RunNotFound, AmbiguousRun: It is not exactly one run.
    """
    text = (note or "").strip() or None
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        return _declared(
            opened, found, "note_changed", {"note": text} if text != found.state.note else {}
        )


def rename_run(run: str | int, name: str, *, store: Store = None) -> Run:
    """Give a run another name; returns it as it is then.

    Raises:
        InvalidArgument: The name cannot be one.
        NameTaken: Another run has it.
        RunNotFound, AmbiguousRun: It is not exactly one run.
    """
    name = check_text("name", name) or name
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        return _declared(opened, found, "run_renamed", {"name": name} if name != found.name else {})


def archive_run(run: str | int, *, store: Store = None) -> Run:
    """Hide a run from listings; returns it as it is then.

    Raises:
        RunNotFound, AmbiguousRun: It is not exactly one run.
    """
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        hidden = found.state.archived_at is not None
        return found if hidden else opened.declare(found.uuid, "run_archived", {"by": person()})


def restore_run(run: str | int, *, store: Store = None) -> Run:
    """Show an archived run again; returns it as it is then.

    Raises:
        RunNotFound, AmbiguousRun: It is not exactly one run.
    """
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        shown = found.state.archived_at is None
        return found if shown else opened.declare(found.uuid, "run_restored", {"by": person()})


def close_run(run: str | int, *, force: bool = False, store: Store = None) -> Run:
    """State that a run whose writer is gone will not go on: it has crashed.

    Its writer, should it come back, is fenced: what it has not delivered stays in its journal.

    Args:
        run: A name, id, UUID, unique prefix, `@last` or `@last~2`.
        force: Close it although its writer seems to live.
        store: The store.

    Returns:
        The run as it is then.

    Raises:
        RunNotFound, AmbiguousRun: It is not exactly one.
        InvalidArgument: It has ended already.
        RunAlive: Its writer lives, as far as can be told.
    """
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        if found.state.status not in ("running", LOST):
            raise InvalidArgument(
                f"Run {found.name!r} has ended already: it is {found.state.status}."
            )
        if not force:
            refuse_living(found, "closed")
        writer = secrets.token_hex(8)
        claimed = opened.claim(found.uuid, writer) or found
        state = claimed.state
        if state.status != "running":  # it ended in this moment, and is as it was
            opened.claim(found.uuid, found.writer)
            raise InvalidArgument(f"Run {found.name!r} has ended already: it is {state.status}.")
        identity = RunIdentity(uuid=found.uuid, name=found.given_name, writer=writer)
        _crash(opened, identity, state)
        return run_of(found.uuid, store=opened)


def person() -> dict[str, str]:
    """Who states a fact: `user` and `host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in some containers
        user = "unknown"
    return {"user": user, "host": machine.host()}


def refuse_living(run: Run, what: str) -> None:
    """Refuse to take a run from a writer that lives.

    Args:
        run: The run.
        what: What is to be done to it, as a participle.

    Raises:
        RunAlive: It lives, as far as can be told.
    """
    if not seems_alive(run):
        return
    after = (
        "the next command ends its run"
        if run.uuid in alive_here()
        else f"{LOST_SECONDS:.0f} seconds later the run is lost"
    )
    raise RunAlive(
        f"Run {run.name!r} {sign_of_life(run)}. Stop it; {after}, which can then be {what}. "
        "--force does it now, and shuts that process out."
    )


def _crash(store: SqlStore, identity: RunIdentity, state: RunState) -> None:
    """Append that a run crashed, behind whatever is stated of it in this moment."""
    for _ in range(_TRIES):
        record = crashed(state, "closed by hand: its writer was lost", by=person())
        try:
            store.append(identity, [record], expected_seq=state.last_seq)
        except WriterFenced:
            raise
        except ConcurrencyConflict:
            found = store.find(identity.uuid)
            state = found.state if found else state
        else:
            return
    raise StoreBusy(f"Others kept stating facts of run {identity.name!r} while it was closed.")


def _declared(store: SqlStore, run: Run, kind: str, data: Mapping[str, Any]) -> Run:
    """The run after a fact; nothing is stated where nothing changes."""
    return store.declare(run.uuid, kind, {**data, "by": person()}) if data else run

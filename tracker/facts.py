"""Facts of a run's life that people state, after it or from outside."""

from __future__ import annotations

import getpass
import secrets

from tracker import machine
from tracker.delivery import crashed
from tracker.errors import InvalidArgument, RunAlive
from tracker.liveness import LOST, LOST_SECONDS, alive_here, silence
from tracker.query import Store, opened_store, run_of
from tracker.store.port import Run, RunIdentity


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
            _refuse_living(found)
        writer = secrets.token_hex(8)
        claimed = opened.claim(found.uuid, writer) or found
        state = claimed.state
        if state.status != "running":  # it ended in this moment, and is as it was
            opened.claim(found.uuid, found.writer)
            raise InvalidArgument(f"Run {found.name!r} has ended already: it is {state.status}.")
        record = crashed(state, "closed by hand: its writer was lost", by=person())
        identity = RunIdentity(uuid=found.uuid, name=found.given_name, writer=writer)
        opened.append(identity, [record], expected_seq=state.last_seq)
        return run_of(found.uuid, store=opened)


def person() -> str:
    """Who states a fact: the user and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in some containers
        user = "unknown"
    return f"{user}@{machine.host()}"


def _refuse_living(run: Run) -> None:
    state = run.state
    if state.status == LOST:
        return
    if run.uuid in alive_here():
        raise RunAlive(
            f"Run {run.name!r} is being written by process {state.pid} on this machine. Stop that "
            "process; its run is then closed by the next command."
        )
    raise RunAlive(
        f"Run {run.name!r} is being written by process {state.pid} on {state.host}, which told so "
        f"{silence(run) or 0:.0f} seconds ago. Stop it; {LOST_SECONDS:.0f} seconds later the run "
        "is lost and can be closed. --force closes it now, and shuts that process out."
    )

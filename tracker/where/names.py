"""Names of params, tags and metrics that the runs of a store have."""

from __future__ import annotations

from difflib import get_close_matches

from sqlalchemy import Connection, and_, or_, select

from tracker.event import metric_name
from tracker.store.schema import run_metrics, run_params, run_tags
from tracker.where.fields import FIELDS
from tracker.where.kinds import Field
from tracker.where.mistakes import Mistake
from tracker.where.sql import Condition

#: How many an error lists.
_LISTED = 12
_TABLES = {"params": run_params, "tags": run_tags, "metrics": run_metrics}
_KINDS = {"params": "a parameter", "tags": "a tag", "metrics": "a metric"}


def check_name(connection: Connection, field: Field) -> None:
    """Refuse a field that no run of the store has, which is misspelt; not where none has any.

    Raises:
        Mistake: With the nearest name that there is, or those that there are.
    """
    kind, name, _ = field.source
    if kind == "runs" or _is_there(connection, kind, name):
        return
    names = stored_names(connection, kind)
    if names:
        listed = ", ".join(names[:_LISTED]) + (" …" if len(names) > _LISTED else "")
        bare = kind == "metrics" and field.name.text == name
        near = get_close_matches(name, [*names, *FIELDS] if bare else names, n=1)
        prefix = "" if kind == "metrics" else f"{kind}."
        hint = f"Did you mean {prefix}{near[0]}?" if near else f"There are: {listed}."
        raise Mistake(field.name, f"{_KINDS[kind]} that a run has", hint)


def stored_names(connection: Connection, kind: str) -> list[str]:
    """All names of the kind: of metrics, as the list of runs calls them."""
    if kind == "metrics":
        rows = connection.execute(select(run_metrics.c.phase, run_metrics.c.metric).distinct())
        return sorted({metric_name(row.phase, row.metric) for row in rows})
    return sorted(connection.execute(select(_TABLES[kind].c.key).distinct()).scalars())


def _is_there(connection: Connection, kind: str, name: str) -> bool:
    table = _TABLES[kind]
    which: Condition
    if kind == "metrics":
        train = and_(table.c.phase == "train", table.c.metric == name)
        rest = name.removeprefix("test_")
        test = and_(table.c.phase == "test", table.c.metric == rest)
        which = train if rest in {"", name} else or_(train, test)
    else:
        which = table.c.key == name
    return connection.execute(select(table.c.run_id).where(which).limit(1)).first() is not None

"""Events of earlier vocabularies → this one's. Stored events are never rewritten.

One step for each version: what changed from it to the next, for each kind that changed, as a pure
function of the logs. `docs/events.md` has the same in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracker.event import VERSION, Batch, Record, rows_of
from tracker.logs import decode, encode

_KIND, _LOGS = Record._fields.index("kind"), Record._fields.index("logs")

Step = Callable[[dict[str, Any]], dict[str, Any]]


def upcast(records: Sequence[Record], version: int) -> Sequence[Record]:
    """Records of a vocabulary as this program's own would be.

    Args:
        records: The records.
        version: Their vocabulary. A later one than this program's leaves them as they are.

    Returns:
        The same object where nothing is to do.
    """
    changed = {kind for steps in _STEPS[version - 1 :] for kind in steps}
    if not changed or not any(row[_KIND] in changed for row in rows_of(records)):
        return records
    if isinstance(records, Batch):
        records = records[:]
    return [_upcast(one, version) if one.kind in changed else one for one in records]


def _upcast(record: Record, version: int) -> Record:
    logs = decode(record.logs)
    for steps in _STEPS[version - 1 :]:
        if record.kind in steps:
            logs = steps[record.kind](logs)
    return record._replace(logs=encode(logs))


def _with_structured_author(logs: dict[str, Any]) -> dict[str, Any]:
    """`by` was a text, `user@host`; a user's name may have an `@`, a host's has none."""
    by = logs.get("by")
    if not isinstance(by, str):
        return logs
    user, _, host = by.rpartition("@")
    return {**logs, "by": {"user": user, "host": host}}


#: Step n - 1 leads from version n to n + 1.
_STEPS: tuple[dict[str, Step], ...] = ({"run_crashed": _with_structured_author},)

assert len(_STEPS) == VERSION - 1

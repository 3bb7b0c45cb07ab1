"""The last values of one metric, of many runs at once."""

from __future__ import annotations

import math
from collections.abc import Collection

from tracker.following import last_epochs
from tracker.logs import as_double
from tracker.store.sql import SqlStore

#: Values of one run.
_LAST = 60


def last_values(uuids: Collection[str], metric: str, store: SqlStore) -> dict[str, list[float]]:
    """The last finite values of a metric at the ends of epochs, by the run's UUID."""
    found: dict[str, list[float]] = {}
    for uuid, logs in last_epochs(uuids, _LAST, store):
        value = logs.get(metric)
        if isinstance(value, int | float) and math.isfinite(number := as_double(value)):
            found.setdefault(uuid, []).append(number)
    return found

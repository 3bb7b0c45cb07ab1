"""Curves that were read lately: a zoom asks for the same ones again."""

from __future__ import annotations

import threading

from cachetools import LRUCache

from tracker.plots.reading import Curve, Source, read_curve
from tracker.store.port import Run
from tracker.store.sql import SqlStore

#: Bytes: a million batches of one metric take 24 MB, and 8 more with their times.
_MOST = 256 * 2**20

_Key = tuple[str, str, int, int, str, str]

_curves: LRUCache[_Key, Curve] = LRUCache(_MOST, getsizeof=lambda curve: curve.nbytes + 1000)
_lock = threading.Lock()


def cached_curve(run: Run, metric: str, source: Source, store: SqlStore, *, timed: bool) -> Curve:
    """As `read_curve`; read once as long as the run has no new events."""
    state = run.state
    key = (store.url, run.uuid, state.last_seq, state.dropped or 0, metric, source)
    with _lock:
        found = _curves.get(key)
    if found is None or (timed and found.moment is None):
        found = read_curve(run, metric, source, store, timed=timed)
        with _lock:
            if found.nbytes < _MOST // 2:
                _curves[key] = found
    return found

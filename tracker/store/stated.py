"""Facts that a store appends itself: what people state, and what is left of what they dropped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice
from typing import Any

from tracker.event import Record, text_of
from tracker.store.port import Run

#: Events that one digest of a pruned stream is over: that is how exactly a change can be placed.
PIECE = 500


def fact(run: Run, kind: str, logs: str) -> Record:
    """A fact of a run as the next record of its stream."""
    return Record(
        seq=run.state.last_seq + 1,
        at=time.time_ns() // 1000,
        kind=kind,
        attempt=max(1, run.state.attempt),
        call=None,
        epoch=None,
        batch=None,
        logs=logs,
    )


def pruned_data(kept: Iterable[Record], until: int, dropped: int) -> dict[str, Any]:
    """What `events_pruned` says of the stream.

    The hash chain is over batches as they were appended. Where a part of one is gone, what is left
    is vouched for by the digests that this fact carries, and the fact by the chain.

    Args:
        kept: What is left of the stream up to `until`, in order.
        until: The last seq before the fact.
        dropped: How many events were dropped now.

    Returns:
        `dropped`, `until`, and `digests`: last seq and SHA-256 of each `PIECE` events.
    """
    return {"dropped": dropped, "until": until, "digests": list(digests(kept))}


def digests(records: Iterable[Record]) -> Iterator[list[Any]]:
    """Last seq and SHA-256 (as hex digits) of each `PIECE` records."""
    rest = iter(records)
    while piece := list(islice(rest, PIECE)):
        yield [piece[-1].seq, sha256(text_of(piece)).hexdigest()]


def purged_data(run: Run) -> dict[str, Any]:
    """What `run_purged` says of the run that was: how many events it had, and its head."""
    return {"uuid": run.uuid, "events": run.state.last_seq, "head": run.head.hex()}

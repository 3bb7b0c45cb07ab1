"""Looking at a store again and again, through its outages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from .options import recover
from .output import complain, say

if TYPE_CHECKING:
    from tracker.store.sql import SqlStore

T = TypeVar("T")

#: How often we look whether processes have died, and deliver what they left, in seconds.
_RECOVERY = 2.0


def again(
    look: Callable[[], T],
    interval: float,
    store: SqlStore,
    url: str | None,
    uuid: str | None = None,
) -> Iterator[T]:
    """What a look at the store says, over and over; where it is away, we wait for it.

    Args:
        look: Reads the store.
        interval: Seconds between two looks.
        store: The open store.
        url: Its URL as the command was given it.
        uuid: The only run whose journal is looked for; None: all.
    """
    from tracker.errors import StoreUnreachable

    away, recoverable, recovered = False, True, time.monotonic()
    while True:
        try:
            if recoverable and time.monotonic() - recovered >= _RECOVERY:
                recovered = time.monotonic()
                recoverable = recover(store, url, uuid)
            seen = look()
        except StoreUnreachable as error:
            if not away:
                complain(f"{error} Waiting for it.", warning=True)
            away = True
        else:
            if away:
                say("The store answers again.")
            away = False
            yield seen
        time.sleep(interval)

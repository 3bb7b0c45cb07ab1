"""How large chunks are, and whether they are made; without what reading or making them loads."""

from __future__ import annotations

import os

#: Events of one chunk, by seq: fewer where some were pruned.
SIZE = 16_384

#: Says that no chunks are made, if it is one of these.
_SWITCH, _OFF = "TRACKER_CHUNKS", {"0", "off", "no", "false"}


def is_on() -> bool:
    """Whether chunks are made: not where `TRACKER_CHUNKS` is `0`, `off`, `no` or `false`."""
    return os.environ.get(_SWITCH, "").strip().lower() not in _OFF

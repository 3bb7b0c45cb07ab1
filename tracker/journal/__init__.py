"""The local file of a run: append, read, list.

A journal is a folder named by the run's UUID, and by the writer's token if it resumed the run:

``meta.json``
    What the run is and which store it goes to (no password).
``writer.lock``
    Locked by the living writer; the lock dies with its process. `ship.lock` is its shipper's.
``00000000000000000001.jsonl`` …
    Segments, named by the seq of their first record. A line is a record as JSON array
    (`event.canonical`), `#` and a CRC-32 in 8 hexadecimal digits: that of all records of the
    segment up to this one, so that one comparison vouches for any number of lines.
``confirmed``
    The last seq known to be in the store: a hint for listings; the store is asked.
``settled``
    Everything is in the store, and the store knows how the run ended.
``fenced``
    The store takes no more of it, since the run was taken over or closed.

A line counts from its newline on. A torn last line is what was being written when the
process was killed: its hook never returned, so nothing is lost by passing over it.
"""

from tracker.journal.layout import FORMAT, JournalMeta, confirm, extend, fence, settle
from tracker.journal.listing import JournalInfo, discard, journals, meta_of, sweep
from tracker.journal.lock import SHIPPER, WRITER, claimed, held, is_alive, is_held
from tracker.journal.reader import JournalReader
from tracker.journal.writer import JournalWriter

__all__ = [
    "FORMAT",
    "SHIPPER",
    "WRITER",
    "JournalInfo",
    "JournalMeta",
    "JournalReader",
    "JournalWriter",
    "claimed",
    "confirm",
    "discard",
    "extend",
    "fence",
    "held",
    "is_alive",
    "is_held",
    "journals",
    "meta_of",
    "settle",
    "sweep",
]

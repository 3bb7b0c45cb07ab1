"""The event: one hook that Keras invoked, or one fact of a run's life."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple, overload
from zlib import crc32

import orjson

from tracker.errors import UnknownKind

#: The event vocabulary that this program writes; each append carries its own, and so does
#: `run_began`. What changed from one to the next is in `tracker.upcast`.
VERSION = 2

#: Keras's hooks, without their `on_`, in the order in which a call runs through them.
HOOKS = (
    "train_begin",
    "epoch_begin",
    "train_batch_begin",
    "train_batch_end",
    "test_begin",
    "test_batch_begin",
    "test_batch_end",
    "test_end",
    "epoch_end",
    "train_end",
    "predict_begin",
    "predict_batch_begin",
    "predict_batch_end",
    "predict_end",
)

#: Facts of a run's life that no hook tells.
FACTS = (
    "run_began",
    "run_resumed",
    "call_began",
    "run_ended",
    "run_crashed",
    "run_renamed",
    "tags_changed",
    "note_changed",
    "experiment_changed",
    "run_archived",
    "run_restored",
    "events_pruned",
    "run_purged",
)

#: Facts that people state of a run. They go to the store at once, behind what it has, and never
#: through a journal: a run's writer numbers its own records and knows nothing of them.
BY_HAND = frozenset(
    {
        "run_renamed",
        "tags_changed",
        "note_changed",
        "experiment_changed",
        "run_archived",
        "run_restored",
        "events_pruned",
        "run_purged",
    }
)

KINDS = HOOKS + FACTS

#: The phase of each hook; epochs belong to training.
PHASES = {hook: "train" if hook.startswith("epoch") else hook.partition("_")[0] for hook in HOOKS}


def metric_name(phase: str, metric: str) -> str:
    """A metric as people call it: `val_loss` is fit's own, `test_loss` an evaluate's `loss`."""
    return metric if phase == "train" else f"test_{metric}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of a run's stream."""

    #: 1, 2, 3 … without gaps in its run: the order in which hooks were invoked.
    seq: int
    #: Wall clock of the trainer, integer microseconds since 1970 UTC.
    at: int
    #: One of `KINDS`.
    kind: str
    #: 1, and one more each time the run is resumed.
    attempt: int
    #: Which fit, evaluate or predict, from 1; one that a later attempt tries again keeps its
    #: number. None for facts.
    call: int | None
    #: The epoch that everything inside one belongs to, from 0, else None.
    epoch: int | None
    #: Keras's index as given, for batch hooks, else None.
    batch: int | None
    #: The logs that the hook received; for facts, their data.
    logs: dict[str, Any]


class Record(NamedTuple):
    """An event on its way to or from a store: the same fields, logs as JSON text."""

    seq: int
    at: int
    kind: str
    attempt: int
    call: int | None
    epoch: int | None
    batch: int | None
    logs: str


class Batch(Sequence[Record]):
    """Records that were read together: their rows, and the text that they were read from.

    Most of what is done with a batch needs no `Record` of each row, and making one takes as long
    as parsing it.

    Args:
        rows: Tuples of the fields of `Record`.
        text: The JSON array of their canonical forms.
        marks: See `marks_of`.
    """

    __slots__ = ("marks", "rows", "text")

    def __init__(self, rows: list[tuple[Any, ...]], text: bytes, marks: bytes) -> None:
        self.rows = rows
        self.text = text
        self.marks = marks

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Record: ...

    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...

    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return list(map(Record._make, self.rows[place]))
        return Record._make(self.rows[place])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.rows == list(other)

    __hash__ = None  # type: ignore[assignment]


def rows_of(records: Sequence[Record] | Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The records as tuples of no subclass, which drivers bind a third faster."""
    return records.rows if isinstance(records, Batch) else list(map(tuple, records))


def canonical(record: Record) -> bytes:
    """The bytes that stand for a record in the journal: a JSON array of its fields."""
    # A NamedTuple is a tuple subclass, which orjson leaves to the caller.
    return orjson.dumps(tuple(record))


def chained(head: bytes, records: Sequence[Record], version: int = VERSION) -> bytes:
    """The head of a hash chain after one more batch.

    Args:
        head: The head before, 32 bytes.
        records: The batch.
        version: Their vocabulary.

    Returns:
        SHA-256 over the head, the version (four bytes; from 2 on) and the JSON array of the
        records' canonical forms, 32 bytes.
    """
    tag = b"" if version == 1 else version.to_bytes(4)
    return sha256(head + tag + text_of(records)).digest()


def text_of(records: Sequence[Record]) -> bytes:
    """The JSON array of the records' canonical forms."""
    if isinstance(records, Batch):
        return records.text
    return orjson.dumps(rows_of(records))


def marks_of(records: Sequence[Record] | Sequence[tuple[Any, ...]]) -> bytes:
    """What tells which of the records was changed, should their hash not be right any more.

    Returns:
        A CRC-32 of four bytes to begin with, and after each record the one that goes on from the
        one before over its canonical form.
    """
    if isinstance(records, Batch):
        return records.marks
    marks = [0]
    for row in rows_of(records):
        marks.append(crc32(orjson.dumps(row), marks[-1]))
    return b"".join(mark.to_bytes(4) for mark in marks)


def renumbered(records: Sequence[Record], by: int) -> Sequence[Record]:
    """The records, each with a seq that is `by` higher."""
    if not by:
        return records
    return [Record(seq + by, *rest) for seq, *rest in rows_of(records)]


def check_kinds(kinds: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Return `kinds` as a tuple of known kinds.

    Raises:
        UnknownKind: A kind does not exist; the message names the nearest one.
    """
    asked = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    for kind in asked:
        if kind not in KINDS:
            raise UnknownKind(_unknown(kind))
    return asked


def _unknown(kind: str) -> str:
    from difflib import get_close_matches  # only a mistake pays for it

    bare = str(kind).removeprefix("on_")
    near = [bare] if bare in KINDS else get_close_matches(bare, KINDS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown event kind {kind!r}.{hint} Kinds are: {', '.join(KINDS)}."

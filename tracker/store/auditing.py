"""Whether a run's history is what was appended: the hash chain, worked out again.

The chain has no key. It finds what was changed by accident, by a fault, or by somebody who does
not know of it; against somebody who works it out again, a head must have been noted elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple
from zlib import crc32

from sqlalchemy import Connection, desc, select

from tracker.errors import IntegrityFailure, InvalidArgument, StoreCorrupt
from tracker.event import Record, canonical, chained, text_of
from tracker.logs import decode
from tracker.store import schema
from tracker.store.port import GENESIS, Run
from tracker.store.reading import select_records

_HEAD = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(\d+):([0-9a-f]{64})")

#: Events of one batch that are named; of more than these, how many.
_NAMED = 20

#: What reading values of other types than were ever stored may raise.
_UNREADABLE = (TypeError, ValueError, OverflowError, AttributeError, IndexError, KeyError)


class Finding(NamedTuple):
    """Something that is not what was appended."""

    #: The first event concerned, and the last; None where no event can be named.
    seq: int | None
    until: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain of a run stood when its stream ended with `seq`: to be noted elsewhere."""

    uuid: str
    seq: int
    #: 32 bytes.
    hash: bytes

    def __str__(self) -> str:
        return f"{self.uuid}:{self.seq}:{self.hash.hex()}"


def parse_head(text: str) -> Head:
    """A head from its text.

    Raises:
        InvalidArgument: It is none.
    """
    found = _HEAD.fullmatch(text.strip().lower())
    if not found:
        raise InvalidArgument(
            f"{text.strip()!r} is no head. Expected UUID:SEQ:HASH, as `tracker verify --heads` "
            "prints them."
        )
    if int(found[2]) >= 2**63:
        raise InvalidArgument(
            f"No stream has an event {found[2]}: {text.strip()[:60]!r} is no head."
        )
    return Head(found[1], int(found[2]), bytes.fromhex(found[3]))


def find_heads(text: str) -> list[str]:
    """The heads in a text."""
    return [found[0] for found in _HEAD.finditer(text.lower())]


def head_of(run: Run) -> Head:
    """Where a run's chain stands."""
    return Head(run.uuid, run.state.last_seq, run.head)


def check_whole(connection: Connection, run: Run) -> None:
    """Refuse a run whose history is not what was appended.

    Raises:
        IntegrityFailure: With the first thing found.
    """
    found = next(audit(connection, run), None)
    if found:
        raise IntegrityFailure(f"Run {run.name!r} is not what was appended: {found.problem}")


def audit(connection: Connection, run: Run) -> Iterator[Finding]:
    """What is wrong with a run's history, in order of its events.

    Args:
        connection: A transaction whose reads are all of one moment.
        run: The run.
    """
    trail = _Trail(connection, run)
    try:
        yield from trail.begin()
        for append in _appends(connection, run):
            yield from trail.follow(append)
        yield from trail.end()
    except (*_UNREADABLE, StoreCorrupt) as error:  # what no append can have written
        yield Finding(
            trail.next, None, f"from event {trail.next} on there are values that cannot be read as "
            f"history: {error}",
        )  # fmt: skip


def orphans(connection: Connection) -> Iterator[Finding]:
    """Histories of runs that have no row any more."""
    for table in (schema.events, schema.appends):
        ids = select(table.c.run_id).distinct()
        rows = connection.execute(ids.where(table.c.run_id.not_in(select(schema.runs.c.id))))
        for run_id in rows.scalars():
            yield Finding(
                None, None, f"there are {table.name} of a run {run_id} whose row is gone: tracker "
                "rebuild makes it again",
            )  # fmt: skip


def pruned_until(connection: Connection, run: Run) -> int:
    """The last seq that pruning of a run has looked at; 0: it was not pruned."""
    pruned = _last_of(connection, run, "events_pruned")
    return int(decode(pruned.logs).get("until") or 0) if pruned else 0


def compare(connection: Connection, run: Run, head: Head) -> Iterator[Finding]:
    """What tells that a run's history is not the one that had this head."""
    appends = schema.appends
    at = select(appends.c.hash).where(appends.c.run_id == run.id)
    found = connection.execute(at.where(appends.c.last_seq == head.seq)).scalar()
    if found is not None:
        if _bytes(found) != head.hash:
            yield Finding(None, head.seq, f"events up to {head.seq} are not those of the noted "
                          "head: the chain was rewritten")  # fmt: skip
        return
    erased = _tombstone(connection, run)
    if erased and head.seq <= erased.seq - 1:
        if head.seq == erased.seq - 1 and head.hash.hex() != decode(erased.logs).get("head"):
            yield Finding(erased.seq, None, "what was purged is not what had the noted head")
        return
    last = run.state.last_seq
    if head.seq > last:
        yield Finding(last + 1, head.seq, f"the stream ends at event {last}, and a head was noted "
                      f"at {head.seq}: its end was cut off")  # fmt: skip
    else:
        yield Finding(None, head.seq, f"no append ends at event {head.seq}, where a head was "
                      "noted: the chain was rewritten")  # fmt: skip


class _Trail:
    """Follows a run's chain along its appends and events."""

    def __init__(self, connection: Connection, run: Run) -> None:
        self._connection = connection
        self._run = run
        self._events = _events(connection, run)
        self._event = next(self._events, None)
        self._head = GENESIS
        #: The seq that comes next.
        self.next = 1
        #: Up to here the stream was pruned: batches are no more what their hash is over.
        self._pruned_until = 0
        self._digests: list[list[Any]] = []
        self._kept: list[Record] = []

    def begin(self) -> Iterator[Finding]:
        """Find out where the stream begins, and how far it was pruned."""
        erased = _tombstone(self._connection, self._run)
        if erased:
            self._head = bytes.fromhex(str(decode(erased.logs).get("head") or ""))
            self.next = erased.seq
        first = self._event
        if first and first.kind == "run_began":
            uuid = decode(first.logs).get("uuid", self._run.uuid)
            if uuid != self._run.uuid:
                yield Finding(first.seq, first.seq, f"the run's row has the UUID {self._run.uuid}, "
                              f"and its first event {uuid}")  # fmt: skip
        pruned = _last_of(self._connection, self._run, "events_pruned")
        if pruned:
            data = decode(pruned.logs)
            self._pruned_until = int(data.get("until") or 0)
            self._digests = list(data.get("digests") or [])
            if self._pruned_until >= pruned.seq:
                yield _changed(pruned.seq)

    def follow(self, append: Any) -> Iterator[Finding]:
        """The next append."""
        first, last, before = append.first_seq, append.last_seq, _bytes(append.prev_hash)
        if first != self.next:
            yield Finding(
                min(first, self.next), None, f"no append has event {min(first, self.next)}: the "
                "chain has lost a link",
            )  # fmt: skip
        yield from self._unsealed(first - 1)
        if first == self.next and before != self._head:
            yield Finding(first, None, f"the chain is broken before event {first}: what precedes "
                          "it was rewritten")  # fmt: skip
        records = self._take(last)
        if last <= self._pruned_until:
            self._kept += records
            yield from self._check_kept()
        elif chained(before, records, append.version) != _bytes(append.hash):
            yield from _located(append, records, _marks(self._connection, self._run, first))
        self._head, self.next = _bytes(append.hash), last + 1

    def end(self) -> Iterator[Finding]:
        """What is behind the last append."""
        if self._pruned_until:
            yield from self._check_kept(rest=True)
        yield from self._unsealed(None)
        run = self._run
        if self._head != run.head:
            yield Finding(
                self.next, None, f"the chain ends at event {self.next - 1}, without the head "
                "that the run has: its end was cut off, or rewritten",
            )  # fmt: skip
        elif run.state.last_seq != self.next - 1:
            yield Finding(
                None, None, f"the run's row says that it has {run.state.last_seq} events, and it "
                f"has {self.next - 1}: tracker rebuild",
            )  # fmt: skip

    def _take(self, until: int) -> list[Record]:
        records = []
        while self._event and self._event.seq <= until:
            records.append(self._event)
            self._event = next(self._events, None)
        return records

    def _unsealed(self, until: int | None) -> Iterator[Finding]:
        """Events up to `until` that no append has."""
        there = self._take(2**63 if until is None else until)
        if there:
            first, last = there[0].seq, there[-1].seq
            yield Finding(first, last, f"{_these(first, last)} inserted: no append has "
                          f"{'it' if first == last else 'them'}")  # fmt: skip

    def _check_kept(self, *, rest: bool = False) -> Iterator[Finding]:
        """Compare what pruning left with the digests of it, piece by piece."""
        while self._digests and (
            rest or (self._kept and self._kept[-1].seq >= self._digests[0][0])
        ):
            last, digest = self._digests.pop(0)
            piece = [record for record in self._kept if record.seq <= last]
            self._kept = self._kept[len(piece) :]
            if sha256(text_of(piece)).hexdigest() != digest:
                first = piece[0].seq if piece else last
                yield Finding(first, last, f"of what pruning left from event {first} to {last}, "
                              "one was changed, inserted or is missing")  # fmt: skip
        if rest and self._kept:
            first, last = self._kept[0].seq, self._kept[-1].seq
            yield Finding(first, last, f"{_these(first, last)} inserted after pruning")


def _located(append: Any, records: Sequence[Record], marks: bytes | None) -> Iterator[Finding]:
    """Which events of an append are not those that it was made of."""
    first, last = append.first_seq, append.last_seq
    missing = list(_gaps(first, last, [record.seq for record in records]))
    for begin, end in missing:
        verb = "is" if begin == end else "are"
        yield Finding(begin, end, f"{_events_named(begin, end)} {verb} missing")
    sums = _sums(marks, last - first + 1)
    if not sums:
        if not missing:
            yield Finding(first, last, f"of the events {first} to {last} one was changed")
        return
    changed = [one for one in records if not _fits(one, sums, one.seq - first)]
    for record in changed[:_NAMED]:
        was = next((seq for seq in range(first, last + 1)
                    if seq != record.seq and _fits(record._replace(seq=seq), sums, seq - first)),
                   None)  # fmt: skip
        if was is None:
            yield _changed(record.seq)
        else:
            yield Finding(
                record.seq, record.seq, f"event {record.seq} was moved there: it was event {was}"
            )
    if len(changed) > _NAMED:
        more = f"{len(changed) - _NAMED} more events up to {changed[-1].seq} were changed"
        yield Finding(changed[_NAMED].seq, changed[-1].seq, more)
    if not missing and not changed:
        yield Finding(first, last, f"the seal of the events {first} to {last} was changed")


def _fits(record: Record, sums: Sequence[int], place: int) -> bool:
    return crc32(canonical(record), sums[place]) == sums[place + 1]


def _sums(marks: bytes | None, count: int) -> list[int]:
    """The checksums of `marks_of`; none where there are none of so many events."""
    if marks is None or len(marks) != 4 * (count + 1):
        return []
    return [int.from_bytes(marks[place : place + 4]) for place in range(0, len(marks), 4)]


def _changed(seq: int) -> Finding:
    return Finding(seq, seq, f"event {seq} was changed")


def _these(first: int, last: int) -> str:
    return f"{_events_named(first, last)} {'was' if first == last else 'were'}"


def _events_named(first: int, last: int) -> str:
    return f"event {first}" if first == last else f"events {first} to {last}"


def _gaps(first: int, last: int, seqs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """What is missing of `first` to `last` in ascending seqs."""
    wanted = first
    for seq in seqs:
        if seq > wanted:
            yield wanted, seq - 1
        wanted = seq + 1
    if wanted <= last:
        yield wanted, last


def _appends(connection: Connection, run: Run) -> Sequence[Any]:
    appends = schema.appends
    wanted = select(
        appends.c.first_seq,
        appends.c.last_seq,
        appends.c.version,
        appends.c.prev_hash,
        appends.c.hash,
    )
    return connection.execute(
        wanted.where(appends.c.run_id == run.id).order_by(appends.c.first_seq)
    ).all()


def _marks(connection: Connection, run: Run, first: int) -> bytes | None:
    appends = schema.appends
    wanted = select(appends.c.marks).where(appends.c.run_id == run.id)
    found = connection.execute(wanted.where(appends.c.first_seq == first)).scalar()
    return _bytes(found) or None


def _events(connection: Connection, run: Run) -> Iterator[Record]:
    wanted = select_records(run.id).order_by(schema.events.c.seq)
    rows = connection.execute(wanted.execution_options(yield_per=5_000))
    return (Record(*row) for row in rows)


def _bytes(value: Any) -> bytes:
    """A hash as the database gives it; none for what is no hash."""
    return bytes(value) if isinstance(value, bytes | memoryview) else b""


def _tombstone(connection: Connection, run: Run) -> Record | None:
    """The first event of a run that was purged."""
    first = select_records(run.id).order_by(schema.events.c.seq).limit(1)
    row = connection.execute(first).first()
    return Record(*row) if row and row.kind == "run_purged" else None


def _last_of(connection: Connection, run: Run, kind: str) -> Record | None:
    events = schema.events
    wanted = select_records(run.id).where(events.c.kind == kind).where(events.c.batch.is_(None))
    row = connection.execute(wanted.order_by(desc(events.c.seq)).limit(1)).first()
    return Record(*row) if row else None

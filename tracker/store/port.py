"""The port: what every store of events can do. Append, read, and little else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tracker.errors import InvalidEvents, RunNotFound, RunPurged, WriterFenced
from tracker.event import BY_HAND, KINDS, VERSION, Record, rows_of
from tracker.projections import RunState

#: The kinds that a run's writer may append.
_WRITTEN = frozenset(KINDS) - BY_HAND

#: The status of a run that was erased.
PURGED = "purged"

#: The `prev_hash` of a run's first append.
GENESIS = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """What makes a run this run, and its writer the one that may append to it."""

    #: UUID version 7, made by the writer, so that a run can begin with the store away.
    uuid: str
    #: The name asked for. A store gives the first run of a name that name, the second
    #: `name-2` and so on.
    name: str
    #: The writer's token.
    writer: str
    #: The token of the writer that this one took the run over from, if it did.
    replaces: str | None = None
    #: The vocabulary of its records.
    version: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as a store has it."""

    id: int
    uuid: str
    #: The name given by the store when it first saw the run; `state.name` overrides it.
    given_name: str
    writer: str
    #: Head of the run's hash chain, 32 bytes.
    head: bytes
    state: RunState
    #: Seconds since its writer last told that it lives, when this was read; None: it never did.
    heartbeat_age: float | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The run's name today."""
        return self.state.name or self.given_name


class EventStore(Protocol):
    """Streams of events, one for each run.

    All methods may raise the store errors of `tracker.errors`, never a driver's own.
    """

    def append(self, run: RunIdentity, records: Sequence[Record], *, expected_seq: int) -> None:
        """Append `records` to a run's stream and fold its projections, all or nothing.

        The first append of a run creates it. Appending what is stored already, under the
        same seqs, changes nothing.

        Args:
            run: The run, and who writes.
            records: Records `expected_seq + 1`, `expected_seq + 2`, … An empty sequence
                does nothing.
            expected_seq: The last seq that the caller knows the stream to have, 0 for none.

        Raises:
            InvalidEvents: `records` are not gapless from `expected_seq + 1`, or a kind is
                unknown, or one of those that are stated by hand.
            ConcurrencyConflict: The stream does not end at `expected_seq`, and does not
                have these records there.
            WriterFenced: The run belongs to another writer. One that this writer replaces is
                none: a failover may lose that the run was claimed, and not who had it before.
            RunPurged: The run was erased.
        """

    def beat(self, run: RunIdentity) -> None:
        """Note that a run's writer lives; nothing for a run that is not stored or not its own.

        An append notes it too; one that ends the run, that there is no writer any more.
        """

    def claim(self, uuid: str, writer: str, *, replacing: str | None = None) -> Run | None:
        """Make `writer` the token of a run's only writer, and fence the one before.

        Args:
            uuid: The run.
            writer: The token.
            replacing: Only if this is the token of its writer until now.

        Returns:
            The run, or None if it is not stored, purged, or has another writer than `replacing`.
        """

    def declare(self, uuid: str, kind: str, data: Mapping[str, Any]) -> Run:
        """Append a fact by hand behind what a run's stream has, whoever writes it.

        It is no sign of life.

        Args:
            uuid: The run.
            kind: One of `tracker.event.BY_HAND`, but for `events_pruned` and `run_purged`.
            data: What the fact carries.

        Returns:
            The run as it is then.

        Raises:
            RunNotFound: It is not stored.
            RunPurged: It was erased.
            NameTaken: It cannot be renamed so: another run has that name.
        """

    def prune(self, uuid: str, data: Mapping[str, Any], *, every: int | None = None) -> int:
        """Drop a run's batch events, and state it.

        The last one of each kind in each epoch of each call stays.

        Args:
            uuid: The run.
            data: What `events_pruned` carries, beside what was dropped.
            every: Keep those of each N-th batch too.

        Returns:
            How many were dropped; where that is none, nothing is stated.

        Raises:
            RunNotFound, RunPurged: As `declare`.
            IntegrityFailure: The stream is not what was appended: pruning would hide it.
        """

    def purge(self, uuid: str, data: Mapping[str, Any]) -> None:
        """Erase a run for good. What is left is its UUID and one event, `run_purged`.

        Args:
            uuid: The run.
            data: What the event carries, beside the number of events and the head of the chain.

        Raises:
            RunNotFound, RunPurged: As `declare`.
        """

    def find(self, uuid: str) -> Run | None:
        """The run of a UUID, with its projections, or None."""

    def runs(self) -> list[Run]:
        """Every run with its projections, in the order in which the store first saw them."""

    def read(
        self, uuid: str, *, after: int = 0, until: int | None = None, batches: bool = True
    ) -> Iterator[Record]:
        """A run's records with `after < seq <= until`, in order; none for an unknown run.

        They are of today's vocabulary, whatever they were written as. Without `batches` those of
        batches are passed over, which an index makes fast.
        """

    def close(self) -> None:
        """Give up connections. The store may be used again afterwards."""


def check_writer(stored: Run, run: RunIdentity) -> None:
    """Refuse a writer that is not the run's.

    Raises:
        WriterFenced, RunPurged: See `EventStore.append`.
    """
    if stored.writer in (run.writer, run.replaces):
        return
    if stored.state.status == PURGED:
        raise RunPurged(f"Run {run.name!r} was purged: the store takes no more of its events.")
    raise WriterFenced(
        f"Run {stored.name!r} is not this process's any more: another one has taken it over, "
        "or somebody has closed it. This process's events stay in its journal."
    )


def ends(records: Sequence[Record]) -> bool:
    """Whether these are the last words of a run's writer, as far as it knows."""
    return records[-1].kind in {"run_ended", "run_crashed"}


def check_declarable(stored: Run | None, uuid: str) -> Run:
    """Refuse a run of which nothing can be stated.

    Raises:
        RunNotFound, RunPurged: See `EventStore.declare`.
    """
    if stored is None:
        raise RunNotFound(f"There is no run {uuid} in this store.")
    if stored.state.status == PURGED:
        raise RunPurged(f"Run {uuid} was purged.")
    return stored


def check_records(records: Sequence[Record], expected_seq: int) -> None:
    """Refuse what is not the next piece of one stream.

    Raises:
        InvalidEvents: With the first record that does not fit.
    """
    rows = rows_of(records)
    for seq, row in enumerate(rows, expected_seq + 1):
        if row[0] != seq:
            raise InvalidEvents(
                f"Expected the event with seq {seq}, received seq {row[0]}: a stream has "
                "no gaps and no repeats."
            )
    wrong = {row[2] for row in rows}.difference(_WRITTEN)
    for row in rows if wrong else ():
        if row[2] in wrong:
            what = "kind, which is stated by hand," if row[2] in BY_HAND else "unknown kind"
            raise InvalidEvents(f"Event {row[0]} has the {what} {row[2]!r}.")

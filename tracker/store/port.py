"""The port: what every store of events can do. Append, read, and little else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tracker.errors import InvalidEvents
from tracker.event import KINDS, Record, rows_of
from tracker.projections import RunState

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
                unknown.
            ConcurrencyConflict: The stream does not end at `expected_seq`, and does not
                have these records there.
            WriterFenced: The run belongs to another writer.
        """

    def beat(self, run: RunIdentity) -> None:
        """Note that a run's writer lives; nothing for a run that is not stored or not its own.

        An append notes it too.
        """

    def claim(self, uuid: str, writer: str) -> Run | None:
        """Make `writer` the token of a run's only writer, and fence the one before.

        Returns:
            The run, or None if it is not stored.
        """

    def find(self, uuid: str) -> Run | None:
        """The run of a UUID, with its projections, or None."""

    def runs(self) -> list[Run]:
        """Every run with its projections, in the order in which the store first saw them."""

    def read(self, uuid: str, *, after: int = 0, until: int | None = None) -> Iterator[Record]:
        """A run's records with `after < seq <= until`, in order; none for an unknown run."""

    def close(self) -> None:
        """Give up connections. The store may be used again afterwards."""


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
    unknown = {row[2] for row in rows}.difference(KINDS)
    for row in rows if unknown else ():
        if row[2] in unknown:
            raise InvalidEvents(f"Event {row[0]} has the unknown kind {row[2]!r}.")

"""The memory store: the shortest store that keeps every rule; specification and oracle."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tracker.errors import ConcurrencyConflict, WriterFenced
from tracker.event import Record, chained
from tracker.names import nth_name
from tracker.projections import RunState, fold
from tracker.store.port import GENESIS, Run, RunIdentity, check_records


class MemoryStore:
    """An `EventStore` that lives as long as its object."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._streams: dict[str, list[Record]] = {}
        self._beats: dict[str, float] = {}

    def append(self, run: RunIdentity, records: Sequence[Record], *, expected_seq: int) -> None:
        """See `EventStore.append`."""
        check_records(records, expected_seq)
        if not records:
            return
        stored = self._runs.get(run.uuid) or self._created(run)
        stream = self._streams.get(run.uuid, [])
        if stored.writer != run.writer:
            raise WriterFenced(f"Run {stored.name!r} has another writer.")
        if len(stream) != expected_seq:
            if stream[expected_seq : expected_seq + len(records)] == list(records):
                return
            raise ConcurrencyConflict(
                f"Run {stored.name!r} ends at seq {len(stream)}, not at {expected_seq}."
            )
        self._streams[run.uuid] = [*stream, *records]
        head = chained(stored.head, records)
        state = fold(stored.state, records)
        self._runs[run.uuid] = replace(stored, head=head, state=state)
        self.beat(run)

    def beat(self, run: RunIdentity) -> None:
        """See `EventStore.beat`."""
        stored = self._runs.get(run.uuid)
        if stored and stored.writer == run.writer:
            self._beats[run.uuid] = time.time()

    def claim(self, uuid: str, writer: str) -> Run | None:
        """See `EventStore.claim`."""
        if uuid in self._runs:
            self._runs[uuid] = replace(self._runs[uuid], writer=writer)
        return self.find(uuid)

    def find(self, uuid: str) -> Run | None:
        """See `EventStore.find`."""
        return next((run for run in self.runs() if run.uuid == uuid), None)

    def runs(self) -> list[Run]:
        """See `EventStore.runs`."""
        now = time.time()
        return [
            replace(run, heartbeat_age=max(0.0, now - self._beats[uuid]))
            for uuid, run in self._runs.items()
        ]

    def read(self, uuid: str, *, after: int = 0, until: int | None = None) -> Iterator[Record]:
        """See `EventStore.read`."""
        yield from self._streams.get(uuid, [])[after:until]

    def close(self) -> None:
        """See `EventStore.close`."""

    def _created(self, run: RunIdentity) -> Run:
        taken = {other.name for other in self._runs.values()}
        n = 1
        while nth_name(run.name, n) in taken:
            n += 1
        return Run(
            id=len(self._runs) + 1,
            uuid=run.uuid,
            given_name=nth_name(run.name, n),
            writer=run.writer,
            head=GENESIS,
            state=RunState(),
        )

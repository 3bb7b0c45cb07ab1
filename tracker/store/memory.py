"""The memory store: the shortest store that keeps every rule; specification and oracle."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tracker.errors import ConcurrencyConflict, NameTaken
from tracker.event import VERSION, Record, chained
from tracker.logs import encode
from tracker.names import nth_name
from tracker.projections import HISTORY_KINDS, RunState, fold
from tracker.store.port import (
    GENESIS,
    PURGED,
    Run,
    RunIdentity,
    check_declarable,
    check_records,
    check_writer,
    ends,
)
from tracker.store.stated import fact, pruned_data, purged_data
from tracker.upcast import upcast


class MemoryStore:
    """An `EventStore` that lives as long as its object."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._streams: dict[str, list[Record]] = {}
        #: The vocabulary of each record.
        self._versions: dict[tuple[str, int], int] = {}
        self._beats: dict[str, float] = {}

    def append(self, run: RunIdentity, records: Sequence[Record], *, expected_seq: int) -> None:
        """See `EventStore.append`."""
        check_records(records, expected_seq)
        if not records:
            return
        stored = self._runs.get(run.uuid) or self._created(run)
        check_writer(stored, run)
        if stored.state.last_seq != expected_seq:
            wanted = range(expected_seq + 1, expected_seq + len(records) + 1)
            stream = self._streams.get(run.uuid, [])
            if [record for record in stream if record.seq in wanted] == list(records):
                return
            raise ConcurrencyConflict(
                f"Run {stored.name!r} ends at seq {stored.state.last_seq}, not at {expected_seq}."
            )
        self._extend(replace(stored, writer=run.writer), records, run.version)
        self.beat(run)
        if ends(records):
            del self._beats[run.uuid]

    def beat(self, run: RunIdentity) -> None:
        """See `EventStore.beat`."""
        stored = self._runs.get(run.uuid)
        if stored and stored.writer == run.writer:
            self._beats[run.uuid] = time.time()

    def claim(self, uuid: str, writer: str, *, replacing: str | None = None) -> Run | None:
        """See `EventStore.claim`."""
        stored = self._runs.get(uuid)
        if stored is None or stored.state.status == PURGED:
            return None
        if replacing not in (None, stored.writer):
            return None
        self._runs[uuid] = replace(stored, writer=writer)
        self._beats[uuid] = time.time()
        return self.find(uuid)

    def declare(self, uuid: str, kind: str, data: Mapping[str, Any]) -> Run:
        """See `EventStore.declare`."""
        stored = check_declarable(self._runs.get(uuid), uuid)
        if kind == "run_renamed" and data["name"] in {run.name for run in self._runs.values()}:
            raise NameTaken(f"Another run has the name {data['name']!r}.")
        return self._extend(stored, [fact(stored, kind, encode(data))], VERSION)

    def prune(self, uuid: str, data: Mapping[str, Any], *, every: int | None = None) -> int:
        """See `EventStore.prune`."""
        stored = check_declarable(self._runs.get(uuid), uuid)
        stream = self._streams[uuid]
        last = {(one.attempt, one.call, one.epoch, one.kind): one.seq for one in stream}
        kept = [
            one
            for one in stream
            if one.batch is None
            or one.seq == last[one.attempt, one.call, one.epoch, one.kind]
            or (every and one.batch % every == 0)
        ]
        dropped = len(stream) - len(kept)
        if dropped:
            self._streams[uuid] = kept
            pruned = {**data, **pruned_data(kept, stored.state.last_seq, dropped)}
            self._extend(stored, [fact(stored, "events_pruned", encode(pruned))], VERSION)
        return dropped

    def purge(self, uuid: str, data: Mapping[str, Any]) -> None:
        """See `EventStore.purge`."""
        stored = check_declarable(self._runs.get(uuid), uuid)
        erased = encode({**data, **purged_data(stored)})
        tombstone = fact(stored, "run_purged", erased)
        self._streams[uuid] = []
        empty = replace(stored, given_name=uuid, writer="", state=RunState())
        self._extend(empty, [tombstone], VERSION)
        self._beats.pop(uuid, None)

    def rebuild(self) -> None:
        """Fold every run's stream again."""
        for uuid, run in self._runs.items():
            stream = self._streams[uuid]
            versions = [self._versions[uuid, record.seq] for record in stream]
            folded = fold(RunState(), list(self.read(uuid)))
            state = replace(folded, version=max(versions), oldest_version=min(versions))
            self._runs[uuid] = replace(run, state=state)

    def find(self, uuid: str) -> Run | None:
        """See `EventStore.find`."""
        return next((run for run in self.runs() if run.uuid == uuid), None)

    def runs(self) -> list[Run]:
        """See `EventStore.runs`."""
        now = time.time()
        return [
            replace(run, heartbeat_age=_age(now, self._beats.get(uuid)))
            for uuid, run in self._runs.items()
        ]

    def read(
        self, uuid: str, *, after: int = 0, until: int | None = None, batches: bool = True
    ) -> Iterator[Record]:
        """See `EventStore.read`."""
        for record in self._streams.get(uuid, []):
            if not batches and record.batch is not None:
                continue
            if after < record.seq and (until is None or record.seq <= until):
                yield from upcast([record], self._versions[uuid, record.seq])

    def close(self) -> None:
        """See `EventStore.close`."""

    def _extend(self, stored: Run, records: Sequence[Record], version: int) -> Run:
        uuid = stored.uuid
        earlier = list(self.read(uuid))
        state = replace(
            fold(
                stored.state,
                upcast(records, version),
                lambda: [one for one in earlier if one.kind in HISTORY_KINDS],
            ),
            version=max(stored.state.version, version),
            oldest_version=min(stored.state.oldest_version, version),
        )
        self._streams[uuid] = [*self._streams.get(uuid, []), *records]
        self._versions |= {(uuid, record.seq): version for record in records}
        self._runs[uuid] = replace(stored, head=chained(stored.head, records, version), state=state)
        return self._runs[uuid]

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


def _age(now: float, beat: float | None) -> float | None:
    return None if beat is None else max(0.0, now - beat)

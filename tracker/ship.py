"""The program that ships: a process beside the trainer, which moves its journals to the store.

In a process of its own it takes no time of the trainer's interpreter, needs no care when the
trainer forks, and lives long enough to deliver what a killed trainer left.

Orders come as lines of JSON on standard input, answers go to standard output:

``{"do": "ship", "folder", "uuid", "name", "writer", "replaces", "store", "durability", "trainer"}``
    Ship this run's journal while its writer lives, then conclude it.
``{"do": "flush", "uuid", "seq"}``
    Answer `{"uuid", "stored", "done"}` when the store has the events up to `seq`, or when a
    try to bring them there failed.
``{"do": "end", "uuid"}``
    The writer has closed the journal: conclude it, and answer as for `flush`.
``{"do": "recover", "folders", "store", "durability"}``
    Deliver what dead writers left there for this store, and remove what is old and settled.
``{"warning": …}``
    Something that the user of the trainer should know.

The end of standard input is the end of the trainer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from tracker.delivery import Delivery, collect_seldom, conclude, deliver_all
from tracker.errors import (
    InvalidEvents,
    JournalCorrupt,
    JournalLocked,
    SchemaMismatch,
    TrackerError,
    WriterFenced,
)
from tracker.journal import SHIPPER, WRITER, held, is_held, journals, sweep
from tracker.masking import without_passwords
from tracker.store import sealing
from tracker.store.opening import open_store
from tracker.store.port import RunIdentity
from tracker.store.sealing import SIZE
from tracker.store.sql import SqlStore

#: Pauses between looks at a journal, in seconds: while events arrive, and at the most.
_PAUSE, _PAUSE_IDLE = 0.1, 0.5

#: Pauses between tries while the store is away, in seconds: at first, and at the most.
_RETRY, _RETRY_MOST = 0.1, 2.0

#: Seconds from one sign of life in the store to the next.
HEARTBEAT_SECONDS = 15.0

#: For how long the journals of a trainer that has ended are tried, in seconds. What is left
#: waits for the next run, or the next command.
_LINGER = 30.0

#: Journals of earlier runs are looked through once in so many seconds at the most.
_RECOVERY_SECONDS = 60.0

#: Of the trainer's priority: training comes first.
_NICENESS = 5

#: What no later try will cure.
_FINAL = (WriterFenced, InvalidEvents, JournalCorrupt)

Say = Callable[[dict[str, Any]], None]


class RunShipping(threading.Thread):
    """Ships one run's journal, from its first event until its end is in the store."""

    def __init__(self, order: dict[str, Any], say: Say) -> None:
        super().__init__(name=f"ship-{order['name']}", daemon=True)
        self._folder = Path(order["folder"])
        self._identity = RunIdentity(
            uuid=order["uuid"],
            name=order["name"],
            writer=order["writer"],
            replaces=order["replaces"],
        )
        self._url, self._durability = order["store"], order["durability"]
        self._trainer: int = order["trainer"]
        self._say = say
        #: Holds the shipper's lock, until the writer is done.
        self._guard = contextlib.ExitStack()
        self._guarded = False
        self._store: SqlStore | None = None
        self._delivery: Delivery | None = None
        self._confirmed = 0
        self._began = False
        self._beaten = 0.0
        self._reported: type[TrackerError] | None = None
        #: The seq up to which the run's chunks are made, as far as they can be.
        self._sealed = 0
        self._seals = sealing.is_on()
        self._lock = threading.Lock()
        self._flushes: list[int] = []
        self._ended = False
        #: Whether everything is in the store, once this has ended.
        self._outcome: bool | None = None
        self._wake = threading.Event()
        #: When to give up, by the monotonic clock; None: never.
        self.deadline: float | None = None

    def flush(self, seq: int) -> None:
        """Answer when the store has the events up to `seq`, or cannot have them now."""
        with self._lock:
            self._flushes.append(seq)
        self._attend()

    def end(self) -> None:
        """The writer is done: answer when its run is concluded, or cannot be now."""
        self._ended = True
        self._attend()

    def hurry(self, deadline: float) -> None:
        """The trainer has ended: try until `deadline`, by the monotonic clock."""
        self.deadline = deadline
        self._wake.set()

    def run(self) -> None:
        """Ship until everything is in the store."""
        with self._guard:
            # Without it, should the folder be gone, the writer's own lock must do.
            with contextlib.suppress(TrackerError, OSError):
                self._guard.enter_context(held(self._folder, SHIPPER))
                self._guarded = True
            done = self._ship()
        self._disconnect()
        with self._lock:
            self._outcome = done
        self._answer(done=done)
        if done and self._seals and self._confirmed >= self._sealed + SIZE:
            self._seal_rest()

    def _attend(self) -> None:
        with self._lock:
            outcome = self._outcome
        if outcome is not None:
            self._answer(done=outcome)
        self._wake.set()

    def _ship(self) -> bool:
        """Ship until the end; returns whether everything is in the store."""
        pause = _PAUSE
        while True:
            # Asked before the step: what was written by then is shipped by it.
            over = self._ended or (self._is_orphan() and not is_held(self._folder, WRITER))
            with self._lock:
                flushes, self._flushes = self._flushes, []
            try:
                shipped = self._conclude() if over else self._step()
            except TrackerError as error:
                pause = self._failed(error, pause)
                if isinstance(error, _FINAL) or self._is_late():
                    return False
                self._answer(done=False)
            except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to
                self._disconnect()
                self._warn(
                    f"The shipper failed: {error!r}. Training goes on; the events of run "
                    f"{self._identity.name!r} are kept in {self._folder}. Deliver them when it "
                    "has ended: tracker journal ship"
                )
                return False
            else:
                self._succeeded()
                if over:
                    return True
                self._answer_flushes(flushes)
                if shipped:
                    pause = _PAUSE
                    continue
                if self._store and self._seal(self._store):
                    continue
                pause = min(pause * 1.5, _PAUSE_IDLE)
            self._wake.wait(pause)
            self._wake.clear()

    def _connected(self) -> tuple[SqlStore, Delivery]:
        if self._store is None or self._delivery is None:
            self._store = open_store(self._url, create=True, durability=self._durability)
            self._delivery = Delivery(self._folder, self._identity, self._store)
            self._delivery.locate()
        return self._store, self._delivery

    def _step(self) -> int:
        store, delivery = self._connected()
        shipped = delivery.step()
        now = time.monotonic()
        if shipped:
            self._beaten = now
            self._tell_name(store)
        elif now - self._beaten > HEARTBEAT_SECONDS:
            self._beaten = now
            store.beat(self._identity)
        return shipped

    def _seal(self, store: SqlStore) -> bool:
        """With nothing else to do, make the run's next chunk; whether it may be due."""
        if not self._seals or self._stored() < self._sealed + SIZE:
            return False
        from tracker.store.chunks import seal  # loads pyarrow, which short runs need not wait for

        before = self._sealed
        try:
            # One at a time, so that events and orders that come meanwhile have their turn.
            self._sealed = seal(store, self._identity.uuid, after=before, most=1)
        except TrackerError:
            raise
        except Exception as error:  # noqa: BLE001 - a cache that fails must not stop shipping
            self._seals = False
            self._warn(
                f"No chunks of run {self._identity.name!r} are made: {error!r}. Its events are "
                "stored, and read more slowly. Make them with: tracker rebuild --chunks"
            )
        return self._sealed > before

    def _seal_rest(self) -> None:
        """Make the chunks that are left, when nobody waits any more."""
        # A store that is away now has lost nothing: chunks can always be made again.
        with contextlib.suppress(TrackerError):
            store = open_store(self._url, durability=self._durability)
            with contextlib.closing(store):
                while not self._is_late() and self._seal(store):
                    pass

    def _conclude(self) -> int:
        if self._ended:  # there is nobody left to stand in for: whoever comes first delivers it
            self._guard.close()
            self._guarded = False
        store, delivery = self._connected()
        delivery.close()
        count = conclude(self._folder, self._identity, store, shipping=self._guarded)
        self._tell_name(store)
        return count

    def _tell_name(self, store: SqlStore) -> None:
        """Say once if the store gave the run another name."""
        if self._began:
            return
        self._began = True
        run = store.find(self._identity.uuid)
        if run and run.name != self._identity.name:
            self._warn(
                f"There is a run {self._identity.name!r} already; this one is called {run.name!r}."
            )

    def _succeeded(self) -> None:
        if self._reported is not None:
            self._reported = None
            self._warn(f"The store answers again; run {self._identity.name!r} goes on.")

    def _failed(self, error: TrackerError, pause: float) -> float:
        """Report an error once; returns the pause before the next try."""
        self._disconnect()
        if isinstance(error, JournalLocked):  # somebody else is delivering it
            return _PAUSE_IDLE
        if self._reported is not type(error):
            self._reported = type(error)
            later = (
                "."
                if isinstance(error, _FINAL)
                else " and delivered when the store allows it, by this "
                "process or by `tracker journal ship`."
            )
            self._warn(
                f"{error} Training goes on; the events of run {self._identity.name!r} are kept "
                f"in {self._folder}{later}"
            )
        if isinstance(error, SchemaMismatch):
            return _RETRY_MOST
        # Trainers that lost the same database must not all come back at the same moment.
        return min(max(pause * 2, _RETRY), _RETRY_MOST) * (0.75 + secrets.randbelow(50) / 100)

    def _is_orphan(self) -> bool:
        """Whether the trainer has ended, of which its lock alone is no proof."""
        return self.deadline is not None or self._trainer not in (os.getppid(), os.getpid())

    def _is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _answer_flushes(self, flushes: list[int]) -> None:
        stored = self._stored()
        if any(seq <= stored for seq in flushes):
            self._answer(done=True)
        with self._lock:
            self._flushes += [seq for seq in flushes if seq > stored]

    def _stored(self) -> int:
        return self._delivery.confirmed or 0 if self._delivery else self._confirmed

    def _answer(self, *, done: bool) -> None:
        self._say({"uuid": self._identity.uuid, "stored": self._stored(), "done": done})

    def _warn(self, text: str) -> None:
        self._say({"warning": text})

    def _disconnect(self) -> None:
        if self._delivery:
            self._confirmed = self._stored()
            self._delivery.close()
        if self._store:
            self._store.close()
        self._store = self._delivery = None


class ShipServer:
    """Takes orders, and has them done."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._shipping: dict[str, RunShipping] = {}
        #: What was last recovered, and when, by the monotonic clock.
        self._recovered: dict[tuple[str, ...], float] = {}
        self._recovering: set[threading.Thread] = set()

    def take(self, order: dict[str, Any]) -> None:
        """Take one order (see the module)."""
        match order["do"]:
            case "ship":
                self._shipping[order["uuid"]] = RunShipping(order, self._say)
                self._shipping[order["uuid"]].start()
            case "flush":
                if shipping := self._shipping.get(order["uuid"]):
                    shipping.flush(order["seq"])
                else:
                    self._refuse(order["uuid"])
            case "end":
                if shipping := self._shipping.pop(order["uuid"], None):
                    shipping.end()
                else:
                    self._refuse(order["uuid"])
            case "recover":
                self._begin_recovery(order)

    def _refuse(self, uuid: str) -> None:
        self._say({"uuid": uuid, "stored": 0, "done": False})

    def close(self) -> None:
        """The trainer has ended: conclude its runs, as far as the stores allow it by and by."""
        deadline = time.monotonic() + _LINGER
        threads = [*threading.enumerate()]
        for thread in threads:
            if isinstance(thread, RunShipping):
                thread.hurry(deadline)
        for thread in threads:
            if isinstance(thread, RunShipping) or thread in self._recovering:
                thread.join(max(0.0, deadline - time.monotonic()) + 1)

    def _begin_recovery(self, order: dict[str, Any]) -> None:
        # A search for parameters begins a run every few seconds.
        key, now = (order["store"], *order["folders"]), time.monotonic()
        if now - self._recovered.get(key, -_RECOVERY_SECONDS) < _RECOVERY_SECONDS:
            return
        self._recovered[key] = now
        thread = threading.Thread(target=self._recover, args=(order,), daemon=True)
        self._recovering = {one for one in self._recovering if one.is_alive()} | {thread}
        thread.start()

    def _recover(self, order: dict[str, Any]) -> None:
        folders = [Path(folder) for folder in order["folders"]]
        try:
            waiting = [info for info in journals(folders, settled=False) if info.waiting]
            if waiting:
                store = open_store(order["store"], create=True, durability=order["durability"])
                outcomes = deliver_all(waiting, store, without_passwords(order["store"]))
                store.close()
                for name, outcome in outcomes.items():
                    if isinstance(outcome, _FINAL):
                        text = f"The journal of the earlier run {name!r} was not delivered"
                        self._say({"warning": f"{text}: {outcome}"})
            sweep(folders)
        except (TrackerError, OSError):
            # The living run's shipping meets the same store, and reports it; these journals
            # are tried again by the next run or command.
            return


class _Forward(logging.Handler):
    """Hands what is logged here to the trainer, whose logging the user has set up."""

    def __init__(self, say: Say) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        self._say({"warning": record.getMessage()})


def serve(orders: int, answers: int) -> None:
    """Take orders from one file descriptor, answer to another, until the orders end."""
    lock = threading.Lock()

    def say(answer: dict[str, Any]) -> None:
        # A trainer that has died listens no more.
        with lock, contextlib.suppress(OSError):
            os.write(answers, orjson.dumps(answer) + b"\n")

    forward = _Forward(say)
    logging.getLogger("tracker").addHandler(forward)
    server = ShipServer(say)
    with open(orders, "rb", closefd=False) as lines:
        for line in lines:
            server.take(orjson.loads(line))
    server.close()
    # The descriptor is the caller's, who may close it now.
    logging.getLogger("tracker").removeHandler(forward)


def main() -> None:
    """Run the program."""
    # Ctrl-C and the end of a terminal are the trainer's; this process ends with its orders.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    collect_seldom()
    serve(sys.stdin.fileno(), sys.stdout.fileno())

"""The trainer's side of shipping: starts the process that ships, and talks to it."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from tracker.store.port import RunIdentity

_log = logging.getLogger("tracker")

#: How often a shipping process that died is started again, and within how many seconds.
_RESTARTS, _RESTARTS_WITHIN = 3, 60.0

# The child finds packages where this process finds them, whatever put them there.
_PROGRAM = "import sys; sys.path += sys.argv[1:]; from tracker.ship import main; main()"


class Shipper:
    """One run's shipping. Training never waits for it, but in `flush` and `end`."""

    def __init__(
        self, folder: Path, identity: RunIdentity, store: str, durability: str = "process"
    ) -> None:
        """Begin to ship.

        Args:
            folder: The journal.
            identity: The run, and its writer's token.
            store: The store's full URL.
            durability: See `tracker.store.dialects.Durability`.
        """
        self._uuid = identity.uuid
        self._process = _shared_process()
        self._process.begin(
            {
                "do": "ship",
                "folder": str(folder),
                "uuid": identity.uuid,
                "name": identity.name,
                "writer": identity.writer,
                "replaces": identity.replaces,
                "store": store,
                "durability": durability,
                "trainer": os.getpid(),
            }
        )

    def flush(self, seq: int, timeout: float) -> bool:
        """Wait until the store has the events up to `seq`.

        Returns early when the store is away: after one failed try.

        Args:
            seq: The seq to wait for.
            timeout: The longest wait in seconds.

        Returns:
            Whether the store has them.
        """
        return self._process.ask({"do": "flush", "uuid": self._uuid, "seq": seq}, timeout)

    def end(self, timeout: float) -> bool:
        """The journal is closed: wait until the store has all of it, and how the run ended."""
        done = self._process.ask({"do": "end", "uuid": self._uuid}, timeout)
        self._process.forget(self._uuid)
        return done


def recover(folders: Sequence[Path], store: str, durability: str = "process") -> None:
    """Have delivered what earlier runs left in their journals for a store, and tidy those."""
    _shared_process().send(
        {
            "do": "recover",
            "folders": [str(folder) for folder in folders],
            "store": store,
            "durability": durability,
        }
    )


class _ShipProcess:
    """The process that ships for all runs of this one."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._process: subprocess.Popen[bytes] | None = None
        self._starts: deque[float] = deque(maxlen=_RESTARTS)
        #: Orders to ship of the runs that go on.
        self._runs: dict[str, dict[str, Any]] = {}
        #: What is waited for, by run, and whether it was done; None: not known yet.
        self._asked: dict[str, dict[str, Any]] = {}
        self._answers: dict[str, bool | None] = {}

    def begin(self, order: dict[str, Any]) -> None:
        """Ship a run."""
        with self._changed:
            self._runs[order["uuid"]] = order
            if self._process is None:
                self._start()
                for each in self._runs.values():
                    self.send(each)
            else:
                self.send(order)

    def forget(self, uuid: str) -> None:
        """A run has ended."""
        with self._changed:
            for table in (self._runs, self._asked, self._answers):
                table.pop(uuid, None)

    def ask(self, order: dict[str, Any], timeout: float) -> bool:
        """Give an order about a run, and wait for its answer; False without one."""
        deadline = time.monotonic() + timeout
        uuid = order["uuid"]
        with self._changed:
            self._asked[uuid], self._answers[uuid] = order, None
            self.send(order)
            while self._answers.get(uuid) is None and self._process is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._asked.pop(uuid, None)
            return bool(self._answers.get(uuid))

    def send(self, order: dict[str, Any]) -> None:
        """Give an order; nothing if the process has died, which its listener sees to."""
        with self._changed:
            if self._process is None or self._process.stdin is None:
                return
            line = orjson.dumps(order) + b"\n"
            try:
                # None, or a part, where the pipe is full: it has not listened for a long time.
                if self._process.stdin.write(line) != len(line):
                    self._process.kill()  # and its listener starts another one
            except OSError as error:
                _log.debug("The shipping process does not listen: %s", error)

    def leave(self) -> None:
        """In a forked child: the process is the parent's, and must see the parent end."""
        process, self._process = self._process, None
        if process and process.stdin and process.stdout:
            process.stdin.close()
            process.stdout.close()
            process.returncode = 0  # not to be waited for here

    def live_on(self) -> None:
        """At the end of this process: the other one lives on until it has delivered."""
        if self._process and self._process.poll() is None:
            self._process.returncode = 0  # so that Python does not complain of it

    def _start(self) -> None:
        self._starts.append(time.monotonic())
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [_python(), "-P", "-c", _PROGRAM, *map(os.path.abspath, sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                cwd="/",
                # Ctrl-C, and a kill of the trainer's process group, are not for it.
                start_new_session=True,
            )
        except OSError as error:
            self._process = None
            _log.warning(
                "The process that brings events to the store cannot be started: %s. Training "
                "goes on; the events are kept in the journal. Deliver them: tracker journal ship",
                error.strerror or error,
            )
            return
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        threading.Thread(
            target=self._listen, args=(self._process,), name="tracker-shipper", daemon=True
        ).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        words: list[str] = []
        rest = b""
        while data := process.stdout.read(2**16):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                try:
                    self._hear(orjson.loads(line))
                except orjson.JSONDecodeError:  # the last words of a program that failed
                    words.append(line.decode("utf-8", "replace"))
        process.wait()
        self._died(process, words)

    def _hear(self, answer: dict[str, Any]) -> None:
        if "warning" in answer:
            _log.warning("%s", answer["warning"])
            return
        with self._changed:
            asked = self._asked.get(answer["uuid"])
            # An answer that came too late for an earlier question may be none to this one.
            if asked and not (answer["done"] and answer["stored"] < asked.get("seq", 0)):
                self._answers[answer["uuid"]] = answer["done"]
                self._changed.notify_all()

    def _died(self, process: subprocess.Popen[bytes], words: list[str]) -> None:
        with self._changed:
            process.stdin.close()  # type: ignore[union-attr]
            process.stdout.close()  # type: ignore[union-attr]
            recent = [one for one in self._starts if time.monotonic() - one < _RESTARTS_WITHIN]
            if len(recent) < _RESTARTS:
                self._start()
                for order in [*self._runs.values(), *self._asked.values()]:
                    self.send(order)
                return
            self._process = None
            self._changed.notify_all()
        _log.warning(
            "The process that brings events to the store ended %d times (%s). Training goes on; "
            "the events are kept in the journal. Deliver them: tracker journal ship",
            _RESTARTS,
            words[-1] if words else f"code {process.returncode}",
        )


def _python() -> str:
    if not sys.executable or getattr(sys, "frozen", False):
        # What would be started is the user's program again, not Python.
        raise OSError(errno.ENOEXEC, "this program has no Python of its own to start")
    return sys.executable


_process: _ShipProcess | None = None
_starting = threading.Lock()


def _shared_process() -> _ShipProcess:
    global _process  # noqa: PLW0603 - one for the process
    with _starting:
        if _process is None:
            _process = _ShipProcess()
        return _process


def _after_fork() -> None:
    global _process, _starting  # noqa: PLW0603 - a child begins anew
    _starting = threading.Lock()
    if _process is not None:
        _process.leave()
        _inherited.append(_process)
        _process = None


def _at_exit() -> None:
    if _process is not None:
        _process.live_on()


#: Kept, so that nobody finalizes in a child what is the parent's.
_inherited: list[_ShipProcess] = []

os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)

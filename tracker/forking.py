"""Forking while threads of ours talk to a database.

A child inherits what its parent's SQLite library believes of its locks, but not the thread
that would release them: a transaction that is open at the fork blocks the child's own
connections for ever. So a fork waits for the transaction of the moment, and happens with
no connection open.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType

#: The longest that a fork waits, in seconds; a database that does not answer must not stop it.
_WAIT = 1.0


class ForkGuard:
    """Entered by a thread while it uses database connections.

    Args:
        let_go: Closes the connections that are open between uses.
    """

    def __init__(self, let_go: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._let_go = let_go
        _guards.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def hold(self) -> bool:
        """Wait for the end of the use of the moment, and close connections; False: it goes on."""
        if not self._lock.acquire(timeout=_WAIT):
            return False
        self._let_go()
        return True

    def release(self) -> None:
        """Let the thread go on."""
        self._lock.release()


def in_child() -> bool:
    """Whether this process was forked from one that had loaded this module."""
    return _forked


_forked = False
_guards: weakref.WeakSet[ForkGuard] = weakref.WeakSet()
_held: list[ForkGuard] = []


def _before() -> None:
    _held.extend(guard for guard in list(_guards) if guard.hold())


def _after_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_in_child() -> None:
    global _forked  # noqa: PLW0603 - a fact of the process
    _forked = True
    _held.clear()
    _guards.clear()


os.register_at_fork(
    before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)

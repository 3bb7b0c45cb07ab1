"""The lock of a journal: who holds it is alive, and nobody else may write.

POSIX locks: the system gives them up when their process dies, however that happens, and
forked children do not inherit them. They belong to files, not to pids, so containers that
share a folder see each other's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from tracker.errors import JournalLocked

#: Held by the trainer that writes, and by the process that ships for it. The second stands in
#: for the first: a trainer loses its lock when any code in it reads the file, as by copying
#: the folder, since closing any descriptor of a file drops the locks that its process has on it.
WRITER, SHIPPER = "writer.lock", "ship.lock"

# For the same reason the locks that we hold are known: those are never tried.
_own: set[Path] = set()
_mutex = threading.Lock()


def acquire(folder: Path, name: str = WRITER) -> int:
    """Lock a journal; returns the descriptor that holds the lock.

    Raises:
        JournalLocked: A living process holds it.
    """
    path = folder.resolve() / name
    with _mutex:
        if path in _own:
            raise JournalLocked(f"The journal {folder} is in use by this process.")
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(fd)
            raise JournalLocked(
                f"The journal {folder} is in use by another process, which writes or delivers it."
            ) from None
        except BaseException:
            os.close(fd)
            raise
        _own.add(path)
        return fd


def release(folder: Path, fd: int, name: str = WRITER) -> None:
    """Give a lock up."""
    with _mutex:
        _own.discard(folder.resolve() / name)
        os.close(fd)


@contextlib.contextmanager
def held(folder: Path, name: str) -> Iterator[None]:
    """Hold one of a journal's locks.

    Raises:
        JournalLocked: A living process holds it.
    """
    fd = acquire(folder, name)
    try:
        yield
    finally:
        release(folder, fd, name)


@contextlib.contextmanager
def claimed(folder: Path, *, shipping: bool = False) -> Iterator[None]:
    """Hold the locks of a journal whose writer is dead.

    Args:
        folder: The journal.
        shipping: The caller is the process that ships for the writer, and has that lock.

    Raises:
        JournalLocked: The writer lives, or another process is delivering it.
    """
    with contextlib.ExitStack() as stack:
        if not shipping:
            stack.enter_context(held(folder, SHIPPER))
        stack.enter_context(held(folder, WRITER))
        yield


def is_alive(folder: Path) -> bool:
    """Whether a living process of this machine writes a journal, or ships for one that did."""
    return is_held(folder, WRITER) or is_held(folder, SHIPPER)


def is_held(folder: Path, name: str) -> bool:
    """Whether a living process of this machine holds one of a journal's locks."""
    path = folder.resolve() / name
    with _mutex:
        if path in _own:
            return True
        try:
            fd = os.open(path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False


def _after_fork() -> None:
    global _mutex  # noqa: PLW0603 - another thread's may have been held
    _mutex = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)

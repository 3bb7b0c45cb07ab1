"""The lock of a journal: who holds it is alive, and nobody else may write.

POSIX locks: the system gives them up when their process dies, however that happens, and
forked children do not inherit them. They belong to files, not to pids, so containers that
share a folder see each other's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tracker.errors import JournalLocked

_NAME = "writer.lock"

# POSIX locks belong to the process: it would not see its own, and would drop it by
# closing any other descriptor of the file. So the folders that we hold are known.
_own: set[Path] = set()


def acquire(folder: Path) -> int:
    """Lock a journal; returns the descriptor that holds the lock.

    Raises:
        JournalLocked: A living process holds it.
    """
    if folder in _own:
        raise JournalLocked(f"The journal {folder} is being written by this process.")
    fd = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(fd)
        raise JournalLocked(
            f"The journal {folder} is in use by another process: its run is still going on."
        ) from None
    except BaseException:
        os.close(fd)
        raise
    _own.add(folder)
    return fd


def release(folder: Path, fd: int) -> None:
    """Give a lock up."""
    _own.discard(folder)
    os.close(fd)


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the lock of a journal whose writer is dead.

    Raises:
        JournalLocked: The writer lives, or another process is delivering it.
    """
    fd = acquire(folder)
    try:
        yield
    finally:
        release(folder, fd)


def is_alive(folder: Path) -> bool:
    """Whether a living process of this machine holds a journal's lock."""
    if folder in _own:
        return True
    try:
        fd = os.open(folder / _NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False

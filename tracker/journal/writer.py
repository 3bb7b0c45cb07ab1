"""Appending to a journal."""

from __future__ import annotations

import os
from dataclasses import asdict
from os import write
from pathlib import Path
from zlib import crc32

import orjson

from tracker.errors import JournalUnwritable
from tracker.journal import layout
from tracker.journal.layout import JournalMeta, line_of, segment_file
from tracker.journal.lock import acquire, release

#: What one `os.write` is given of lines that had to wait.
_PIECE = 2**20


class JournalWriter:
    """Appends the records of one run; one `os.write` each.

    An exception may be raised anywhere in here by a signal's handler. So what is about to be
    written is known before it is, and the file is asked afterwards how much of it there is.

    Raises:
        JournalLocked: The run's journal is being written by another process.
        JournalUnwritable: None of the folders can be written.
    """

    def __init__(self, folders: list[Path], meta: JournalMeta, last_seq: int = 0) -> None:
        """Make the journal.

        Args:
            folders: Where to; the first that can be written is taken.
            meta: What it says of itself.
            last_seq: The seq after which its records begin.
        """
        self.meta = meta
        #: The seq of the last record that was taken.
        self.last_seq = last_seq
        #: Lines that may not be in the file, whole or in part, if there are any: where in the
        #: file they begin, they themselves, and the last one's seq and checksum.
        self.unwritten: tuple[int, bytes | bytearray, int, int] | None = None
        self._crc = 0
        self._size = 0
        self._limit = layout.SEGMENT_BYTES
        self.folder, self._lock, self._fd = _create(folders, meta, last_seq + 1)

    def append(self, seq: int, body: bytes) -> None:
        """Write one record.

        When this returns, the bytes are with the operating system. Call `finish` first if
        something is `unwritten`.

        Args:
            seq: Its seq, `last_seq + 1`.
            body: Its canonical form.

        Raises:
            OSError: The disk took none or a part of it. Nothing is lost: it is taken, and the
                rest is tried again by the next call.
        """
        crc = crc32(body, self._crc)
        line = b"%b#%08x\n" % (body, crc)  # as `line_of`, without the time of a call
        if self.unwritten is not None or self._size >= self._limit:
            self._append_slowly(seq, body)
            return
        self.unwritten = (self._size, line, seq, crc)
        if write(self._fd, line) != len(line):
            self.finish()
            return
        self._size += len(line)
        self._crc = crc
        self.last_seq = seq
        self.unwritten = None

    def finish(self) -> None:
        """Take and write what an interrupt or the disk left unwritten, if anything.

        Raises:
            OSError: The disk still refuses.
        """
        if self.unwritten is None:
            return
        start, lines, self.last_seq, self._crc = self.unwritten
        while (done := os.fstat(self._fd).st_size - start) < len(lines):
            with memoryview(lines) as view:
                write(self._fd, view[done : done + _PIECE])
        self._size = start + len(lines)
        self.unwritten = None

    def close(self) -> None:
        """Write what is left, close the files and give up the lock.

        Does nothing the second time.

        Raises:
            OSError: The disk still refuses; what was unwritten is lost.
        """
        try:
            if self._fd >= 0:
                self.finish()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the files without writing: for a forked child, where they are the parent's."""
        if self._fd >= 0:
            os.close(self._fd)
            release(self.folder, self._lock)
        self._fd = -1

    def _append_slowly(self, seq: int, body: bytes) -> None:
        try:
            self.finish()
        except OSError:
            assert self.unwritten is not None
            start, lines, _, crc = self.unwritten
            crc = crc32(body, crc)
            queue = lines if isinstance(lines, bytearray) else bytearray(lines)
            queue += line_of(body, crc)
            self.unwritten = (start, queue, seq, crc)
            self.last_seq, self._crc = seq, crc
            raise
        if self._size >= self._limit:
            self._begin_segment(seq)
        self.append(seq, body)

    def _begin_segment(self, seq: int) -> None:
        try:
            fd = _open(segment_file(self.folder, seq))
        except OSError:  # no room for a file: the segment of before takes some more
            self._limit = self._size + _PIECE
            return
        os.close(self._fd)
        self._fd, self._size, self._crc, self._limit = fd, 0, 0, layout.SEGMENT_BYTES


def _create(folders: list[Path], meta: JournalMeta, first: int) -> tuple[Path, int, int]:
    problems = []
    for parent in folders:
        folder = parent / meta.folder
        try:
            folder.mkdir(parents=True, mode=0o700)
            lock = acquire(folder)
            part = folder / "meta.json.part"
            part.write_bytes(orjson.dumps(asdict(meta)))
            part.rename(folder / "meta.json")
            return folder, lock, _open(segment_file(folder, first))
        except OSError as error:
            problems.append(f"{parent}: {error.strerror or error}")
    raise JournalUnwritable(
        f"No folder for the journal can be written ({'; '.join(problems)}). "
        "Set TRACKER_HOME to a folder that can."
    )


def _open(segment: Path) -> int:
    return os.open(segment, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

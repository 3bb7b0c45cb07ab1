"""The local file of a run: append and read.

A journal is a folder named by the run's UUID:

``meta.json``
    What the run is and which store it goes to (no password).
``writer.lock``
    Locked by the living writer; the lock dies with its process.
``00000000000000000001.jsonl`` …
    Segments, named by the seq of their first record. A line is a record as JSON array
    (`events.canonical`), `#` and the CRC-32 of what precedes it in 8 hexadecimal digits.
``confirmed``
    The last seq known to be in the store: a hint for listings; the store is asked.
``settled``
    Everything is in the store, and the store knows how the run ended.

A line counts from its newline on. A torn last line is what was being written when the
process was killed: its hook never returned, so nothing is lost by passing over it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from tracker.errors import JournalCorrupt, JournalLocked, JournalUnwritable
from tracker.event import Record

#: The journal format that this program writes and reads.
FORMAT = 1

#: A segment is closed, and the next one begun, at this many bytes.
SEGMENT_BYTES = 64 * 2**20

_SEGMENT = re.compile(r"(\d{20})\.jsonl")
#: Of `#` and the CRC-32 at the end of a line.
CHECKSUM_BYTES = len("#00000000")

# POSIX locks belong to the process: it would not see its own, and would drop it by
# closing any other descriptor of the file. So the folders of our own writers are known.
_own: set[Path] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalMeta:
    """What a journal says of itself."""

    uuid: str
    name: str
    #: The store's URL without passwords.
    store: str
    #: The token that the store knows this writer by.
    writer: str
    host: str
    pid: int
    #: Integer microseconds since 1970 UTC.
    began_at: int
    format: int = FORMAT


class JournalWriter:
    """Appends the records of one run; one `os.write` each.

    Raises:
        JournalLocked: The run's journal is being written by another process.
        JournalUnwritable: None of the folders can be written.
    """

    def __init__(self, folders: list[Path], meta: JournalMeta) -> None:
        self.meta = meta
        self._fd = -1
        self._size = 0
        #: Lines that the disk did not take; they go first at the next try.
        self._pending = bytearray()
        self._pending_seq = 0
        self.folder, self._lock = _create(folders, meta)

    def append(self, seq: int, body: bytes) -> None:
        """Write one record.

        When this returns, the bytes are with the operating system, or, where the disk
        refused them, in memory until it takes them.

        Raises:
            OSError: The disk took none or a part of it. Nothing is lost: the rest is tried
                again by the next call.
        """
        line = b"%b#%08x\n" % (body, zlib.crc32(body))
        if self._pending or self._size >= SEGMENT_BYTES or self._fd < 0:
            self._append_slowly(seq, line)
            return
        written = os.write(self._fd, line)
        self._size += written
        if written != len(line):
            self._pending += line[written:]
            self.retry()

    def retry(self) -> None:
        """Try again to write what the disk refused, if anything.

        Raises:
            OSError: It still refuses.
        """
        while self._pending:
            written = os.write(self._fd, self._pending)
            self._size += written
            del self._pending[:written]

    def close(self) -> None:
        """Close the files and give up the lock. Does nothing the second time."""
        with contextlib.suppress(OSError):
            self.retry()
        self.abandon()

    def abandon(self) -> None:
        """Close the files without writing: for a forked child, where they are the parent's."""
        _own.discard(self.folder)
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1

    def _append_slowly(self, seq: int, line: bytes) -> None:
        if not self._pending:
            self._pending_seq = seq
        self._pending += line
        # A record begun in one segment is finished in it.
        if self._fd < 0 or (self._size >= SEGMENT_BYTES and seq == self._pending_seq):
            segment = segment_file(self.folder, self._pending_seq)
            fd = os.open(segment, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            if self._fd >= 0:
                os.close(self._fd)
            self._fd, self._size = fd, 0
        self.retry()


class JournalReader:
    """Reads a journal's records in order, also while it is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: int = -1
        self._offset = 0
        self._segment_first = 0
        #: The seq that the next record must have.
        self._next = 1

    def seek(self, after: int) -> None:
        """Make the next `read` start with the record after seq `after`."""
        self.close()
        self._next = after + 1

    def read(self, limit: int = 2**20) -> list[Record]:
        """The next records, about `limit` bytes of them; an empty list when there are none yet.

        Raises:
            JournalCorrupt: A record is damaged or missing. Those before it were returned.
        """
        while True:
            if self._file < 0 and not self._open(self._next):
                return []
            data = os.pread(self._file, limit, self._offset)
            end = data.rfind(b"\n") + 1
            if end:
                records = self._parse(data[:end])
                if records:
                    return records
            elif len(data) == limit:
                limit *= 2  # a record longer than what was asked for
            elif not self._open(self._next, later=True):
                return []

    def close(self) -> None:
        """Close the file; reading may go on after it."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _open(self, seq: int, *, later: bool = False) -> bool:
        """Open the segment that holds `seq`; with `later`, only one after the current."""
        firsts = [first for first in segment_firsts(self.folder) if first <= seq]
        if not firsts or (later and firsts[-1] <= self._segment_first):
            return False
        self.close()
        self._segment_first = firsts[-1]
        self._file = os.open(segment_file(self.folder, firsts[-1]), os.O_RDONLY)
        self._offset = 0
        return True

    def _parse(self, data: bytes) -> list[Record]:
        """Records of whole lines, without those before the sought one; moves on past them."""
        lines = data[:-1].split(b"\n")
        bodies = [line[:-CHECKSUM_BYTES] for line in lines]
        sums = [line[-CHECKSUM_BYTES:] for line in lines]
        good = len(lines)
        if sums != [b"#%08x" % crc for crc in map(zlib.crc32, bodies)]:
            good = next(index for index, line in enumerate(lines) if not is_sound(line))
        rows = orjson.loads(b"[%b]" % b",".join(bodies[:good]))
        records = list(map(Record._make, rows))
        if records and records[0].seq < self._next:
            records = [record for record in records if record.seq >= self._next]
        for expected, record in enumerate(records, self._next):
            if record.seq != expected:
                raise JournalCorrupt(self._damage(f"record {expected} is missing"))
        if good < len(lines) and not records:
            raise JournalCorrupt(self._damage(f"record {self._next} is damaged", lines[:good]))
        self._offset += sum(map(len, lines[:good])) + good
        self._next += len(records)
        return records

    def _damage(self, what: str, before: list[bytes] | None = None) -> str:
        offset = self._offset + sum(len(line) + 1 for line in before or [])
        file = segment_file(self.folder, self._segment_first)
        return (
            f"The journal {file} is not as it was written: {what} (at byte {offset}). "
            "What precedes it can be delivered; the file is left as it is."
        )


def confirm(folder: Path, seq: int) -> None:
    """Note that the store has the records up to `seq`."""
    with contextlib.suppress(OSError):  # a hint only
        (folder / "confirmed").write_text(str(seq), encoding="ascii")


def settle(folder: Path) -> None:
    """Note that nothing is left to deliver, nor to find out about the run's end."""
    with contextlib.suppress(OSError):
        (folder / "settled").touch()


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the lock of a journal whose writer is dead.

    Raises:
        JournalLocked: The writer lives, or another process is delivering it.
    """
    fd = _acquire(folder)
    try:
        yield
    finally:
        _own.discard(folder)
        os.close(fd)


def extend(folder: Path, seq: int, body: bytes) -> None:
    """Append a record to a dead writer's journal, whose lock the caller holds.

    It goes to a segment of its own, so a torn last line stays what it was.
    """
    line = b"%b#%08x\n" % (body, zlib.crc32(body))
    with segment_file(folder, seq).open("xb", buffering=0) as file:
        file.write(line)


def _create(folders: list[Path], meta: JournalMeta) -> tuple[Path, int]:
    problems = []
    for parent in folders:
        folder = parent / meta.uuid
        try:
            folder.mkdir(parents=True, mode=0o700)
            lock = _acquire(folder)
            part = folder / "meta.json.part"
            part.write_bytes(orjson.dumps(asdict(meta)))
            part.rename(folder / "meta.json")
        except OSError as error:
            problems.append(f"{parent}: {error.strerror or error}")
        else:
            return folder, lock
    raise JournalUnwritable(
        f"No folder for the journal can be written ({'; '.join(problems)}). "
        "Set TRACKER_HOME to a folder that can."
    )


def _acquire(folder: Path) -> int:
    if folder in _own:
        raise JournalLocked(f"The journal {folder} is being written by this process.")
    fd = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT, 0o600)
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


def is_alive(folder: Path) -> bool:
    """Whether a living process holds a journal's lock."""
    if folder in _own:
        return True
    try:
        fd = os.open(folder / "writer.lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def is_sound(line: bytes) -> bool:
    """Whether a line, without its newline, is as it was written."""
    return line[-CHECKSUM_BYTES:] == b"#%08x" % zlib.crc32(line[:-CHECKSUM_BYTES])


def segment_firsts(folder: Path) -> list[int]:
    """The first seq of each segment, ascending."""
    return sorted(
        int(match[1]) for path in folder.iterdir() if (match := _SEGMENT.fullmatch(path.name))
    )


def segment_file(folder: Path, first: int) -> Path:
    """The segment whose first record has this seq."""
    return folder / f"{first:020d}.jsonl"

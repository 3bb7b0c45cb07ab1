"""The local file of a run: append, read, list.

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
import shutil
import time
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

#: Delivered journals of ended runs are kept this long (seconds), and up to this size (bytes).
KEEP_SECONDS = 7 * 24 * 3600
KEEP_BYTES = 2**30

_SEGMENT = re.compile(r"(\d{20})\.jsonl")
_TAIL = len("#00000000")

# POSIX locks belong to the process: it would not see its own, and would drop it by
# closing any other descriptor of the file. So the folders of our own writers are known.
_own: set[Path] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalMeta:
    """What a journal says of itself."""

    uuid: str
    name: str
    #: The store's URL with the password masked.
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
            segment = _segment(self.folder, self._pending_seq)
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
        firsts = [first for first in _segments(self.folder) if first <= seq]
        if not firsts or (later and firsts[-1] <= self._segment_first):
            return False
        self.close()
        self._segment_first = firsts[-1]
        self._file = os.open(_segment(self.folder, firsts[-1]), os.O_RDONLY)
        self._offset = 0
        return True

    def _parse(self, data: bytes) -> list[Record]:
        """Records of whole lines, without those before the sought one; moves on past them."""
        lines = data[:-1].split(b"\n")
        good = len(lines)
        for index, line in enumerate(lines):
            if not _is_sound(line):
                good = index
                break
        bodies = b",".join([line[:-_TAIL] for line in lines[:good]])
        records = [Record(*row) for row in orjson.loads(b"[%b]" % bodies)]
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
        file = _segment(self.folder, self._segment_first)
        return (
            f"The journal {file} is not as it was written: {what} (at byte {offset}). "
            "What precedes it can be delivered; the file is left as it is."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalInfo:
    """One entry of a listing of journals."""

    folder: Path
    meta: JournalMeta | None
    #: The last whole record's seq, 0 for none.
    last_seq: int
    #: The last seq known to be in the store.
    confirmed: int
    bytes: int
    alive: bool
    #: Whether the store has everything, the run's end included.
    settled: bool
    #: What is wrong with it, or None.
    problem: str | None


def journals(folders: list[Path], *, settled: bool | None = None) -> list[JournalInfo]:
    """Every journal in `folders`, oldest first, foreign or damaged entries with their problem.

    Args:
        folders: Where to look; those that do not exist hold none.
        settled: Only the settled ones, or only the others. There may be many settled ones, and
            looking into each takes a while.
    """
    found = []
    for parent in folders:
        with contextlib.suppress(OSError):
            for entry in sorted(parent.iterdir()):
                if settled in {None, (entry / "settled").exists()}:
                    found.append(_info(entry))  # noqa: PERF401 - what an error cuts off is kept
    return found


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
    with _segment(folder, seq).open("xb", buffering=0) as file:
        file.write(line)


def sweep(folders: list[Path], now: float | None = None) -> None:
    """Remove settled journals that are old, or beyond the size that is kept."""
    moment = time.time() if now is None else now
    done = []
    for info in journals(folders, settled=True):
        if info.meta and not info.alive and not info.problem:
            with contextlib.suppress(OSError):
                done.append(((info.folder / "settled").stat().st_mtime, info))
    kept = 0
    for settled_at, info in sorted(done, key=lambda pair: pair[0], reverse=True):
        kept += info.bytes
        if moment - settled_at > KEEP_SECONDS or kept > KEEP_BYTES:
            with contextlib.suppress(JournalLocked, OSError), claimed(info.folder):
                shutil.rmtree(info.folder)


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


def _is_alive(folder: Path) -> bool:
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


def _info(entry: Path) -> JournalInfo:
    meta, problem, last_seq = None, None, 0
    size = 0
    try:
        meta, problem = _read_meta(entry)
        if meta and not problem:
            firsts = _segments(entry)
            size = sum(_segment(entry, first).stat().st_size for first in firsts)
            last_seq = _last_seq(entry, firsts)
    except JournalCorrupt as error:
        problem = str(error)
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
    return JournalInfo(
        folder=entry,
        meta=meta,
        last_seq=last_seq,
        confirmed=_confirmed(entry),
        bytes=size,
        alive=meta is not None and _is_alive(entry),
        settled=(entry / "settled").exists(),
        problem=problem,
    )


def _read_meta(entry: Path) -> tuple[JournalMeta | None, str | None]:
    if not entry.is_dir():
        return None, "not a journal: it was left alone"
    try:
        fields = orjson.loads((entry / "meta.json").read_bytes())
    except FileNotFoundError:
        return None, "no meta.json: not a journal, or one whose writer died while creating it"
    except orjson.JSONDecodeError:
        return None, "meta.json cannot be read: it is not JSON"
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        written = fields.get("format") if isinstance(fields, dict) else None
        return None, (
            f"format {written!r}, but this program reads format {FORMAT}: "
            "use the version of the tracker that wrote it, or a later one"
        )
    try:
        return JournalMeta(**fields), None
    except TypeError:
        return None, "meta.json lacks fields of format 1, or has others"


def _last_seq(folder: Path, firsts: list[int]) -> int:
    """The seq of the last whole record, read from the end of the last segment that has one."""
    for first in reversed(firsts):
        with _segment(folder, first).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            window = 2**16
            while True:
                file.seek(max(0, size - window))
                data = file.read()
                end = data.rfind(b"\n")
                start = data.rfind(b"\n", 0, max(end, 0)) + 1
                if end >= 0 and (start or window >= size):
                    line = data[start:end]
                    if not _is_sound(line):
                        raise JournalCorrupt("its last record is damaged")
                    return int(orjson.loads(line[:-_TAIL])[0])
                if window >= size:
                    break
                window *= 4
    return 0


def _is_sound(line: bytes) -> bool:
    try:
        return zlib.crc32(line[:-_TAIL]) == int(line[1 - _TAIL :], 16)
    except ValueError:
        return False


def _confirmed(folder: Path) -> int:
    try:
        return int((folder / "confirmed").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _segments(folder: Path) -> list[int]:
    return sorted(
        int(match[1]) for path in folder.iterdir() if (match := _SEGMENT.fullmatch(path.name))
    )


def _segment(folder: Path, first: int) -> Path:
    return folder / f"{first:020d}.jsonl"

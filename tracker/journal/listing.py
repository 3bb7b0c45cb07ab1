"""The journals of this machine: which there are, and which are kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from tracker import machine
from tracker.errors import JournalCorrupt, JournalLocked
from tracker.event import VERSION
from tracker.journal.layout import (
    CHECKSUM_BYTES,
    FORMAT,
    JournalMeta,
    is_sound,
    segment_file,
    segment_firsts,
)
from tracker.journal.lock import claimed, is_alive

#: Settled journals are kept this long (seconds), and up to this size (bytes) in all.
KEEP_SECONDS = 7 * 24 * 3600
KEEP_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalInfo:
    """One entry of a listing of journals."""

    folder: Path
    meta: JournalMeta | None
    #: The last whole record's seq, and the one before the first; the same for none.
    last_seq: int
    before: int
    #: The last seq known to be in the store.
    confirmed: int
    bytes: int
    alive: bool
    #: Whether the store refuses what it lacks of it: the run was taken over, or closed.
    fenced: bool
    #: Whether its writer was on another machine, whose locks cannot be seen from here.
    elsewhere: bool
    #: Whether the store has everything, the run's end included.
    settled: bool
    #: What is wrong with it, or None.
    problem: str | None

    @property
    def waiting(self) -> bool:
        """Whether it may be delivered: its writer is dead, and it is not settled."""
        closed = self.settled or self.fenced
        return not (self.meta is None or self.alive or self.elsewhere or closed)


def journals(folders: list[Path], *, settled: bool | None = None) -> list[JournalInfo]:
    """Every journal in `folders`, oldest first, foreign or damaged entries with their problem.

    Args:
        folders: Where to look; those that do not exist hold none.
        settled: Only the settled ones, or only the others. There may be many settled ones, and
            looking into each takes a while.
    """
    found: list[JournalInfo] = []
    first: dict[str, Path] = {}
    for parent in folders:
        with contextlib.suppress(OSError):
            for entry in sorted(parent.iterdir()):
                if settled in {None, (entry / "settled").exists()}:
                    info = _info(entry)
                    if info.meta and first.setdefault(info.meta.folder, entry) != entry:
                        twin = f"holds the same run as {first[info.meta.folder]}: left alone"
                        info = replace(info, meta=None, problem=twin)
                    found.append(info)
    return found


def discard(folders: list[Path], uuid: str) -> int:
    """Remove a run's journals, whose writers are dead; returns how many.

    Raises:
        JournalLocked: A living process writes or delivers one.
        OSError: One cannot be removed.
    """
    count = 0
    for info in journals(folders):
        if info.meta and info.meta.uuid == uuid:
            with claimed(info.folder):
                shutil.rmtree(info.folder)
            count += 1
    return count


def meta_of(folder: Path) -> JournalMeta | None:
    """What a journal says of itself; None where it is none, or not of this program's format."""
    try:
        meta, problem = _read_meta(folder)
    except OSError:
        return None
    return None if problem else meta


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


def _info(entry: Path) -> JournalInfo:
    meta, problem, last_seq, before = None, None, 0, 0
    size = 0
    try:
        meta, problem = _read_meta(entry)
        if meta and not problem:
            firsts = segment_firsts(entry)
            size = sum(segment_file(entry, first).stat().st_size for first in firsts)
            before = max(0, firsts[0] - 1) if firsts else 0
            last_seq = _last_seq(entry, firsts) or before
    except JournalCorrupt as error:
        problem = str(error)
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
    except ValueError:  # what stands there is no checksum, or no JSON
        problem = "its last record is damaged"
    return JournalInfo(
        folder=entry,
        meta=meta,
        last_seq=last_seq,
        before=before,
        confirmed=_confirmed(entry),
        bytes=size,
        alive=meta is not None and is_alive(entry),
        elsewhere=meta is not None and _is_elsewhere(entry, meta),
        settled=(entry / "settled").exists(),
        fenced=(entry / "fenced").exists(),
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
        meta = JournalMeta(**fields)
    except TypeError:
        return None, f"meta.json lacks fields of format {FORMAT}, or has others"
    if meta.version > VERSION:
        return None, (
            f"events of vocabulary {meta.version}, but this program knows {VERSION}: update it "
            "(pip install --upgrade keras-event-tracker)"
        )
    if meta.folder != entry.name:
        return None, f"a copy of the journal {meta.folder}, by its meta.json: left alone"
    return meta, None


def _is_elsewhere(entry: Path, meta: JournalMeta) -> bool:
    """Whether the writer's lock could not be seen from here.

    Containers of one machine see each other's, also on a network file system. Another start
    of this machine has ended, and so have all writers on a local disk that came from another.
    """
    if meta.boot == machine.boot() and (meta.boot or meta.host == machine.host()):
        return False
    return meta.host != machine.host() and machine.shared_file_system(entry) is not None


def _last_seq(folder: Path, firsts: list[int]) -> int:
    """The seq of the last whole record, read from the end of the last segment that has one."""
    for first in reversed(firsts):
        line, before = _last_line(segment_file(folder, first))
        if line:
            if not is_sound(line, int(before[-CHECKSUM_BYTES + 1 :] or b"0", 16)):
                raise JournalCorrupt("its last record is damaged")
            return int(orjson.loads(line[:-CHECKSUM_BYTES])[0])
    return 0


def _last_line(segment: Path) -> tuple[bytes, bytes]:
    """The last whole line, and the one before; empty where there is none."""
    with segment.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        window = 2**16
        while True:
            file.seek(max(0, size - window))
            lines = file.read().split(b"\n")[:-1]
            if window >= size or len(lines) > 2:  # the first of them may be cut
                return (lines or [b""])[-1], (lines[-2] if len(lines) > 1 else b"")
            window *= 4


def _confirmed(folder: Path) -> int:
    try:
        return int((folder / "confirmed").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0

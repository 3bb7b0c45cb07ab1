"""The journals of this machine: which there are, and which are kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from tracker.errors import JournalCorrupt, JournalLocked
from tracker.journal import (
    CHECKSUM_BYTES,
    FORMAT,
    JournalMeta,
    claimed,
    is_alive,
    is_sound,
    segment_file,
    segment_firsts,
)

#: Settled journals are kept this long (seconds), and up to this size (bytes) in all.
KEEP_SECONDS = 7 * 24 * 3600
KEEP_BYTES = 2**30


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
    meta, problem, last_seq = None, None, 0
    size = 0
    try:
        meta, problem = _read_meta(entry)
        if meta and not problem:
            firsts = segment_firsts(entry)
            size = sum(segment_file(entry, first).stat().st_size for first in firsts)
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
        alive=meta is not None and is_alive(entry),
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
        with segment_file(folder, first).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            window = 2**16
            while True:
                file.seek(max(0, size - window))
                data = file.read()
                end = data.rfind(b"\n")
                start = data.rfind(b"\n", 0, max(end, 0)) + 1
                if end >= 0 and (start or window >= size):
                    line = data[start:end]
                    if not is_sound(line):
                        raise JournalCorrupt("its last record is damaged")
                    return int(orjson.loads(line[:-CHECKSUM_BYTES])[0])
                if window >= size:
                    break
                window *= 4
    return 0


def _confirmed(folder: Path) -> int:
    try:
        return int((folder / "confirmed").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0

"""How a journal lies on the disk: names, the form of a line, marks."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from tracker.event import VERSION

#: The journal format that this program writes and reads.
FORMAT = 3

#: A segment is closed, and the next one begun, at this many bytes.
SEGMENT_BYTES = 64 * 2**20

#: Of `#` and the checksum at the end of a line.
CHECKSUM_BYTES = len("#00000000")

_SEGMENT = re.compile(r"(\d{20})\.jsonl")


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
    #: What tells one start of one machine's kernel from any other; None where none is known.
    boot: str | None
    pid: int
    #: Integer microseconds since 1970 UTC.
    began_at: int
    #: The token of the writer that this one resumed the run after; None: it began the run.
    replaces: str | None = None
    #: The event vocabulary of its records.
    version: int = VERSION
    format: int = FORMAT

    @property
    def folder(self) -> str:
        """The name of its folder: of each writer that a run has on a machine, another."""
        return self.uuid if self.replaces is None else f"{self.uuid}.{self.writer}"


def line_of(body: bytes, crc: int) -> bytes:
    """A record's line.

    Args:
        body: The record's canonical form.
        crc: CRC-32 of all records of the segment up to this one, one behind the other.
    """
    return b"%b#%08x\n" % (body, crc)


def is_sound(line: bytes, before: int) -> bool:
    """Whether a line is as it was written.

    Args:
        line: It, without its newline.
        before: The checksum of the line before it, 0 for a segment's first.
    """
    return line[-CHECKSUM_BYTES:] == b"#%08x" % crc32(line[:-CHECKSUM_BYTES], before)


def segment_firsts(folder: Path) -> list[int]:
    """The first seq of each segment, ascending."""
    return sorted(
        int(match[1]) for path in folder.iterdir() if (match := _SEGMENT.fullmatch(path.name))
    )


def segment_file(folder: Path, first: int) -> Path:
    """The segment whose first record has this seq."""
    return folder / f"{first:020d}.jsonl"


def extend(folder: Path, seq: int, body: bytes) -> None:
    """Append a record to a dead writer's journal, whose lock the caller holds.

    It goes to a segment of its own, so a torn last line stays what it was; and there whole, or
    not at all.
    """
    segment = segment_file(folder, seq)
    part = segment.with_suffix(".part")
    part.write_bytes(line_of(body, crc32(body)))
    part.rename(segment)


def confirm(folder: Path, seq: int) -> None:
    """Note that the store has the records up to `seq`."""
    with contextlib.suppress(OSError):  # a hint only
        (folder / "confirmed").write_text(str(seq), encoding="ascii")


def settle(folder: Path) -> None:
    """Note that nothing is left to deliver, nor to find out about the run's end."""
    with contextlib.suppress(OSError):  # it will be looked at once more
        (folder / "settled").touch()


def fence(folder: Path) -> None:
    """Note that the store takes no more of this journal: its run has another writer."""
    with contextlib.suppress(OSError):  # it will be refused once more
        (folder / "fenced").touch()

"""Reading a journal, also while it is being written."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import orjson

from tracker.errors import JournalCorrupt
from tracker.event import Batch, Record, marks_of
from tracker.journal.layout import CHECKSUM_BYTES, is_sound, segment_file, segment_firsts

_HEX = re.compile(rb"[0-9a-f]*")


class JournalReader:
    """Reads a journal's records in order, also while it is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: int = -1
        self._offset = 0
        #: The checksum of the line before `_offset`.
        self._crc = 0
        self._segment_first = 0
        #: The seq that the next record must have.
        self._next = 1

    @property
    def first(self) -> int:
        """The seq of the first record that this journal is to have."""
        return min(segment_firsts(self.folder), default=1)

    def seek(self, after: int) -> None:
        """Make the next `read` start with the record after seq `after`."""
        if after + 1 != self._next:
            self.close()
            self._next = after + 1

    def read(self, limit: int = 2**20) -> Sequence[Record]:
        """The next records, about `limit` bytes of them; none when there are none yet.

        Raises:
            JournalCorrupt: A record is damaged or missing. Those before it were returned.
        """
        while True:
            if self._file < 0 and not self._open(self._next):
                return []
            data = os.pread(self._file, limit, self._offset)
            end = data.rfind(b"\n") + 1
            if end:
                records = self._parse(data[: end - 1].split(b"\n"))
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
        self._offset = self._crc = 0
        return True

    def _parse(self, lines: list[bytes]) -> Batch:
        """Records of whole lines, without those before the sought one; moves on past them."""
        bodies = [line[:-CHECKSUM_BYTES] for line in lines]
        crc, before = crc32(b"".join(bodies), self._crc), self._crc
        damaged = lines[-1][-CHECKSUM_BYTES:] != b"#%08x" % crc
        if damaged:
            lines, crc = self._sound(lines)
            bodies = bodies[: len(lines)]
        text = b"[%b]" % b",".join(bodies)
        rows = list(map(tuple, orjson.loads(text)))
        # The checksums that end the lines: what `marks_of` would work out again. Of those before
        # the last one none was looked at, which vouches for all records.
        sums = b"%08x" % before + b"".join([line[-CHECKSUM_BYTES + 1 :] for line in lines])
        marks = bytes.fromhex(sums.decode()) if _HEX.fullmatch(sums) else marks_of(rows)
        if rows and rows[0][0] < self._next:
            known = sum(row[0] < self._next for row in rows)
            rows, text = rows[known:], b"[%b]" % b",".join(bodies[known:])
            marks = marks[4 * known :]
        seqs = [row[0] for row in rows]
        if seqs != list(range(self._next, self._next + len(seqs))):
            missing = next(n for n, seq in enumerate(seqs, self._next) if n != seq)
            raise JournalCorrupt(self._damage(f"record {missing} is missing"))
        if damaged and not lines:
            raise JournalCorrupt(self._damage(f"record {self._next} is damaged"))
        self._offset += sum(map(len, lines)) + len(lines)
        self._crc = crc
        self._next += len(rows)
        return Batch(rows, text, marks)

    def _sound(self, lines: list[bytes]) -> tuple[list[bytes], int]:
        """The lines before the first damaged one, and the checksum of the last of them."""
        crc = self._crc
        for number, line in enumerate(lines):
            if not is_sound(line, crc):
                return lines[:number], crc
            crc = crc32(line[:-CHECKSUM_BYTES], crc)
        return lines, crc

    def _damage(self, what: str) -> str:
        file = segment_file(self.folder, self._segment_first)
        return (
            f"The journal {file} is not as it was written: {what} (at byte {self._offset}). "
            "What precedes it can be delivered; the file is left as it is."
        )

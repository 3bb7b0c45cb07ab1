"""The journal: what was written is read, whatever happened in between."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.streams import fit_stream
from tracker.errors import JournalCorrupt, JournalLocked, JournalUnwritable
from tracker.event import Record, canonical
from tracker.journal import (
    JournalMeta,
    JournalReader,
    JournalWriter,
    claimed,
    confirm,
    extend,
    journals,
    layout,
    listing,
    settle,
)

RECORDS = fit_stream()


def meta(uuid: str = "0190") -> JournalMeta:
    """A journal's own words."""
    return JournalMeta(
        uuid=uuid,
        name="run",
        store="sqlite:///x",
        writer="w",
        host="h",
        boot=None,
        pid=1,
        began_at=0,
    )


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    """A journal being written."""
    one = JournalWriter([tmp_path / "journals"], meta())
    yield one
    one.close()


def write(writer: JournalWriter, records: list[Record]) -> None:
    """Append records."""
    for record in records:
        writer.append(record.seq, canonical(record))


def read_all(folder: Path, after: int = 0, limit: int = 2**20) -> list[Record]:
    """Everything that can be read."""
    reader = JournalReader(folder)
    reader.seek(after)
    found: list[Record] = []
    while records := reader.read(limit):
        found += records
    reader.close()
    return found


def test_records_come_back(writer: JournalWriter) -> None:
    """What was written is read, from any seq, in pieces of any size."""
    write(writer, RECORDS)
    for after in (0, 1, 17, len(RECORDS)):
        for limit in (1, 200, 2**20):
            assert read_all(writer.folder, after, limit) == RECORDS[after:]


def test_a_reader_follows_a_writer(writer: JournalWriter) -> None:
    """A reader that came to the end goes on when there is more."""
    reader = JournalReader(writer.folder)
    assert reader.read() == []
    for record in RECORDS:
        write(writer, [record])
        assert reader.read() == [record]
        assert reader.read() == []
    reader.close()


def test_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal of many segments reads like one of one."""
    monkeypatch.setattr(layout, "SEGMENT_BYTES", 500)
    writer = JournalWriter([tmp_path], meta())
    reader = JournalReader(writer.folder)
    followed: list[Record] = []
    for record in RECORDS:
        write(writer, [record])
        followed += reader.read()
    reader.close()
    assert len(list(writer.folder.glob("*.jsonl"))) > 3
    assert followed == RECORDS
    for after in range(len(RECORDS)):
        assert read_all(writer.folder, after) == RECORDS[after:]
    writer.close()


def test_a_torn_tail_at_every_byte(writer: JournalWriter) -> None:
    """However much of the last two records was written, the whole ones are read, and no more."""
    write(writer, RECORDS)
    writer.close()
    (file,) = writer.folder.glob("*.jsonl")
    whole = file.read_bytes()
    lengths = [len(canonical(record)) + 10 for record in RECORDS]
    start = len(whole) - sum(lengths[-2:])
    for size in range(start, len(whole)):
        file.write_bytes(whole[:size])
        expected = RECORDS[:-2] if size < start + lengths[-2] else RECORDS[:-1]
        assert read_all(writer.folder) == expected
        (info,) = journals([writer.folder.parent])
        assert (info.last_seq, info.problem) == (len(expected), None)


def test_what_follows_a_torn_tail(writer: JournalWriter) -> None:
    """A record that a recoverer adds is read after the whole ones; the torn one stays."""
    write(writer, RECORDS[:-1])
    writer.close()
    (file,) = writer.folder.glob("*.jsonl")
    with file.open("ab") as torn:
        torn.write(b'[99,"half a rec')
    with claimed(writer.folder):
        extend(writer.folder, RECORDS[-1].seq, canonical(RECORDS[-1]))
    assert read_all(writer.folder) == RECORDS
    assert file.read_bytes().endswith(b"half a rec")


def test_a_damaged_record_is_reported(writer: JournalWriter) -> None:
    """What precedes a damaged record is read; then its place is named; the file is left."""
    write(writer, RECORDS)
    writer.close()
    (file,) = writer.folder.glob("*.jsonl")
    content = bytearray(file.read_bytes())
    offset = sum(len(canonical(record)) + 10 for record in RECORDS[:5])
    content[offset + 3] ^= 1
    file.write_bytes(content)
    reader = JournalReader(writer.folder)
    assert reader.read() == RECORDS[:5]
    with pytest.raises(JournalCorrupt, match=rf"record 6 is damaged \(at byte {offset}\)"):
        reader.read()
    reader.close()
    assert file.read_bytes() == content


def test_a_missing_record_is_reported(writer: JournalWriter) -> None:
    """A gap in the seqs is damage too."""
    write(writer, [*RECORDS[:4], *RECORDS[5:]])
    with pytest.raises(JournalCorrupt, match="record 5 is missing"):
        read_all(writer.folder)


def test_the_lock_belongs_to_the_living(tmp_path: Path) -> None:
    """Another process cannot claim a living writer's journal, and can when it was killed."""
    program = (
        "import sys, time; from pathlib import Path; from tests.test_journal import meta, write;"
        "from tests.test_journal import RECORDS; from tracker.journal import JournalWriter;"
        "w = JournalWriter([Path(sys.argv[1])], meta()); write(w, RECORDS);"
        "print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    (info,) = journals([tmp_path])
    assert info.alive
    with pytest.raises(JournalLocked, match="in use"), claimed(info.folder):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    (info,) = journals([tmp_path])
    assert not info.alive
    with claimed(info.folder), pytest.raises(JournalLocked):  # noqa: SIM117
        with claimed(info.folder):
            pass
    assert read_all(info.folder) == RECORDS


def test_a_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    """A data loader that outlives its killed parent does not make the run look alive."""
    program = (
        "import os, sys, time; from pathlib import Path; from tests.test_journal import meta;"
        "from tracker.journal import JournalWriter;"
        "w = JournalWriter([Path(sys.argv[1])], meta()); child = os.fork();\n"
        "if child: print(child, flush=True)\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    try:
        os.kill(child, 0)
        (info,) = journals([tmp_path])
        assert not info.alive
    finally:
        os.kill(child, signal.SIGKILL)


def test_foreign_entries_are_listed_and_left(writer: JournalWriter) -> None:
    """Whatever lies in the folder is reported with what is wrong, and changed by nobody."""
    parent = writer.folder.parent
    (parent / "notes.txt").write_text("mine")
    (parent / "empty").mkdir()
    (parent / "newer").mkdir()
    (parent / "newer" / "meta.json").write_text('{"format": 99}')
    (parent / "broken").mkdir()
    (parent / "broken" / "meta.json").write_text("{")
    problems = {info.folder.name: info.problem or "" for info in journals([parent])}
    assert "not a journal" in problems["notes.txt"]
    assert "no meta.json" in problems["empty"]
    assert "format 99" in problems["newer"]
    assert "not JSON" in problems["broken"]
    assert problems["0190"] == ""
    listing.sweep([parent], now=time.time() + 10**9)
    assert len(list(parent.iterdir())) == 5


def test_newer_records_copies_and_twins_are_left(tmp_path: Path) -> None:
    """A journal of a later vocabulary, a copied one, and one of the same run elsewhere."""
    first, second = tmp_path / "first", tmp_path / "second"
    for parent, uuid, version in ((first, "0190", 1), (first, "0191", 99), (second, "0190", 1)):
        one = JournalWriter([parent], replace(meta(uuid), version=version))
        write(one, RECORDS)
        one.close()
    shutil.copytree(first / "0190", first / "0190 (copy)")
    infos = {str(info.folder.relative_to(tmp_path)): info for info in journals([first, second])}
    assert infos["first/0190"].waiting
    assert "vocabulary 99" in (infos["first/0191"].problem or "")
    assert "a copy of the journal 0190" in (infos["first/0190 (copy)"].problem or "")
    assert "the same run as" in (infos["second/0190"].problem or "")
    assert [name for name, info in infos.items() if info.waiting] == ["first/0190"]


def test_only_settled_journals_are_swept(
    writer: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old settled journals go, and those beyond the size that is kept; others stay."""
    parent = writer.folder.parent
    write(writer, RECORDS)
    confirm(writer.folder, len(RECORDS))
    late = time.time() + listing.KEEP_SECONDS + 10
    settle(writer.folder)
    listing.sweep([parent], now=late)
    assert writer.folder.exists(), "its writer lives"
    writer.close()
    listing.sweep([parent])
    assert writer.folder.exists(), "it is young"
    (writer.folder / "settled").unlink()
    listing.sweep([parent], now=late)
    assert writer.folder.exists(), "it is not settled"
    settle(writer.folder)
    monkeypatch.setattr(listing, "KEEP_BYTES", 10)
    listing.sweep([parent])
    assert not writer.folder.exists()


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """What the disk refuses waits in memory; with space again, nothing is lost or doubled."""
    program = """
import resource, signal, sys
from pathlib import Path
from tests.test_journal import RECORDS, meta
from tracker.event import canonical
from tracker.journal import JournalWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = JournalWriter([Path(sys.argv[1])], meta())
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
failed = 0
for record in RECORDS[:-1]:
    try:
        writer.append(record.seq, canonical(record))
    except OSError:
        failed += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
writer.append(RECORDS[-1].seq, canonical(RECORDS[-1]))
writer.close()
print(failed)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    assert int(done.stdout) > 5
    assert read_all(tmp_path / "0190") == RECORDS


def test_no_folder_that_can_be_written(tmp_path: Path) -> None:
    """The second folder is taken where the first cannot be; with none, the message says so."""
    (tmp_path / "file").touch()
    one = JournalWriter([tmp_path / "file" / "x", tmp_path / "second"], meta())
    assert one.folder.parent == tmp_path / "second"
    one.close()
    with pytest.raises(JournalUnwritable, match="Set TRACKER_HOME"):
        JournalWriter([tmp_path / "file" / "x"], meta())

"""The account of all faults: how often each was tried, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from tracker.event import HOOKS, Record

_HEAD = ("fault", "tried", "events", "lost", "doubled")


@dataclass
class Entry:
    """One fault."""

    tried: int = 0
    #: Events that the store had in the end.
    events: int = 0
    #: Hooks that returned, and are not in the store.
    lost: int = 0
    #: Events that are in the store more than once, or out of order.
    doubled: int = 0


class Ledger:
    """What was tried in this session."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def add(
        self, fault: str, records: Sequence[Record], returned: int, *, may_be_more: int = 1
    ) -> None:
        """Enter one trial, and demand that nothing was lost, doubled or out of order.

        Args:
            fault: What was done.
            records: The run's stream in the store.
            returned: How many hooks had returned.
            may_be_more: How many hooks may have been stored that had not returned yet.
        """
        hooks = sum(record.kind in HOOKS for record in records)
        seqs = [record.seq for record in records]
        doubled = sum(seq <= before for before, seq in pairwise(seqs))
        entry = self.entries.setdefault(fault, Entry())
        entry.tried += 1
        entry.events += len(records)
        entry.lost += max(0, returned - hooks)
        entry.doubled += doubled
        assert seqs == list(range(1, len(seqs) + 1)), f"{fault}: not gapless"
        assert returned <= hooks <= returned + may_be_more, f"{fault}: {hooks} of {returned} hooks"

    def told(self) -> dict[str, dict[str, int]]:
        """The account in plain values, for another process."""
        return {fault: asdict(entry) for fault, entry in self.entries.items()}

    def enter(self, told: Mapping[str, Mapping[str, int]]) -> None:
        """Add the account of another process."""
        for fault, numbers in told.items():
            entry = self.entries.setdefault(fault, Entry())
            for name, number in numbers.items():
                setattr(entry, name, getattr(entry, name) + number)

    def table(self) -> str:
        """The account, a row a fault."""
        rows = [
            (fault, *(f"{number:,}" for number in vars(entry).values()))
            for fault, entry in self.entries.items()
        ]
        widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
        lines = [_HEAD, tuple("-" * width for width in widths), *rows]
        return "\n".join(
            "  ".join(
                text.ljust(width) if place == 0 else text.rjust(width)
                for place, (text, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        )


#: The session's account; `tests/conftest.py` prints it.
LEDGER = Ledger()

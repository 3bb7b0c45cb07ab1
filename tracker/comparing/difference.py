"""The answer to "why do these two runs differ?"."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from tracker.comparing.values import Divergence, Summary
from tracker.legibility import printable_lines

#: The sections, in the order in which they explain.
SECTIONS = ("params", "environment", "git", "model", "metrics", "events")

_EVENT_TYPES = {
    "kind": "string",
    "metric": "string",
    "compared": "Int64",
    "different": "Int64",
    "first_call": "Int64",
    "first_epoch": "Int64",
    "first_batch": "Int64",
    "first_seq": "Int64",
    "largest_gap": "float64",
    "largest_epoch": "Int64",
    "largest_batch": "Int64",
    "gap_begin": "float64",
    "gap_middle": "float64",
    "gap_end": "float64",
    "last_gap": "float64",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Two runs, and what of them differs; see `tracker.diff`.

    `str` and a notebook show it whole.
    """

    #: The names of the two runs.
    a: str
    b: str
    #: `name`, `a`, `b`: of params, and so on.
    params: pd.DataFrame
    environment: pd.DataFrame
    git: pd.DataFrame
    model: pd.DataFrame
    #: `phase`, `metric`, `last_a`, `last_b`, `best_a`, `best_b`, …
    metrics: pd.DataFrame
    #: For each kind of event and metric how the gap between the runs grows; see `tracker.diff`.
    events: pd.DataFrame
    #: The first event at which they part; None: there is none.
    first: Divergence | None
    #: Hooks that both have, that only a has, and that only b has.
    common: int
    only_a: int
    only_b: int

    @property
    def equal(self) -> bool:
        """Whether the two streams are the same: every hook, and every value within tolerance."""
        return self.first is None

    def sections(self) -> dict[str, pd.DataFrame]:
        """The frames by name, those without rows left out."""
        found = {name: getattr(self, name) for name in SECTIONS}
        return {name: frame for name, frame in found.items() if len(frame)}

    def verdict(self) -> str:
        """In a sentence: whether and where the streams part."""
        hooks = f"{self.common:,} {'hook' if self.common == 1 else 'hooks'} in common"
        if self.equal:
            return f"{self.a} and {self.b} are equal: {hooks}, every value of them."
        alone = [
            f"{count:,} only in {name}"
            for name, count in ((self.a, self.only_a), (self.b, self.only_b))
            if count
        ]
        first = self.first
        assert first is not None
        return (
            f"{self.a} (a) and {self.b} (b) part at event {_seqs(first)}, {first}. "
            f"{', '.join([hooks, *alone])}."
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON: `a`, `b`, `equal`, `first`, numbers of hooks, and a list of rows a section."""
        first = self.first
        place = None
        if first is not None:
            place = {name: getattr(first, name) for name in Divergence.__dataclass_fields__}
        return {
            "a": self.a,
            "b": self.b,
            "equal": self.equal,
            "first": place,
            "common": self.common,
            "only_a": self.only_a,
            "only_b": self.only_b,
            **{name: getattr(self, name) for name in SECTIONS},
        }

    def __str__(self) -> str:
        parts = [self.verdict()]
        parts += [f"{name}\n{frame.to_string(index=False, float_format=_number)}"
                  for name, frame in self.sections().items()]  # fmt: skip
        return printable_lines("\n\n".join(parts))

    def _repr_html_(self) -> str:
        parts = [f"<p>{escape(self.verdict())}</p>"]
        parts += [f"<h4>{name}</h4>{frame.to_html(index=False, float_format=_number)}"
                  for name, frame in self.sections().items()]  # fmt: skip
        return "".join(parts)


def _number(value: float) -> str:
    """Six digits, wherever the point is: pandas has six places of them in columns of objects."""
    return f"{value:.6g}"


def _seqs(first: Divergence) -> str:
    if first.seq_a == first.seq_b or first.seq_b is None:
        return str(first.seq_a)
    return str(first.seq_b) if first.seq_a is None else f"{first.seq_a} of a and {first.seq_b} of b"


def event_summary(summaries: dict[tuple[str, str], Summary], *, all_of_them: bool) -> pd.DataFrame:
    """A row a kind of event and metric; those that differ, or all."""
    rows = []
    for (kind, metric), one in summaries.items():
        if not (one.different or all_of_them):
            continue
        first, largest = one.first or {}, one.largest_at or {}
        rows.append(
            (kind, metric, one.compared, one.different,
             first.get("call"), first.get("epoch"), first.get("batch"), first.get("seq"),
             one.largest, largest.get("epoch"), largest.get("batch"),
             one.mean_gap(0, 0.1), one.mean_gap(0.45, 0.55), one.mean_gap(0.9, 1), one.last)
        )  # fmt: skip
    columns = list(zip(*rows, strict=True)) or [()] * len(_EVENT_TYPES)
    return pd.DataFrame(
        {
            name: pd.array(list(values), dtype=dtype)  # type: ignore[call-overload]
            for (name, dtype), values in zip(_EVENT_TYPES.items(), columns, strict=True)
        }
    )

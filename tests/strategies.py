"""Hypothesis strategies."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from tests.streams import START
from tracker.event import BY_HAND, KINDS, VERSION, Record
from tracker.logs import encode

floats = st.floats() | st.sampled_from([0.0, -0.0, 5e-324, 1e308, 0.1 + 0.2])
integers = st.integers() | st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**400, -(10**4200)])
texts = st.text() | st.sampled_from(
    ["NaN", "Infinity", "-Infinity", "\x00", "\ud800", '"$', "$str", "a\tb\nc", "Ω 漢字 🙂"]
)
_scalars = st.none() | st.booleans() | floats | integers | texts
_rare = st.binary() | st.complex_numbers()
keys = texts | st.sampled_from(["loss", "val_loss", "$array", "$dict", "$object"])
_hashable = st.none() | st.booleans() | st.integers() | texts | st.floats(allow_nan=False)

values = st.recursive(
    _scalars | _rare,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(_hashable, inner, max_size=3)
    ),
    max_leaves=12,
)

#: Logs dicts of everything that comes back as it went in.
logs = st.dictionaries(keys, values, max_size=6)

#: What Keras logs as a rule.
plain_logs = st.dictionaries(st.sampled_from(["loss", "mae", "val_loss"]), floats, max_size=3)

arrays = st_numpy.arrays(
    dtype=st.sampled_from(
        [np.dtype(name) for name in ("float64", "float32", "float16", "int64", "uint8", "bool")]
    ),
    shape=st_numpy.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
)


_KINDS_BY_HAND = [kind for kind in KINDS if kind not in ("run_began", "run_purged")]
_KINDS = [kind for kind in _KINDS_BY_HAND if kind not in BY_HAND]


@st.composite
def streams(draw: st.DrawFn, most: int = 25, *, by_hand: bool = False) -> list[Record]:
    """Gapless streams: `run_began`, then events in any order, sensible or not.

    Several attempts, if there is `run_resumed`; facts by hand, if they are wanted.
    """
    began = {"version": VERSION, "experiment": "x", "params": draw(plain_logs), "tags": {"a": "b"}}
    records = [Record(1, START, "run_began", 1, None, None, None, encode(began))]
    attempt = 1
    for seq in range(2, draw(st.integers(1, most)) + 1):
        kind = draw(st.sampled_from(_KINDS_BY_HAND if by_hand else _KINDS))
        attempt += kind == "run_resumed"
        call = draw(st.none() | st.integers(1, 3))
        epoch = draw(st.none() | st.integers(0, 3))
        batch = draw(st.integers(0, 5)) if "batch" in kind else None
        data: Any = draw(plain_logs)
        if kind == "call_began":
            data = {
                "phase": draw(st.sampled_from(["train", "test", "predict"])),
                "parent": draw(st.none() | st.integers(1, 2)),
            }
        elif kind == "run_ended":
            data = {"status": draw(st.sampled_from(["finished", "failed", "interrupted"]))}
        elif kind == "run_renamed":
            data = {"name": f"name {draw(st.integers(0, 10**12))}"}
        elif kind == "tags_changed":
            data = {"set": {draw(st.sampled_from("abc")): "v"}, "removed": ["a"]}
        at = START + draw(st.integers(-1000, 10**9))
        records.append(Record(seq, at, kind, attempt, call, epoch, batch, encode(data)))
    return records


def cuts(length: int) -> st.SearchStrategy[list[int]]:
    """Where to cut a stream of this length into batches: ascending, ending with its length."""
    inner = st.sets(st.integers(1, length - 1), max_size=5) if length > 1 else st.just(set())
    return inner.map(lambda places: [*sorted(places), length])

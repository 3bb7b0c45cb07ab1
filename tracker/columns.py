"""A piece of a stream as columns: what frames are made of, and what a chunk holds.

Rows of Python objects take longer to make than everything else together. Columns keep what rows
tell, exactly: which keys each logs dict had, in its own order (`layouts`), and each value with its
type. What hooks logged is in them; the data of facts is not, which no frame has as columns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from pyarrow import compute, parquet

from tracker.column_spans import SPAN_FIELDS, SPANS, Spans, spans_of
from tracker.event import FACTS, VERSION, Record
from tracker.logs import NON_FINITE

#: What the bytes are; other ones are not read.
FORMAT = 200 + VERSION

#: Types of the fields of an event, but for its logs.
FIELDS: Mapping[str, pa.DataType] = {
    "seq": pa.int64(),
    "at": pa.int64(),
    "kind": pa.dictionary(pa.int32(), pa.string()),
    "attempt": pa.int32(),
    "call": pa.int32(),
    "epoch": pa.int64(),
    "batch": pa.int64(),
}

_LAYOUT, _VALUE = "layout", "value:"

#: Under which the file has its layouts, its kinds, of which it numbers them, and the names of
#: its values: a name may be any text.
_LAYOUTS, _KINDS, _NAMES = b"layouts", b"kinds", b"names"
#: And its spans where they are few: they are looked up, not unpacked, by who asks for no more.
_SPANS, _MOST_SPANS = b"spans", 200
#: Integers as steps, doubles byte by byte: what is left of them is small, and fast to unpack.
_STEPS, _BYTES = "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"
_MOST_LAYOUTS = 10_000
_INT_LOW, _INT_HIGH = -(2**63), 2**63

#: Stands for what is missing where numbers are parsed: no field of an event has it.
_LEAST = -(2**63)
_MISSING = f",{_LEAST},"


class NotColumnar(Exception):
    """The logs of some events have keys, or a form, that columns do not hold."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Some events of one run, in the order of their seq."""

    #: Arrays of the types of `FIELDS`: all, or those that were asked for.
    fields: Mapping[str, pa.Array]
    #: Which of `layouts` each event's logs have.
    layout: np.ndarray[Any, np.dtype[np.int32]]
    #: The keys of logs dicts, each in the order of the dict.
    layouts: Sequence[tuple[str, ...]]
    #: By key, null where an event has none: doubles where all are floats, 64-bit integers where
    #: all are such, else the JSON text of each value (see `tracker.logs`).
    values: Mapping[str, pa.Array]
    #: Where that is told; else `spans` works it out.
    known_spans: Spans | None = None

    def __len__(self) -> int:
        return len(self.layout)

    def where(self, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> Columns:
        """Those events for which the mask is true."""
        if mask.all():
            return self
        wanted = pa.array(mask)
        return Columns(
            {name: array.filter(wanted) for name, array in self.fields.items()},
            self.layout[mask],
            self.layouts,
            {name: array.filter(wanted) for name, array in self.values.items()},
        )

    def named(self, names: Collection[str]) -> Columns:
        """The same events, of what they logged only these."""
        layouts = [tuple(name for name in keys if name in names) for keys in self.layouts]
        values = {name: array for name, array in self.values.items() if name in names}
        return Columns(self.fields, self.layout, layouts, values, self.known_spans)

    def spans(self) -> Spans:
        """Where attempts, calls and epochs begin."""
        if self.known_spans is not None:
            return self.known_spans
        return spans_of(*(self.fields[name] for name in SPAN_FIELDS))

    def of(self, name: str) -> pa.Array:
        """What these events logged under a name; nulls where it is none of theirs."""
        return self.values[name] if name in self.values else pa.nulls(len(self))

    def of_kinds(self, kinds: Collection[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which events are of one of these kinds."""
        return _are_of(self.fields["kind"], kinds)

    def is_equal(self, field: str, value: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """For which events a field has this value."""
        array = self.fields[field]
        equal: np.ndarray[Any, np.dtype[np.bool_]] = array.fill_null(-1).to_numpy() == value
        equal &= array.is_valid().to_numpy(zero_copy_only=False)
        return equal

    def to_bytes(self) -> bytes:
        """A Parquet file: what `from_bytes` reads."""
        values = {f"{_VALUE}{place}": one for place, one in enumerate(self.values.values())}
        kind = self.fields["kind"]
        numbers = {**self.fields, "kind": kind.indices, _LAYOUT: pa.array(self.layout)}
        columns = {**numbers, **values}
        told = {
            _LAYOUTS: orjson.dumps(self.layouts),
            _KINDS: orjson.dumps(kind.dictionary.to_pylist()),
            _NAMES: orjson.dumps(list(self.values)),
        }
        spans = self.spans()
        if len(spans) <= _MOST_SPANS:
            told[_SPANS] = spans.to_json()
        table = pa.table(columns)
        encodings = {name: _encoding(array.type) for name, array in columns.items()}
        sink = pa.BufferOutputStream()
        # The schema of Arrow says nothing more, and takes as long to read as a column.
        with parquet.ParquetWriter(
            sink,
            table.schema,
            compression="lz4",
            use_dictionary=[name for name, encoding in encodings.items() if encoding is None],
            column_encoding={name: one for name, one in encodings.items() if one is not None},
            write_statistics=False,
            store_schema=False,
        ) as file:
            file.write_table(table)
            file.add_key_value_metadata(told)
        return bytes(sink.getvalue())


def from_bytes(
    body: bytes, fields: Collection[str] | None = None, names: Collection[str] | None = None
) -> Columns:
    """The columns that `Columns.to_bytes` wrote.

    Args:
        body: The bytes.
        fields: Only these of `FIELDS`, and `SPANS`: the others are not unpacked.
        names: Of what was logged only these, as `Columns.named`.

    Raises:
        pyarrow.ArrowException, OSError, KeyError: They are no such bytes.
    """
    kept = [name for name in FIELDS if fields is None or name in fields]
    with parquet.ParquetFile(pa.BufferReader(body)) as file:
        told = file.metadata.metadata
        spans = Spans.from_json(told[_SPANS]) if _SPANS in told else None
        if spans is None and fields is not None and SPANS in fields:
            kept += [name for name in SPAN_FIELDS if name not in kept]
        values = {
            f"{_VALUE}{place}": name
            for place, name in enumerate(orjson.loads(told[_NAMES]))
            if names is None or name in names
        }
        # Callers read several at once.
        table = file.read([*kept, _LAYOUT, *values], use_threads=False)
    arrays = {
        name: column.chunk(0) if column.num_chunks else pa.array([], column.type)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    if "kind" in kept:
        # As numbers they are unpacked in a sixth of the time.
        kinds = pa.array(orjson.loads(told[_KINDS]), pa.string())
        arrays["kind"] = pa.DictionaryArray.from_arrays(arrays["kind"], kinds)
    columns = Columns(
        {name: arrays[name] for name in kept},
        arrays[_LAYOUT].to_numpy(),
        [tuple(layout) for layout in orjson.loads(told[_LAYOUTS])],
        {name: arrays[stored] for stored, name in values.items()},
        spans,
    )
    return columns if names is None else columns.named(names)


def _encoding(type_: pa.DataType) -> str | None:
    """How numbers are packed; None for texts, of which a dictionary is kept."""
    if pa.types.is_integer(type_):
        return _STEPS
    return _BYTES if pa.types.is_floating(type_) else None


def columns_of_records(records: Sequence[Record]) -> Columns | None:
    """Records of today's vocabulary as columns; None where their logs cannot be."""
    parts = list(zip(*records, strict=True)) or [()] * len(Record._fields)
    fields = {
        name: pa.array(part, pa.string()).dictionary_encode()
        if name == "kind"
        else pa.array(part, type_)
        for (name, type_), part in zip(FIELDS.items(), parts, strict=False)
    }
    return _columns(fields, [f"[{','.join(parts[-1])}]"])


def columns_of_texts(texts: Mapping[str, Sequence[str]]) -> Columns | None:
    """The same, of what a database has joined.

    Args:
        texts: For each field of `Record` its values as text, in pieces: those of a piece
            separated by commas, empty where there is none.
    """
    fields = {name: _parsed(texts[name], type_) for name, type_ in FIELDS.items()}
    return _columns(fields, [f"[{text}]" for text in texts["logs"]])


def _parsed(pieces: Sequence[str], type_: pa.DataType) -> pa.Array:
    if not pieces:
        return pa.array([], type_)
    text = ",".join(pieces)
    first, count = text.partition(",")[0], text.count(",") + 1
    if text == f"{first}," * (count - 1) + first:
        return pa.nulls(count, type_) if not first else pa.repeat(first, count).cast(type_)
    if pa.types.is_dictionary(type_):
        return compute.split_pattern(pa.array([text]), ",")[0].values.dictionary_encode()
    # Twice: of two neighbours that are empty the first time finds one.
    filled = f",{text},".replace(",,", _MISSING).replace(",,", _MISSING)[1:-1]
    numbers = np.fromstring(filled, np.int64, sep=",")
    return pa.array(numbers, mask=numbers == _LEAST).cast(type_)


def _columns(fields: dict[str, pa.Array], texts: Sequence[str]) -> Columns | None:
    if len(fields["seq"]) and not _ascending(fields["seq"]):
        return None
    facts = _are_of(fields["kind"], FACTS)
    layouts: dict[tuple[str, ...], int] = {(): 0}
    layout = np.empty(len(facts), np.int32)
    parts: dict[str, list[pa.Array]] = {}
    begin = 0
    for text in texts:
        dicts = orjson.loads(text)
        end = begin + len(dicts)
        for place in np.flatnonzero(facts[begin:end]):
            dicts[place] = {}
        try:
            layout[begin:end] = [
                layouts.setdefault(tuple(one), len(layouts)) if one else 0 for one in dicts
            ]
        except TypeError:  # a number, which is no dict
            return None
        if len(layouts) > _MOST_LAYOUTS:
            return None
        _add_values(parts, dicts, layout[begin:end], list(layouts), begin)
        begin = end
    if begin != len(facts) or any(name.startswith("$") for keys in layouts for name in keys):
        return None
    values = {name: _joined(arrays, begin) for name, arrays in parts.items()}
    return Columns(fields, layout, list(layouts), values)


def _add_values(
    parts: dict[str, list[pa.Array]],
    dicts: list[dict[str, Any]],
    layout: np.ndarray[Any, np.dtype[np.int32]],
    layouts: list[tuple[str, ...]],
    begin: int,
) -> None:
    """Add to the parts of each name what these dicts have of it, with nulls before and between."""
    rows: dict[str, list[np.ndarray[Any, Any]]] = {}
    found: dict[str, list[Any]] = {}
    for number in np.unique(layout):
        if not layouts[number]:
            continue
        places = np.flatnonzero(layout == number)
        those = [dicts[place] for place in places.tolist()]
        for name in layouts[number]:
            rows.setdefault(name, []).append(places)
            found.setdefault(name, []).extend([one[name] for one in those])
    for name, column in found.items():
        before = parts.setdefault(name, [])
        missing = begin - sum(map(len, before))
        if missing:
            before.append(pa.nulls(missing))
        before.append(_spread(np.concatenate(rows[name]), column, len(dicts)))


def _spread(places: np.ndarray[Any, Any], column: list[Any], length: int) -> pa.Array:
    """An array with these values at these places, and nulls at others."""
    missing = np.ones(length, bool)
    missing[places] = False
    kinds = set(map(type, column))
    if type(None) in kinds:  # which the layout tells from what is not there
        places = places[[value is not None for value in column]]
        column = [value for value in column if value is not None]
        kinds.remove(type(None))
        missing = np.ones(length, bool)
        missing[places] = False
    if kinds <= {float, str} and all(value in NON_FINITE for value in column if type(value) is str):
        doubles = np.zeros(length)
        if str in kinds:
            column = [NON_FINITE[value] if type(value) is str else value for value in column]
        doubles[places] = column
        return pa.array(doubles, mask=missing, from_pandas=False)
    if kinds == {int} and all(_INT_LOW <= value < _INT_HIGH for value in column):
        integers = np.zeros(length, np.int64)
        integers[places] = column
        return pa.array(integers, mask=missing)
    texts: list[str | None] = [None] * length
    for place, value in zip(places.tolist(), column, strict=True):
        texts[place] = orjson.dumps(value).decode()
    return pa.array(texts, pa.string())


def _joined(arrays: list[pa.Array], length: int) -> pa.Array:
    """The parts of one name, and nulls after them, as one array."""
    missing = length - sum(map(len, arrays))
    arrays = [*arrays, pa.nulls(missing)] if missing else arrays
    kinds = {array.type for array in arrays} - {pa.null()}
    if len(kinds) == 1:
        (kind,) = kinds
        return pa.concat_arrays([array.cast(kind) for array in arrays])
    return pa.array([value for array in arrays for value in _json(array)], pa.string())


def _json(array: pa.Array) -> list[str | None]:
    if pa.types.is_string(array.type):
        found: list[str | None] = array.to_pylist()
        return found
    names = {value: name for name, value in NON_FINITE.items()}

    def text(value: Any) -> str | None:
        if value is None:
            return None
        if value != value:
            return '"NaN"'
        return orjson.dumps(names.get(value, value)).decode()

    return [text(value) for value in array.to_pylist()]


def _are_of(kind: pa.Array, kinds: Collection[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    of_each = np.array([one in kinds for one in kind.dictionary.to_pylist()], bool)
    found: np.ndarray[Any, np.dtype[np.bool_]] = of_each[kind.indices.to_numpy()]
    return found


def _ascending(seq: pa.Array) -> bool:
    numbers = seq.to_numpy()
    return bool((numbers[1:] > numbers[:-1]).all())

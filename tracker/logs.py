"""The logs dict of a hook ⇄ JSON text, exactly.

JSON has no NaN, no infinity, no bytes, no tuples, no arrays and no keys but strings.
Non-finite floats become the strings that proto3's JSON mapping uses; everything else
that JSON lacks becomes a one-key object whose key starts with `$`. Strings and dicts
that could be mistaken for one of these are wrapped themselves, so decoding is exact:

=============  =====================================================================
`"NaN"`        also `"Infinity"`, `"-Infinity"`: a float
`$str`         a string that looks like one of those three
`$utf8`        a string with NUL or lone surrogates, which PostgreSQL cannot take apart:
               base64 of its UTF-8 (surrogatepass)
`$int`         an integer beyond 64 bits: its decimal or hexadecimal text
`$bytes`       bytes: base64
`$tuple`       a tuple: a list
`$complex`     a complex number: [real, imaginary]
`$dict`        a dict with other keys than plain strings: list of [key, value]
`$array`       an array: shape and dtype, and by policy a summary or its values
`$object`      anything else: type name and shortened repr
=============  =====================================================================
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from tracker.event import Event, Record
from tracker.legibility import encodable

#: What is kept of arrays: a summary, every value, or shape and dtype only.
Outputs = Literal["summary", "full", "none"]

#: The strings that stand for floats which JSON does not have.
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_REPR_LENGTH = 200
# orjson refuses nesting beyond 254 levels, and a wrapper adds up to three for one.
_DEEPEST = 64
_LARGEST_DECIMAL = 10**4000
_INT_LOW, _INT_HIGH = -(2**63), 2**64

_dumps = orjson.dumps
_plain_keys: dict[tuple[Any, ...], bool] = {}
_MOST_PLAIN_KEYS = 1000


@dataclass(frozen=True, slots=True)
class ArraySummary:
    """What the policies `summary` and `none` keep of an array.

    `min`, `max` and `mean` are over the finite values; None where there are none, where
    the dtype has no order, and under the policy `none`.
    """

    shape: tuple[int, ...]
    dtype: str
    min: float | int | None = None
    max: float | int | None = None
    mean: float | None = None
    #: How many values are NaN or infinite.
    nonfinite: int | None = None


@dataclass(frozen=True, slots=True)
class Opaque:
    """An object that JSON cannot carry: what is known of it."""

    type: str
    repr: str


def encode(logs: Any, outputs: Outputs = "summary") -> str:
    """Encode a logs dict as JSON text; never raises.

    Args:
        logs: What a hook received: a dict, or None, or whatever a caller passed.
        outputs: What to keep of arrays.
    """
    if not logs:
        return "{}"
    if type(logs) is dict:
        total = 0.0
        for value in logs.values():
            if type(value) is not float:
                break
            total += value
        else:
            # Where the sum is finite, so is each of them.
            keys = tuple(logs)
            if total - total == 0.0 and (_plain_keys.get(keys) or _has_plain_keys(keys)):
                try:
                    return _dumps(logs).decode()
                except TypeError:  # a key of a subclass of str
                    pass
    try:
        plain = to_plain(logs, outputs)
        return orjson.dumps(plain if isinstance(logs, Mapping) else {"value": plain}).decode()
    except Exception as error:  # noqa: BLE001 - a strange log must not reach training
        fallback = {"$object": {"type": _type_name(logs), "repr": f"not encodable: {error!r}"}}
        return orjson.dumps({"value": fallback}).decode()


def _has_plain_keys(keys: tuple[Any, ...]) -> bool:
    """Whether no key needs a wrapper; remembered, since logs have the same keys again and again."""
    plain = all(map(_is_plain_key, keys))
    if plain and len(_plain_keys) < _MOST_PLAIN_KEYS:
        _plain_keys[keys] = True
    return plain


def decode(text: str | bytes) -> dict[str, Any]:
    """Decode what `encode` wrote."""
    value = orjson.loads(text)
    plain = value if _is_plain_text(text) else from_plain(value)
    return plain if type(plain) is dict else {"value": plain}


def decode_many(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Decode many texts in one pass, several times faster than one by one."""
    joined = f"[{','.join(texts)}]"
    values: list[dict[str, Any]] = orjson.loads(joined)
    return values if _is_plain_text(joined) else [from_plain(value) for value in values]


def to_event(record: Record) -> Event:
    """The event that a record stands for, its logs decoded."""
    return Event(
        seq=record.seq,
        at=record.at,
        kind=record.kind,
        attempt=record.attempt,
        call=record.call,
        epoch=record.epoch,
        batch=record.batch,
        logs=decode(record.logs),
    )


def to_plain(value: Any, outputs: Outputs = "summary", depth: int = 0) -> Any:
    """Turn a value into what JSON can carry (see the table of this module)."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is float:
        return _plain_float(value)
    if kind is int:
        return _plain_int(value)
    if kind is str:
        return _plain_str(value)
    if depth >= _DEEPEST:
        return _plain_object(value)
    if isinstance(value, Mapping):
        return _plain_dict(value, outputs, depth)
    if isinstance(value, list):
        return [to_plain(item, outputs, depth + 1) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [to_plain(item, outputs, depth + 1) for item in value]}
    return _plain_rare(value, outputs, depth)


def from_plain(value: Any) -> Any:
    """Undo `to_plain`."""
    if isinstance(value, str):
        return NON_FINITE.get(value, value)
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, body),) = value.items()
        if key.startswith("$"):
            return _unwrap(key, body)
    return {key: from_plain(item) for key, item in value.items()}


def as_double(value: float) -> float:
    """The nearest double: an integer beyond their range is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_plain_text(text: str | bytes) -> bool:
    if isinstance(text, bytes):
        return b'"$' not in text and b'NaN"' not in text and b'Infinity"' not in text
    return '"$' not in text and 'NaN"' not in text and 'Infinity"' not in text


def _plain_float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _plain_int(value: int) -> Any:
    if _INT_LOW <= value < _INT_HIGH:
        return value
    # Python limits the digits of decimal conversions, not of hexadecimal ones.
    small = -_LARGEST_DECIMAL < value < _LARGEST_DECIMAL
    return {"$int": str(value) if small else hex(value)}


def _plain_str(value: str) -> Any:
    if value in NON_FINITE:
        return {"$str": value}
    if _is_ordinary(value):
        return value
    return {"$utf8": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()}


def _plain_dict(value: Mapping[Any, Any], outputs: Outputs, depth: int) -> Any:
    if all(map(_is_plain_key, value)):
        return {key: to_plain(item, outputs, depth + 1) for key, item in value.items()}
    pairs = [
        [to_plain(key, outputs, depth + 2), to_plain(item, outputs, depth + 2)]
        for key, item in value.items()
    ]
    return {"$dict": pairs}


def _is_plain_key(key: Any) -> bool:
    return type(key) is str and not key.startswith("$") and _is_ordinary(key)


def _is_ordinary(text: str) -> bool:
    if text.isprintable():  # which neither NUL nor surrogates are
        return True
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _plain_rare(value: Any, outputs: Outputs, depth: int) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, ArraySummary):
        return {"$array": _plain_summary(value)}
    if isinstance(value, Opaque):
        return {"$object": {"type": value.type, "repr": encodable(value.repr)}}
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        try:
            return _plain_array(_as_numpy(value), outputs, depth)
        except Exception:  # noqa: BLE001 - a tensor that cannot be read is kept as an object
            return _plain_object(value)
    if isinstance(value, complex):
        return {"$complex": [_plain_float(value.real), _plain_float(value.imag)]}
    # Subclasses of the basic types: enumerations, numpy strings, counters.
    for base in (float, int, str):
        if isinstance(value, base):
            return to_plain(base(value) if base is not str else str.__str__(value))
    return _plain_object(value)


def _plain_object(value: Any) -> dict[str, Any]:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - somebody else's __repr__
        text = f"<repr failed: {type(error).__name__}>"
    return {"$object": {"type": _type_name(value), "repr": encodable(text[:_REPR_LENGTH])}}


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _as_numpy(value: Any) -> Any:
    """A numpy array of a numpy, TensorFlow, JAX or torch value, on the host."""
    import numpy as np  # loaded already wherever there are arrays

    if hasattr(value, "detach"):  # torch refuses conversion of tensors with a gradient
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    # TensorFlow's bfloat16 scalars can be had this way only.
    return np.asarray(value.numpy() if callable(getattr(value, "numpy", None)) else value)


def _plain_array(array: Any, outputs: Outputs, depth: int) -> Any:
    dtype = array.dtype
    if array.shape == () and dtype.names is None:
        return _plain_scalar(array)
    head: dict[str, Any] = {"shape": list(array.shape), "dtype": str(dtype)}
    # bfloat16 and its like have kind V or f and no exact text form of their own; every
    # one of their values is exact as a double.
    number = dtype.kind in "biuf" or _is_small_float(dtype)
    if outputs == "none":
        return {"$array": head}
    if outputs == "full" and (number or dtype.kind in "OUS"):
        items = array.astype("float64") if _is_small_float(dtype) else array
        return {"$array": {**head, "values": to_plain(items.tolist(), outputs, depth + 1)}}
    if number:
        head |= _plain_summary(_summary(array, dtype))
    return {"$array": head}


def _plain_scalar(array: Any) -> Any:
    if _is_small_float(array.dtype) or array.dtype.kind == "f":
        return _plain_float(float(array))
    item = array.item()
    if hasattr(item, "dtype"):  # an object array around something array-like
        return _plain_object(item)
    return to_plain(item)


def _is_small_float(dtype: Any) -> bool:
    name: str = dtype.name
    return name.startswith(("bfloat16", "float8", "float6", "float4"))


def _summary(array: Any, dtype: Any) -> ArraySummary:
    import numpy as np

    values = array.astype("float64") if dtype.kind not in "biu" else array
    finite = values if dtype.kind in "biu" else values[np.isfinite(values)]
    shape = tuple(int(size) for size in array.shape)
    nonfinite = int(values.size - finite.size)
    if finite.size == 0:
        return ArraySummary(shape, str(dtype), nonfinite=nonfinite)
    with np.errstate(over="ignore"):  # the mean of huge values may be infinite
        mean = float(finite.mean(dtype="float64"))
    low, high = finite.min().item(), finite.max().item()
    return ArraySummary(shape, str(dtype), low, high, mean, nonfinite)


def _plain_summary(summary: ArraySummary) -> dict[str, Any]:
    head: dict[str, Any] = {"shape": list(summary.shape), "dtype": summary.dtype}
    if summary.nonfinite is None:
        return head
    low, high, mean = (to_plain(x) for x in (summary.min, summary.max, summary.mean))
    return {**head, "min": low, "max": high, "mean": mean, "nonfinite": summary.nonfinite}


def _unwrap(key: str, body: Any) -> Any:
    match key:
        case "$str":
            return body
        case "$utf8":
            return base64.b64decode(body).decode("utf-8", "surrogatepass")
        case "$int":
            return int(body, 0)
        case "$bytes":
            return base64.b64decode(body)
        case "$tuple":
            return tuple(from_plain(item) for item in body)
        case "$complex":
            real, imaginary = (float(part) for part in body)
            return complex(real, imaginary)
        case "$dict":
            return {from_plain(name): from_plain(item) for name, item in body}
        case "$array":
            return _unwrap_array(body)
        case "$object":
            return Opaque(body["type"], body["repr"])
    # A wrapper of a later version of this module is shown as it stands.
    return {key: body}


def _unwrap_array(body: dict[str, Any]) -> Any:
    shape, dtype = tuple(body["shape"]), body["dtype"]
    if "values" not in body:
        low, high, mean = (from_plain(body.get(name)) for name in ("min", "max", "mean"))
        return ArraySummary(shape, dtype, low, high, mean, body.get("nonfinite"))
    import numpy as np

    try:
        target = np.dtype(dtype)
    except TypeError:  # a dtype of a library that is not loaded here
        target = np.dtype("float64")
    return np.array(from_plain(body["values"]), dtype=target).reshape(shape)
